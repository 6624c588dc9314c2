"""Wiring of the plan."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.plan.nodes import print_plan


def create_pipeline() -> Pipeline:
    """The settings, and what there is of packed images and of a training's state -> a page in the terminal."""
    page = Node(
        print_plan,
        inputs=["params:train", "params:preprocess", "packed_images_previous", "training_run_previous"],
        outputs=None,
        name="print_plan",
        tags="plan",
    )
    return Pipeline([page])
