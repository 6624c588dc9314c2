"""Schedules: pure functions of the images seen, so that a resumed run needs no schedule's state."""

import math
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from celeba_gan.foundation.settings import Settings

MOST_KIMG: Final = 1e7
"""The longest training, in thousand images: several times any published one."""
LARGEST_WEIGHT: Final = 1e6
"""Of a term of a loss: above, float32 has few digits left for the other terms."""


class ScheduleSettings(Settings):
    """A factor that follows the images seen: up to 1 in the warm-up, then along the curve to `final`."""

    name: Literal["constant", "linear", "cosine"] = "constant"
    warm_up_kimg: float = Field(
        0.0, ge=0, le=MOST_KIMG, description="thousand images of linear increase from 0; 0: none"
    )
    end_kimg: float | None = Field(
        None, gt=0, le=MOST_KIMG, description="thousand images at which the factor is `final`"
    )
    final: float = Field(0.0, ge=0, le=1000, description="factor from `end_kimg` on; not for constant")

    @model_validator(mode="after")
    def _ends_after_the_warm_up(self) -> Self:
        if self.name != "constant" and (self.end_kimg is None or self.end_kimg <= self.warm_up_kimg):
            raise ValueError(
                f"schedule {self.name} needs an end_kimg above warm_up_kimg ({self.warm_up_kimg:g}), "
                f"not {'none' if self.end_kimg is None else format(self.end_kimg, 'g')}"
            )
        return self


def factor(schedule: ScheduleSettings, images: int) -> float:
    """The factor of a learning rate or a weight after so many images.

    During the warm-up it rises linearly from 0 to 1; from there to `end_kimg` it follows the line or the half cosine
    to `final`, and stays there.
    """
    kimg = images / 1000
    if kimg < schedule.warm_up_kimg:
        return kimg / schedule.warm_up_kimg
    if schedule.name == "constant" or schedule.end_kimg is None:
        return 1.0
    passed = min(1.0, (kimg - schedule.warm_up_kimg) / (schedule.end_kimg - schedule.warm_up_kimg))
    if schedule.name == "cosine":
        passed = (1 - math.cos(math.pi * passed)) / 2
    return 1 + (schedule.final - 1) * passed
