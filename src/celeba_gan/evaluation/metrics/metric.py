"""What a metric is: how it is measured, and everything that people read about its numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.documents import Interval

Direction = Literal["less", "more"]
Group = Literal["quality", "variety", "originality", "discriminator", "other"]
Kind = Literal["distance", "share", "ratio", "number"]
Needs = Literal[
    "images", "features", "training features", "class probabilities", "new discriminator", "trained discriminator"
]

LEAST_IMAGES = 20
"""A side, below which distances between features are chance alone."""


@dataclass(frozen=True)
class Number:
    """One number of a metric: its name in `evaluation.json`, its direction, and its words.

    Names of numbers that are measured in features end with the extractor's name, as in `frechet_attributes`.
    """

    name: str
    label: str
    group: Group
    """The part of the page it is shown in."""
    direction: Direction | None
    """Which of two models is better by it; None: it ranks no models."""
    meaning: str
    """One sentence for the page."""
    kind: Kind = "number"
    """A distance starts at 0, a share is shown in percent and lies between 0 and 1, a ratio is compared with 1."""
    target: str = ""
    """The value to aim at, where `less` or `more` is not enough."""
    ends: tuple[float, float] | None = None
    """The ends of its scale on the page, where they are fixed."""
    least_end: float | None = None
    """The scale starts at 0 and ends here, or further right where a number needs it."""
    by_definition: float | None = None
    """What unseen real images score, where that needs no measurement."""
    minor: bool = False
    """Whether it only completes another number."""
    per_scale: bool = False
    """Whether it is also given for each scale: `swd_32`."""
    terminal: tuple[str, str] | None = None
    """Label and meaning in the summary of a run; None: not shown there."""


@dataclass(frozen=True)
class Measured:
    """Numbers by name, and intervals of some of them."""

    values: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)

    def named(self, suffix: str) -> "Measured":
        """The same, with a suffix on every name."""
        return Measured(
            {f"{name}_{suffix}": value for name, value in self.values.items()},
            {f"{name}_{suffix}": interval for name, interval in self.intervals.items()},
        )

    def __or__(self, other: "Measured") -> "Measured":
        if twice := self.values.keys() & other.values.keys():
            raise ValueError(
                f"Two numbers have the same name: {', '.join(sorted(twice))}. Set another evaluate.features.name"
            )
        return Measured(self.values | other.values, self.intervals | other.intervals)


Measure = Callable[[NDArray[Any], NDArray[Any], EvaluateSettings], Measured]
"""Reals and samples, in random order, and the settings -> numbers."""


@dataclass(frozen=True)
class Metric:
    """A way of measuring, which gives one number or several."""

    numbers: tuple[Number, ...]
    needs: Needs
    measure: Measure | None = None
    """For two sets of images, or of features; None where `evaluate` calls it with what else it needs."""
