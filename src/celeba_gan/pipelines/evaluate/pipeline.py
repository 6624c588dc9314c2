"""Wiring of the evaluate stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.evaluate.nodes import (
    evaluate_generator,
    fit_attribute_classifier,
    follow_evaluation,
    report_evaluation,
)


def create_pipeline() -> Pipeline:
    """training_run, packed_images, labels, classes -> attribute_classifier, evaluation, pictures, page."""
    nodes = [
        Node(
            fit_attribute_classifier,
            inputs=["packed_images", "labels", "params:evaluate", "attribute_classifier_previous"],
            outputs="attribute_classifier",
            name="fit_attribute_classifier",
        ),
        Node(
            evaluate_generator,
            inputs=[
                "training_run",
                "evaluated_model",
                "packed_images",
                "labels",
                "classes",
                "attribute_classifier",
                "feature_store",
                "compared_model",
                "params:evaluate",
            ],
            outputs=["evaluation", "measured_grid", "neighbour_grid"],
            name="evaluate_generator",
        ),
        Node(
            report_evaluation,
            inputs=["evaluation", "measured_grid", "neighbour_grid", "metric_rows", "training_run"],
            outputs=["attribute_shares", "evaluation_page"],
            name="report_evaluation",
        ),
    ]
    return Pipeline(nodes)


def create_followers() -> list[Node]:
    """The part of ranks that do not lead, under the name of the node in which they have one."""
    inputs = ["packed_images", "labels", "classes", "params:evaluate"]
    return [Node(follow_evaluation, inputs=inputs, outputs=None, name="evaluate_generator")]
