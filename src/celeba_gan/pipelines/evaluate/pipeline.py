"""Wiring of the evaluate stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.evaluate.nodes import evaluate_generator, fit_attribute_classifier


def create_pipeline() -> Pipeline:
    """generator, discriminator, packed_images, labels, classes -> attribute_classifier, evaluation."""
    return Pipeline(
        [
            Node(
                fit_attribute_classifier,
                inputs=["packed_images", "labels", "params:evaluate", "classifier_before"],
                outputs="attribute_classifier",
                name="fit_attribute_classifier",
                tags="evaluate",
            ),
            Node(
                evaluate_generator,
                inputs=[
                    "generator",
                    "discriminator",
                    "packed_images",
                    "labels",
                    "classes",
                    "attribute_classifier",
                    "params:evaluate",
                ],
                outputs="evaluation",
                name="evaluate_generator",
                tags="evaluate",
            ),
        ]
    )
