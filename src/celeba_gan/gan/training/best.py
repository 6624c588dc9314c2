"""The best tick by the validation metric."""

import logging
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from celeba_gan.gan.runs.cards import BestTick

logger = logging.getLogger(__name__)

METRIC = "swd_absolute_valid"  # the measured value by which the best tick is chosen: less is better

Sample = Callable[[int, int], NDArray[np.uint8]]
"""(count, seed) -> images of the averaged generator, uint8 (count, size, size, 3)."""
Measure = Callable[[Sample], Mapping[str, float]]
"""Takes the samples it needs, and returns numbers by name, `METRIC` among them."""


class Best:
    """The lowest value of the metric so far, and where it was measured."""

    def __init__(self, evaluate_images: int, card: BestTick | None, *, measured: bool) -> None:
        """Resumes from a snapshot's card, if there is one; a value of another number of images does not compare."""
        self._evaluate_images = evaluate_images
        self.card = card
        if measured and card is not None and card.evaluate_images != evaluate_images:
            logger.warning(
                "Choosing the best tick anew: train.evaluate_images was %d, and is %d now",
                card.evaluate_images,
                evaluate_images,
            )
            self.card = None

    def compare(self, measured: Mapping[str, float], images: int) -> None:
        """Records a measured tick if it is the best."""
        value = float(measured[METRIC])
        if math.isfinite(value) and (self.card is None or value < self.card.value):
            self.card = BestTick(metric=METRIC, evaluate_images=self._evaluate_images, value=value, images=images)
