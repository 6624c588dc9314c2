"""Nodes of the train stage."""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celeba_gan.foundation.wording import listed
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.packed import PackedImages
from celeba_gan.ranks.group import current
from celeba_gan.reporting.grids import make_grid

if TYPE_CHECKING:  # of functions that are not nodes: Kedro reads the annotations of nodes
    from celeba_gan.gan.inputs.conditions import Conditions
    from celeba_gan.gan.training.best import Measure

logger = logging.getLogger(__name__)


def train_gan(
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    settings: TrainSettings,
    training_run_previous: Snapshot | None,
    experiments: Experiments,
    progress: Any = None,
) -> Iterator[list[Any]]:
    """Trains, and yields every tick: `MetricRows`, `ImageGrid` and, last because it commits, the `Snapshot`.

    Kedro saves what is yielded at once. A list that was yielded is empty once the next one is: Kedro's way of handing
    one generator's values to several datasets (`itertools.tee`) keeps the last 57 lists, with hundreds of megabytes of
    images and tensors at high resolutions. `progress` is a `TrainingProgress`; None: that of `kedro run`.
    """
    from celeba_gan.gan.inputs.conditions import grid_names
    from celeba_gan.gan.runs.initial import load_initial
    from celeba_gan.gan.training.loop import train
    from celeba_gan.reporting.training.progress import TrainingProgress

    conditions = _conditions(packed_images, labels, classes, settings)
    if conditions.names:
        logger.info("Labels, by the %s of each image: %s", settings.condition.name, listed(conditions.names, 10))
    names = grid_names(conditions.card(*packed_images.split("train")), settings.grid.rows)
    fresh = training_run_previous is None and settings.init_from is not None
    initial = load_initial(experiments, str(settings.init_from)) if fresh else None
    measure = _measure(packed_images, settings)
    training = (packed_images, settings, training_run_previous)
    with progress or TrainingProgress() as shown:
        for tick in train(*training, shown.show, conditions, measure, initial, ranks=current()):
            shown.tick(tick.images, tick.rows)
            outputs = [
                MetricRows(tick.images, tick.rows, tick.since),
                replace(make_grid(tick.samples, tick.images, settings.grid.columns, names=names), since=tick.since),
                tick.snapshot,
            ]
            del tick
            yield outputs
            outputs.clear()


def follow_training(packed_images: PackedImages, labels: Any, classes: Any, settings: TrainSettings) -> None:
    """Trains along with rank 0, which has the snapshot and the initial weights, and saves every tick."""
    from celeba_gan.gan.training.loop import train

    conditions = _conditions(packed_images, labels, classes, settings)
    deque(train(packed_images, settings, conditions=conditions, ranks=current()), maxlen=0)


def plot_training_curves(metric_rows: Any) -> Any:
    """Draws the training curves from the metric rows (a DataFrame): an interactive plotly figure."""
    from celeba_gan.reporting.training.curves import plot_curves

    return plot_curves(metric_rows)


def _conditions(packed_images: PackedImages, labels: Any, classes: Any, settings: TrainSettings) -> "Conditions":
    """The labels of all packed images."""
    from celeba_gan.gan.inputs.conditions import Conditions
    from celeba_gan.images.labels import check_labels, name_labels

    condition = settings.condition
    if condition.name != "none":
        check_labels(labels, packed_images.manifest)
    return Conditions(condition.name, *name_labels(labels, classes, condition.name, condition.attributes))


def _measure(packed_images: PackedImages, settings: TrainSettings) -> "Measure | None":
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
