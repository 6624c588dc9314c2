"""The objectives by name. It imports no torch, so that settings can be checked without it."""

from dataclasses import dataclass
from typing import Final, Literal

Probability = Literal["sigmoid", "centred_sigmoid", "clip"]
"""How a score becomes a probability of being real: `sigmoid(D)`; `sigmoid(D - c)` for a critic whose zero means
nothing; or D clipped to [0, 1]."""


@dataclass(frozen=True)
class ObjectiveEntry:
    """One objective."""

    class_name: str  # in `celeba_gan.gan.losses.objectives`
    needs_bound: bool = False  # whether its loss has no minimum unless something bounds the discriminator's slope


OBJECTIVES: Final = {
    "minimax": ObjectiveEntry("Minimax"),
    "non_saturating": ObjectiveEntry("NonSaturating"),
    "wgan": ObjectiveEntry("WGAN", needs_bound=True),
    "lsgan": ObjectiveEntry("LSGAN"),
    "hinge": ObjectiveEntry("Hinge"),
    "rpgan": ObjectiveEntry("RpGAN"),
}
