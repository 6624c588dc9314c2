"""Nodes of the generate stage."""

import logging
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Networks
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.ranks.group import current
from celeba_gan.reporting.films import Film
from celeba_gan.reporting.grids import ImageGrid, animate
from celeba_gan.samples.recipe import SampleBatch, SampleRecipe
from celeba_gan.samples.stored import StoredSamples

if TYPE_CHECKING:  # of functions that are not nodes: Kedro reads the annotations of nodes
    import numpy as np
    from numpy.typing import NDArray

    from celeba_gan.gan.sampling.trained import TrainedGenerator

logger = logging.getLogger(__name__)

_BATCH: Final = 64  # samples that a rank makes at once


def generate_samples(
    training_run: Run, settings: GenerateSettings, samples_previous: StoredSamples
) -> Iterator[SampleBatch]:
    """Samples images and yields them batch by batch; those that an interrupted run has saved are not made again."""
    from rich.progress import MofNCompleteColumn

    from celeba_gan.gan.runs.snapshot import networks_from_leader
    from celeba_gan.gan.runtime.hardware import find_device
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.reporting.bars import StepsProgress

    generator = training_run.networks(settings.checkpoint).generator
    if not generator.card.finished:
        logger.warning("Sampling from a generator in training, after %d images", generator.card.images)
    trained = TrainedGenerator(generator, find_device("auto"))
    if trained.condition is not None:
        labels = f"all {' + '.join(settings.labels)}" if settings.labels else "as often as training images have them"
        logger.info("Labels of the samples: %s", labels)
    recipe = SampleRecipe(
        training_id=generator.card.id,
        images=generator.card.images,
        size=generator.card.size,
        seed=settings.seed,
        truncation=settings.truncation,
        labels=tuple(settings.labels),
        names=trained.names,
        format=settings.format,
    )
    first, total = samples_previous.resume(recipe, settings.count), settings.count
    if first:
        logger.info("Reusing %s", "all samples" if first == total else f"{first:,} samples of an interrupted run")
    ranks = current()
    if ranks.several:
        networks_from_leader(ranks, Networks(generator, None))
        ranks.announce(str(first))
    batches = _spread(trained, settings, first)
    with StepsProgress(*StepsProgress.get_default_columns(), MofNCompleteColumn()) as bar:
        for images, label in batches:
            yield SampleBatch(recipe, total, first, images, label)
            first += len(images)
            bar.show("Sampling", first, total)


def follow_sampling(settings: GenerateSettings) -> None:
    """Makes this rank's share of the samples; rank 0 has the generator, and saves."""
    from celeba_gan.gan.runs.snapshot import networks_from_leader
    from celeba_gan.gan.runtime.hardware import find_device
    from celeba_gan.gan.sampling.trained import TrainedGenerator

    ranks = current()
    trained = TrainedGenerator(networks_from_leader(ranks).generator, find_device("auto"))
    deque(_spread(trained, settings, int(ranks.announced())), maxlen=0)


def _spread(
    trained: "TrainedGenerator", settings: GenerateSettings, first: int
) -> "Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]":
    """Images and labels of the samples from `first` on, batch by batch, made by all ranks; nothing but on rank 0."""
    ranks, total = current(), settings.count
    chosen = (settings.seed, settings.truncation, settings.labels)
    if not ranks.several:
        yield from trained.batches(total - first, *chosen, first=first)
        return

    def compute(batch: int) -> "tuple[NDArray[Any], NDArray[Any]]":
        start = first + batch * _BATCH
        (found,) = trained.batches(min(_BATCH, total - start), *chosen, first=start, batch_size=_BATCH)
        return found

    yield from ((images, labels) for images, labels in ranks.spread(-(-(total - first) // _BATCH), compute))


def draw_sample_grid(training_run: Run, settings: GenerateSettings) -> ImageGrid:
    """Lays out the first samples with their numbers.

    Of a generator that takes labels, each row has its own, and each column the latents of one sample.
    """
    from celeba_gan.gan.inputs.conditions import grid_names
    from celeba_gan.gan.runtime.hardware import find_device
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.reporting.generation.samples import draw_samples

    generator = training_run.networks(settings.checkpoint).generator
    trained = TrainedGenerator(generator, find_device("auto"))
    rows, columns = settings.grid_rows, settings.grid_columns
    samples = trained.grid(rows, columns, settings.seed, settings.truncation, settings.labels)
    names = None if settings.labels else grid_names(trained.condition, rows) or None
    shared = f"all {' + '.join(settings.labels)}" if settings.labels else None
    return ImageGrid(
        generator.card.images,
        draw_samples(samples, columns, generator.card.images, settings.seed, settings.truncation, names, shared),
    )


def animate_training(training_grids: list[ImageGrid], settings: GenerateSettings) -> Film:
    """Strings the grids of all ticks together."""
    return Film(animate(training_grids), frame_ms=250, last_frame_ms=3000, formats=tuple(settings.film.formats))


def film_walk(training_run: Run, settings: GenerateSettings) -> Film:
    """Films a closed walk through the first samples: along great circles, labels changing with the latents."""
    import torch

    from celeba_gan.gan.runtime.hardware import find_device
    from celeba_gan.gan.sampling.interpolation import walk
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.reporting.bars import StepsProgress
    from celeba_gan.reporting.films import film_walk as film

    trained = TrainedGenerator(training_run.networks(settings.checkpoint).generator, find_device("auto"))
    count, legs = settings.film.samples, settings.film.frames
    latents, labels = trained.draw(count, settings.seed, settings.labels)
    shares = torch.arange(legs)[:, None] / legs
    between = torch.lerp(labels[:, None], labels.roll(-1, dims=0)[:, None], shares).flatten(0, 1)
    batches = zip(torch.split(walk(latents, legs), 64), torch.split(between, 64), strict=True)
    truncated = "" if settings.truncation == 1 else f", truncation {settings.truncation:g}"
    with StepsProgress() as bar:
        return film(
            (trained.images(*batch, settings.truncation) for batch in batches),
            trained.images(latents, labels, settings.truncation),
            [str(number) for number in range(count)],
            f"samples 0 to {count - 1} of seed {settings.seed}{truncated}",
            settings.film.size,
            settings.film.frame_ms,
            settings.film.formats,
            lambda done: bar.show("Filming the walk", done, count * legs),
        )
