"""The clock of a training: images seen by the discriminator."""

import math
from dataclasses import dataclass
from typing import Self

from celeba_gan.gan.settings import TrainSettings


@dataclass(frozen=True)
class Clock:
    """When training ends, when it ticks, and which ticks are measured; all counts are images.

    Training advances by whole iterations, so a tick ends with the iteration that reaches its multiple of `tick`.
    """

    length: int  # at which training ends: `train.kimg`, rounded up to whole iterations
    tick: float  # between two ticks
    measure_every: float | None  # between two measurements; None: never
    iteration: int  # in one iteration

    @classmethod
    def of(cls, settings: TrainSettings) -> Self:
        """The clock of these settings."""
        step, every = settings.images_per_iteration, settings.evaluate_every_kimg
        return cls(
            length=math.ceil(settings.kimg * 1000 / step) * step,
            tick=settings.tick_kimg * 1000,
            measure_every=None if every is None else every * 1000,
            iteration=step,
        )

    def next_tick(self, images: int) -> int:
        """Where the tick ends that begins after this many images."""
        mark = min(self.length, (images // self.tick + 1) * self.tick)
        return images + math.ceil((mark - images) / self.iteration) * self.iteration

    def ticks_after(self, images: int) -> int:
        """Ticks still to come."""
        count = 0
        while images < self.length:
            images, count = self.next_tick(images), count + 1
        return count

    def is_measured(self, images: int) -> bool:
        """Whether the tick at this point is measured: at or after each multiple of `measure_every`, and the last.

        A tick that is saved because training was requested to stop is not, and the next one is measured as if nothing
        had happened: the answer depends on the clock alone.
        """
        if self.measure_every is None or not images:
            return False
        number = images // self.tick
        between = images - self.iteration >= number * self.tick  # the last iteration completed no tick
        due = number * self.tick // self.measure_every > (number - 1) * self.tick // self.measure_every
        return images >= self.length or (not between and due)
