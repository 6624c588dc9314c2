"""All metrics. A new one is a file with a `Metric`, and its name in `METRICS`."""

from dataclasses import dataclass
from typing import Final, Literal

from celeba_gan.evaluation.metrics.age import AGE
from celeba_gan.evaluation.metrics.frechet import FRECHET
from celeba_gan.evaluation.metrics.inception_score import INCEPTION_SCORE
from celeba_gan.evaluation.metrics.kernel import KERNEL
from celeba_gan.evaluation.metrics.manifolds import MANIFOLDS
from celeba_gan.evaluation.metrics.metric import Direction, Measure, Number
from celeba_gan.evaluation.metrics.ms_ssim import MS_SSIM
from celeba_gan.evaluation.metrics.originality import ORIGINALITY
from celeba_gan.evaluation.metrics.swd import SWD
from celeba_gan.evaluation.metrics.two_sample import TWO_SAMPLE

METRICS: Final = (FRECHET, KERNEL, MANIFOLDS, INCEPTION_SCORE, SWD, MS_SSIM, ORIGINALITY, TWO_SAMPLE, AGE)
"""In the order of the page."""
NUMBERS: Final = {number.name: number for metric in METRICS for number in metric.numbers}

_OF_FEATURES: Final = {
    number.name
    for metric in METRICS
    if metric.needs in ("features", "training features", "class probabilities")
    for number in metric.numbers
}
_SETS: Final = {
    "valid": "on the valid split",
    "train": "on its training images",
    "choose": "on the images that chose its best epoch",
}


@dataclass(frozen=True)
class Name:
    """A name in an evaluation, taken apart."""

    number: Number
    features: str | None = None
    """Of which extractor."""
    scale: int | None = None
    """In pixels."""
    images: str | None = None
    """On which other images it was measured, in words."""

    @property
    def direction(self) -> Direction | None:
        """Whether less or more is better. Numbers on other images than those of the test split rank no models."""
        return None if self.images else self.number.direction

    @property
    def better(self) -> str:
        """Which way is better, in a word or two."""
        return (not self.images and self.number.target) or self.direction or "–"

    @property
    def advice(self) -> str:
        """The same as a clause; empty where there is a target."""
        if self.better not in ("–", self.direction):
            return ""
        return f"{self.direction} is better" if self.direction else "ranks no models"

    @property
    def detail(self) -> str | None:
        """The scale, or the other images, in words."""
        return f"at {self.scale} × {self.scale} pixels" if self.scale else self.images


def read_name(name: str) -> Name:
    """Takes `frechet_attributes`, `swd_32` or `age_valid` apart; the longest known beginning counts.

    A name that no metric has, as in a file of another version, is a number without direction.
    """
    for base in sorted(NUMBERS, key=len, reverse=True):
        number = NUMBERS[base]
        if name == base:
            return Name(number)
        end = name.removeprefix(f"{base}_")
        if end == name:
            continue
        if base in _OF_FEATURES:
            return Name(number, features=end)
        if number.per_scale and end.isdigit():
            return Name(number, scale=int(end))
        if end in _SETS:
            return Name(number, images=_SETS[end])
    return Name(Number(name, name.replace("_", " "), "other", None, ""))


def measures(needs: Literal["images", "features"]) -> list[Measure]:
    """Functions of all metrics of two sets of images, or of two sets of features."""
    return [metric.measure for metric in METRICS if metric.needs == needs and metric.measure is not None]
