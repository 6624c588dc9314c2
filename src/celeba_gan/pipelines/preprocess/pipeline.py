"""Wiring of the preprocess stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.preprocess.nodes import label_images, pack_images


def create_pipeline() -> Pipeline:
    """From the indexed images to packed images and their labels."""
    return Pipeline(
        [
            Node(
                pack_images,
                inputs=[
                    "celeba",
                    "image_index",
                    "rejected_images",
                    "params:preprocess",
                    "params:ingest",
                    "packed_before",
                ],
                outputs="packed_images",
                name="pack_images",
                tags="preprocess",
            ),
            Node(
                label_images,
                inputs=["packed_images", "image_index", "params:preprocess"],
                outputs=["labels", "unreadable_images"],
                name="label_images",
                tags="preprocess",
            ),
        ]
    )
