"""The objectives by name. It imports no torch, so that settings can be checked without it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class ObjectiveEntry:
    """One objective."""

    class_name: str
    """In `celeba_gan.gan.losses.objectives`."""
    needs_bound: bool = False
    """Whether its loss has no minimum unless something bounds the discriminator's slope."""


OBJECTIVES: Final = {
    "minimax": ObjectiveEntry("Minimax"),
    "non_saturating": ObjectiveEntry("NonSaturating"),
    "wgan": ObjectiveEntry("WGAN", needs_bound=True),
    "lsgan": ObjectiveEntry("LSGAN"),
    "hinge": ObjectiveEntry("Hinge"),
    "rpgan": ObjectiveEntry("RpGAN"),
}
