"""Wiring of the train stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.train.drawing import draw_training
from celeba_gan.pipelines.train.nodes import follow_training, plot_training_curves, train_gan


def create_pipeline() -> Pipeline:
    """packed_images, labels, classes -> metric rows, grids, training_run -> training curves."""
    nodes = [
        Node(
            train_gan,
            inputs=["packed_images", "labels", "classes", "params:train", "training_run_previous", "experiments"],
            outputs=["metric_rows", "training_grids", "training_run"],
            name="train_gan",
            preview_fn=draw_training,
        ),
        Node(plot_training_curves, inputs=["metric_rows"], outputs="training_curves", name="plot_training_curves"),
    ]
    return Pipeline(nodes)


def create_followers() -> list[Node]:
    """The part of ranks that do not lead, under the name of the node in which they have one."""
    inputs = ["packed_images", "labels", "classes", "params:train"]
    return [Node(follow_training, inputs=inputs, outputs=None, name="train_gan")]
