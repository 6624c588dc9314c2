"""Nodes of the train stage."""

from collections.abc import Iterator
from typing import Any

from celeba_gan.gan.checkpoint import Checkpoint
from celeba_gan.gan.config import TrainSettings
from celeba_gan.gan.metric_rows import MetricRows
from celeba_gan.imaging.grids import ImageGrid, make_grid
from celeba_gan.imaging.packed import PackedImages


def train_gan(
    packed_images: PackedImages, labels: Any, classes: Any, settings: TrainSettings, resume_state: Checkpoint | None
) -> Iterator[tuple[MetricRows, ImageGrid, Checkpoint, Checkpoint, Checkpoint]]:
    """Trains, and yields every tick: rows, grid, generator, discriminator and, last because it commits, the state.

    Kedro saves what is yielded at once.
    """
    from celeba_gan.gan.conditions import Conditions, grid_names
    from celeba_gan.gan.training import train
    from celeba_gan.imaging.labels import name_labels
    from celeba_gan.progress import TrainingProgress

    condition = settings.condition
    conditions = Conditions(condition.name, *name_labels(labels, classes, condition.name, condition.attributes))
    names = grid_names(conditions.card(*packed_images.split("train")), settings.grid.rows)
    with TrainingProgress() as progress:
        for tick in train(packed_images, settings, resume_state, progress.show, conditions):
            progress.tick(tick.images, tick.rows)
            yield (
                MetricRows(tick.images, tick.rows),
                make_grid(tick.samples, tick.images, settings.grid.columns, names=names),
                tick.generator,
                tick.discriminator,
                tick.state,
            )


def plot_training_curves(metric_rows: Any) -> Any:
    """Draws the training curves from the metric rows (a DataFrame): an interactive plotly figure."""
    from celeba_gan.imaging.curves import plot_curves

    return plot_curves(metric_rows)
