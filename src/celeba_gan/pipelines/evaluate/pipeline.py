"""Wiring of the evaluate stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.evaluate.nodes import evaluate_generator


def create_pipeline() -> Pipeline:
    """generator, discriminator, packed_images, labels, classes -> evaluation."""
    return Pipeline(
        [
            Node(
                evaluate_generator,
                inputs=["generator", "discriminator", "packed_images", "labels", "classes", "params:evaluate"],
                outputs="evaluation",
                name="evaluate_generator",
                tags="evaluate",
            )
        ]
    )
