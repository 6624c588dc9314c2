"""Wiring of the ingest stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.ingest.nodes import index_images


def create_pipeline() -> Pipeline:
    """From the source to the index of its usable images, and a report."""
    index = Node(
        index_images,
        inputs=["celeba", "params:ingest"],
        outputs=["image_index", "rejected_images", "source_report"],
        name="index_images",
    )
    return Pipeline([index])
