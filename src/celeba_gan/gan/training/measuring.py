"""A metric during training: when it is taken, and which tick is the best by it."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_gan.gan.runs.same_run import TrainingError
from celeba_gan.gan.settings import TrainSettings

logger = logging.getLogger(__name__)

Sample = Callable[[int, int], NDArray[np.uint8]]
"""(count, seed) -> images of the averaged generator, uint8 (count, size, size, 3)."""
Measure = Callable[[Sample], Mapping[str, float]]
"""Takes what it needs of samples, and returns numbers by name."""


def is_measured(settings: TrainSettings, shown: int, *, finished: bool) -> bool:
    """Whether the tick at `shown` images is measured: the one at or after each multiple of `evaluate_every_kimg`.

    The tick that ends training is, too. One that is saved because training was asked to stop is not, and the next one
    is measured as if nothing had happened: the answer depends on the clock and the settings alone.
    """
    if settings.evaluate_every_kimg is None or not shown:
        return False
    tick, every = settings.tick_kimg * 1000, settings.evaluate_every_kimg * 1000
    number = shown // tick
    between = shown - settings.images_per_iteration >= number * tick  # the last iteration completed no tick
    return finished or (not between and number * tick // every > (number - 1) * tick // every)


class Best:
    """The least value of `minimise` so far, and the images shown when it was measured."""

    def __init__(self, settings: TrainSettings, card: Mapping[str, Any] | None) -> None:
        """Carries on from a state's card; a value that was measured in another way is no longer compared with."""
        self._settings = settings
        self._way = {"metric": settings.minimise, "evaluate_images": settings.evaluate_images}
        self._card = None if card is None else dict(card)
        other = card is not None and self._way != {name: card[name] for name in self._way}
        if card is not None and other and settings.evaluate_every_kimg is not None:
            logger.warning(
                "The best tick was chosen by %s on %d images, now it is %s on %d: the choice starts anew",
                *(way[name] for way in (card, self._way) for name in self._way),
            )
            self._card = None

    def card(self) -> dict[str, Any] | None:
        """For the cards: `metric`, `evaluate_images`, `value` and `images`; None where nothing has been measured."""
        return self._card

    def compare(self, measured: Mapping[str, float], images: int) -> None:
        """Notes a measured tick if it is the best.

        Raises:
            TrainingError: What is to be minimised was not measured.
        """
        name = self._settings.minimise
        if name not in measured:
            raise TrainingError(f"train.minimise is {name!r}, which is not measured. There are: {', '.join(measured)}")
        value = float(measured[name])
        if math.isfinite(value) and (self._card is None or value < self._card["value"]):
            self._card = {**self._way, "value": value, "images": images}
