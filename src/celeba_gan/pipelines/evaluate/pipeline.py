"""Wiring of the evaluate stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.evaluate.nodes import evaluate_generator, fit_attribute_classifier, report_evaluation


def create_pipeline() -> Pipeline:
    """generator, discriminator, packed_images, labels, classes -> attribute_classifier, evaluation, pictures, page."""
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
                    "best_measured",
                    "packed_images",
                    "labels",
                    "classes",
                    "attribute_classifier",
                    "feature_store",
                    "compared_networks",
                    "params:evaluate",
                ],
                outputs=["evaluation", "measured_grid", "neighbour_grid"],
                name="evaluate_generator",
                tags="evaluate",
            ),
            Node(
                report_evaluation,
                inputs=["evaluation", "measured_grid", "neighbour_grid", "metric_rows"],
                outputs=["attribute_shares", "evaluation_page"],
                name="report_evaluation",
                tags="evaluate",
            ),
        ]
    )
