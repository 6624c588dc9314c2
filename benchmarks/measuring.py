"""What the measurement during training costs on the CPU, as a share of the training between two measurements.

CPU time of one thread, so that work beside it has little say: threads that wait for each other count as busy. The
training is the default one (`conf/base`) unless the environment `celeba` is asked for; its images are noise, which
sorts no faster than faces. Measurements and iterations are timed in turn; figures are medians over rounds.
"""

import argparse
import statistics
import time
from itertools import pairwise

import numpy as np
from machine import describe, matrix_product_ms
from numpy.typing import NDArray

from celeba_gan.evaluation.validation import ValidationDistance
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.best import Sample
from celeba_gan.gan.training.loop import train

DEMO = {"kimg": 150, "tick_kimg": 10, "batch_size": 32, "network": {"dcgan": {"width": 32}}}
CELEBA = {"kimg": 4000, "tick_kimg": 50, "batch_size": 64, "network": {"dcgan": {"width": 64}}}
TARGET = 0.03  # of the tick


class Noise:
    """Random images in the place of packed ones."""

    digest = "noise"

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixels = np.random.default_rng(0).integers(0, 256, (4096, size, size, 3), dtype=np.uint8)

    def split(self, name: str) -> tuple[int, int]:
        """The last 1,024 images are valid."""
        return (0, 3072) if name == "train" else (3072, 4096)

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images at these indices."""
        return self.pixels[indices]


def measure(settings: TrainSettings, size: int, rounds: int) -> tuple[float, float]:
    """Median CPU seconds of a measurement, and of an iteration of training."""
    images = Noise(size)
    every = settings.images_per_iteration / 1000
    short = settings.model_copy(
        update={
            "tick_kimg": every,
            "kimg": every * rounds,
            "evaluate_every_kimg": every,
            "device": "cpu",
            "threads": 1,
        }
    )
    distance = ValidationDistance(images.pixels[3072 : 3072 + 2 * settings.evaluate_images])
    measurements: list[float] = []
    clock: list[float] = []

    def timed(sample: Sample) -> dict[str, float]:
        began = time.process_time()
        values = distance(sample)
        measurements.append(time.process_time() - began)
        return values

    for _ in train(images, short, measure=timed, progress=lambda shown, total: clock.append(time.process_time())):
        clock.append(time.process_time())  # after the tick; the next entry is the end of the iteration that follows
    spans = [after - before for before, after in list(pairwise(clock))[::2]]
    return statistics.median(measurements), statistics.median(spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--celeba", action="store_true", help="the environment celeba in place of the default")
    arguments = parser.parse_args()
    size = 64 if arguments.celeba else 32
    settings = TrainSettings.model_validate(CELEBA if arguments.celeba else DEMO)
    measured, iteration = measure(settings, size, arguments.rounds)
    every = settings.evaluate_every_kimg or 0.0
    between = iteration * every * 1000 / settings.images_per_iteration
    ticks = max(1.0, every / settings.tick_kimg)
    print(f"Measuring {settings.evaluate_images} samples of {size}x{size} ({describe()})")
    print(
        f"a measurement {measured:.2f} CPU s, an iteration {iteration:.3f} CPU s; 1024^3 float32 product "
        f"{matrix_product_ms():.1f} ms"
    )
    print(f"of the {every:g} kimg between two measurements: {measured / between:.2%}")
    share = measured / between * ticks
    print(
        f"of the tick that is measured, {settings.tick_kimg:g} kimg: {share:.2%}; target for the mean tick, under "
        f"{TARGET:.0%}: {'met' if measured / between < TARGET else 'missed'}"
    )


if __name__ == "__main__":
    main()
