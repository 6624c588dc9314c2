"""Nodes of the train stage."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from celeba_gan.foundation.wording import listed
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.experiments import Experiments
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.packed import PackedImages
from celeba_gan.reporting.grids import ImageGrid, make_grid

logger = logging.getLogger(__name__)


def train_gan(
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    settings: TrainSettings,
    resume_state: Checkpoint | None,
    experiments: Experiments,
) -> Iterator[tuple[MetricRows, ImageGrid, Checkpoint, Checkpoint, Checkpoint]]:
    """Trains, and yields every tick: rows, grid, generator, discriminator and, last because it commits, the state.

    Kedro saves what is yielded at once.
    """
    from celeba_gan.gan.inputs.conditions import Conditions, grid_names
    from celeba_gan.gan.runs.initial import find_initial, load_initial
    from celeba_gan.gan.training.loop import train
    from celeba_gan.images.labels import check_labels, name_labels
    from celeba_gan.reporting.training.progress import TrainingProgress

    condition = settings.condition
    if condition.name != "none":
        check_labels(labels, packed_images.manifest)
    conditions = Conditions(condition.name, *name_labels(labels, classes, condition.name, condition.attributes))
    if conditions.names:
        logger.info("Labels, by the %s of each image: %s", condition.name, listed(conditions.names, 10))
    names = grid_names(conditions.card(*packed_images.split("train")), settings.grid.rows)
    fresh = resume_state is None and settings.init_from is not None
    initial = load_initial(find_initial(experiments, str(settings.init_from))) if fresh else None
    measure = _measure(packed_images, settings)
    with TrainingProgress() as progress:
        for tick in train(packed_images, settings, resume_state, progress.show, conditions, measure, initial):
            progress.tick(tick.images, tick.rows)
            yield (
                MetricRows(tick.images, tick.rows, tick.since),
                replace(make_grid(tick.samples, tick.images, settings.grid.columns, names=names), since=tick.since),
                tick.generator,
                tick.discriminator,
                tick.state,
            )


def choose_best_networks(
    generator: Checkpoint, discriminator: Checkpoint, best_measured: tuple[Checkpoint, Checkpoint] | None
) -> tuple[Checkpoint, Checkpoint]:
    """The generator and the discriminator of the best measured tick; the last ones where nothing was measured."""
    if best_measured is None:
        return generator, discriminator
    best = best_measured[0].card["best"]
    logger.info("The best generator: %s %.4g after %d images", best["metric"], best["value"], best["images"])
    return best_measured


def plot_training_curves(metric_rows: Any) -> Any:
    """Draws the training curves from the metric rows (a DataFrame): an interactive plotly figure."""
    from celeba_gan.reporting.training.curves import plot_curves

    return plot_curves(metric_rows)


def _measure(packed_images: PackedImages, settings: TrainSettings) -> Any:
    """What measures the generator during training, against images of the valid split; None where nothing does."""
    from celeba_gan.evaluation.validation import ValidationDistance, choose_reals

    if settings.evaluate_every_kimg is None:
        return None
    start, stop = packed_images.split("valid")
    if stop - start < 4:
        logger.warning("Nothing is measured during training: the valid split has %d images, 4 are needed", stop - start)
        return None
    size = settings.network_size(packed_images.size)
    return ValidationDistance(choose_reals(packed_images.gather, start, stop, size, 2 * settings.evaluate_images))
