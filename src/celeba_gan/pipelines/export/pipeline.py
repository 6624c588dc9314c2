"""Wiring of the export."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.export.nodes import export_generator


def create_pipeline() -> Pipeline:
    """From the generator, or the best measured one, and what is known about it to exported_folder."""
    node = Node(
        export_generator,
        inputs=[
            "training_run",
            "evaluation_previous",
            "packed_images_previous",
            "source_report_previous",
            "web_runtime",
            "params:export",
        ],
        outputs="exported_folder",
        name="export_generator",
        tags="export",
    )
    return Pipeline([node])
