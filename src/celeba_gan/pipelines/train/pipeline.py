"""Wiring of the train stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.train.nodes import choose_best_networks, plot_training_curves, train_gan


def create_pipeline() -> Pipeline:
    """packed_images, labels, classes -> networks, state, metric rows, grids -> best networks, training curves."""
    return Pipeline(
        [
            Node(
                train_gan,
                inputs=["packed_images", "labels", "classes", "params:train", "resume_state", "experiments"],
                outputs=["metric_rows", "training_grids", "generator", "discriminator", "training_state"],
                name="train_gan",
                tags="train",
            ),
            Node(
                choose_best_networks,
                inputs=["generator", "discriminator", "best_measured"],
                outputs=["best_generator", "best_discriminator"],
                name="choose_best_networks",
                tags="train",
            ),
            Node(
                plot_training_curves,
                inputs=["metric_rows"],
                outputs="training_curves",
                name="plot_training_curves",
                tags="train",
            ),
        ]
    )
