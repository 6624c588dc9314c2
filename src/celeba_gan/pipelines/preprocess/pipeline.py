"""Wiring of the preprocess stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.preprocess.nodes import (
    follow_packing,
    label_images,
    pack_images,
    report_data,
)


def create_pipeline() -> Pipeline:
    """From the indexed images to packed images, their labels, and a report about them."""
    nodes = [
        Node(
            pack_images,
            inputs=[
                "celeba",
                "image_index",
                "rejected_images",
                "source_report",
                "params:preprocess",
                "params:ingest",
                "packed_images_previous",
            ],
            outputs="packed_images",
            name="pack_images",
        ),
        Node(
            label_images,
            inputs=["packed_images", "image_index", "params:preprocess"],
            outputs=["labels", "classes", "left_out_classes", "duplicate_images", "unreadable_images"],
            name="label_images",
        ),
        Node(
            report_data,
            inputs=[
                "image_index",
                "source_report",
                "packed_images",
                "labels",
                "classes",
                "left_out_classes",
                "rejected_images",
                "unreadable_images",
                "duplicate_images",
                "params:preprocess",
                "params:ingest",
            ],
            outputs=["data_report", "attribute_chart", "size_chart", "contact_sheet", "mean_image", "data_page"],
            name="report_data",
        ),
    ]
    return Pipeline(nodes)


def create_followers() -> list[Node]:
    """The part of ranks that do not lead, under the name of the node in which they have one."""
    inputs = ["celeba", "image_index", "source_report", "params:preprocess"]
    return [Node(follow_packing, inputs=inputs, outputs="packed_images", name="pack_images")]
