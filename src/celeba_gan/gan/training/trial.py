"""Which precision is faster on this machine, by a trial."""

import logging
import time
from dataclasses import replace

import torch

from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.players import Players
from celeba_gan.gan.training.steps import Steps

logger = logging.getLogger(__name__)

MARGIN = 1.1
"""How much faster the lower precision must be, so that noise seldom decides, and little is lost where it does."""
STEP_SECONDS = 0.25
"""As long as a step on trial should take; it has fewer images than the batch where that is slow."""
ROUNDS = 3


def faster_precision(settings: TrainSettings, size: int, classes: int | None, candidates: list[Hardware]) -> Hardware:
    """Times a discriminator step with penalty and a generator step of each, in turn, and compares their least times.

    The players are thrown away, and images and labels are noise: a training neither sees nor feels it. Where a step
    with a single image is slow already, two of them decide, so that it takes seconds. Two machines, or one that is
    busy at one time and not at another, may choose differently; the state keeps the choice. Give `train.precision`
    where two runs from scratch must equal each other.

    Args:
        settings: Of the training.
        size: Height and width of the images in pixels.
        classes: Columns of the labels, for networks that are told them.
        candidates: On one device; the first is taken unless a later one is faster by `MARGIN`.
    """
    logger.info("Trying which precision is faster; train.precision decides otherwise")
    most = settings.micro_batch or settings.batch_size
    timed = [_Trial(settings, size, classes, replace(hardware, compiled=False)) for hardware in candidates]
    for trial in timed:
        trial.seconds(1)  # the first step chooses kernels
    images, rounds = 1, [[trial.seconds(1) for trial in timed]]
    if (fitting := min(most, int(STEP_SECONDS / max(rounds[0])))) > 1:  # else one image is slow enough to judge by
        images = fitting
        rounds = [[trial.seconds(images) for trial in timed] for _ in range(1 + ROUNDS)][1:]  # so does each new size
    best = [min(seconds) for seconds in zip(*rounds, strict=True)]
    fastest = min(range(len(best)), key=best.__getitem__)
    chosen = candidates[fastest if best[fastest] * MARGIN <= best[0] else 0]
    logger.info(
        "Precision: %s (%s for a step of each player, images: %d)",
        chosen.precision,
        ", ".join(f"{which.precision} {took * 1000:.0f} ms" for which, took in zip(candidates, best, strict=True)),
        images,
    )
    return chosen


class _Trial:
    """A pair of players that nobody trains."""

    def __init__(self, settings: TrainSettings, size: int, classes: int | None, hardware: Hardware) -> None:
        self.size, self.classes, self.latent = size, classes or 0, settings.latent.size
        self.penalised = bool(settings.penalty.of_gradients)
        self.players = Players(settings, size, hardware, None, classes)
        self.steps = Steps(settings.model_copy(update={"augment": type(settings.augment)()}), hardware, self.players)

    def seconds(self, images: int) -> float:
        """Of a step of each player, without those parts that take as long in any precision."""
        draws = torch.Generator().manual_seed(0)
        real = torch.rand(images, self.size, self.size, 3, generator=draws).permute(0, 3, 1, 2)
        labels = torch.zeros(images, self.classes)
        z, mix = torch.randn(images, self.latent, generator=draws), torch.rand(images, generator=draws)
        none = torch.zeros(images, 0)
        began = time.perf_counter()
        terms = self.steps.discriminator_terms(real, labels, z, mix, [none] * 4, self.penalised)
        self.players.discriminator_gradients(terms["loss"] + terms.get("penalty", 0))
        self.players.generator_gradients(self.steps.generator_loss(real, labels, z, [none] * 4))
        return time.perf_counter() - began
