"""Schedules: pure functions of the images shown, so that a resumed run needs no schedule's state."""

import math

from celeba_gan.gan.config import ScheduleSettings


def factor(schedule: ScheduleSettings, shown: int) -> float:
    """What a learning rate or a weight is multiplied with after `shown` images.

    During the warm-up it rises linearly from 0 to 1; from there to `end_kimg` it follows the line or the half cosine
    to `final`, and stays there.
    """
    kimg = shown / 1000
    if kimg < schedule.warm_up_kimg:
        return kimg / schedule.warm_up_kimg
    if schedule.name == "constant" or schedule.end_kimg is None:
        return 1.0
    passed = min(1.0, (kimg - schedule.warm_up_kimg) / (schedule.end_kimg - schedule.warm_up_kimg))
    if schedule.name == "cosine":
        passed = (1 - math.cos(math.pi * passed)) / 2
    return 1 + (schedule.final - 1) * passed
