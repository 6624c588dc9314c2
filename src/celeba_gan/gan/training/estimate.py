"""A warning at the start of a training that would take longer than a day."""

import logging
import time

from celeba_gan.foundation.wording import in_time
from celeba_gan.gan.training.clock import Clock

logger = logging.getLogger(__name__)

_DAY = 86400.0
_SHORT, _LONG = 10.0, 30.0  # seconds of iterations that are enough: without the first one, and with it


class Estimate:
    """Measures the first iterations, and warns once if the rest takes longer than a day.

    The first iteration counts only where it is long: it may compile.
    """

    def __init__(self, clock: Clock, images: int, device: str) -> None:
        """Starts after this many images."""
        self.clock, self.device = clock, device
        self.first, self.began = images, time.monotonic()
        self.iterations, self.done = 0, False

    def iterated(self, images: int) -> None:
        """Call after every iteration with the images seen so far."""
        if self.done:
            return
        self.iterations += 1
        now = time.monotonic()
        if now - self.began >= (_LONG if self.iterations == 1 else _SHORT):
            self.done = True
            self._warn(images, (images - self.first) / (now - self.began))
        elif self.iterations == 1:
            self.first, self.began = images, now

    def _warn(self, images: int, rate: float) -> None:
        seconds = (self.clock.length - images) / rate
        if seconds <= _DAY:
            return
        faster = "Train on a GPU" if self.device == "cpu" else "Train on a faster GPU"
        logger.warning(
            "This training takes about %s more on this device (%s), at %.3g images/s. %s, or give smaller networks, "
            "smaller images (preprocess.size) or a shorter training: train.kimg=%.1f would take a day here. Ctrl-C "
            "stops it and saves a snapshot; kedro run --pipelines plan estimates other settings",
            in_time(seconds),
            self.device,
            rate,
            faster,
            images / 1000 + rate * _DAY / 1000,
        )
