"""Which attributes samples have more or less often than real images, by one rule for the chart and the verdict."""

from dataclasses import dataclass
from typing import Final

from celeba_gan.evaluation.documents import Attributes

POINTS: Final = 0.02
"""A clear difference has at least so much: less hardly matters."""
HALF_WIDTHS: Final = 2
"""And is above so many half-widths of its 0.95 interval, about four standard errors: many attributes are tested."""


@dataclass(frozen=True)
class Difference:
    """The shares of samples and of real images that have an attribute."""

    name: str
    samples: float
    reals: float
    error: float
    """Half the width of the difference's 0.95 interval."""

    @property
    def off(self) -> float:
        """Negative where samples have the attribute less often."""
        return self.samples - self.reals

    @property
    def seems_off(self) -> bool:
        """Whether the interval excludes 0; by chance one in twenty does."""
        return abs(self.off) > self.error

    @property
    def is_clear(self) -> bool:
        """Whether it is large, and chance does not explain it."""
        return abs(self.off) >= POINTS and abs(self.off) > HALF_WIDTHS * self.error


def find_differences(attributes: Attributes | None) -> list[Difference]:
    """Those of all attributes, in their order."""
    if attributes is None:
        return []
    return [
        Difference(name, attributes.samples[name], attributes.reals[name], attributes.errors[name])
        for name in attributes.names
    ]
