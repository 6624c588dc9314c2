"""When two models compare, and which one is better: for comparisons and for promotion alike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.documents import ComparedMetric, Comparison, Evaluation, Winner
from celeba_gan.evaluation.metrics.intervals import SHARE
from celeba_gan.evaluation.metrics.registry import read_name

_MUST_AGREE: Final = (
    *("data_digest", "split", "images_per_side", "train_images", "judge_network", "seed", "size", "centre_crop"),
    *("code", *EvaluateSettings.READ_BY_METRICS),
)
"""Of the protocol; for metrics of features their digest must agree, too."""


@dataclass(frozen=True)
class Measurement:
    """One number of one model, with what it takes to compare it."""

    metric: str
    value: float
    interval: tuple[float, float] | None
    """None where it is unknown, or would not hold for other samples."""
    protocol: Mapping[str, str]
    """What must agree, as text."""

    @classmethod
    def of(cls, evaluation: Evaluation, metric: str) -> Self:
        """From an evaluation. Intervals of shares are ignored: they are about these very radii, or this classifier."""
        protocol = {name: str(getattr(evaluation.protocol, name)) for name in _MUST_AGREE}
        if (features := read_name(metric).features) is not None:
            protocol["features"] = evaluation.protocol.features[features]
        interval = evaluation.intervals.get(metric)
        known = None if interval is None or interval.method == SHARE else (interval.low, interval.high)
        return cls(metric, evaluation.metrics[metric], known, protocol)

    def differences(self, other: "Measurement") -> list[str]:
        """Where the two protocols differ, in words."""
        return [
            f"{name} is {self.protocol.get(name, 'unknown')} and {other.protocol.get(name, 'unknown')}"
            for name in sorted({*self.protocol, *other.protocol})
            if self.protocol.get(name) != other.protocol.get(name)
        ]

    def interval_of_difference(self, other: "Measurement") -> tuple[float, float] | None:
        """The 0.95 interval of this value minus the other; None where either is unknown.

        The two are taken as independent; since both share their reals, the interval is rather too wide.
        """
        if self.interval is None or other.interval is None:
            return None
        reach = math.hypot(*((high - low) / 2 for low, high in (self.interval, other.interval)))
        return self.value - other.value - reach, self.value - other.value + reach

    def winner(self, other: "Measurement") -> Winner:
        """`model` where this one is better, `against` where the other is: where the interval excludes 0."""
        direction, interval = read_name(self.metric).direction, self.interval_of_difference(other)
        if direction is None or interval is None or interval[0] <= 0 <= interval[1]:
            return "neither"
        return "model" if (interval[1] < 0) == (direction == "less") else "against"


def compare_models(label: str, evaluation: Evaluation, other_label: str, other: Evaluation) -> Comparison:
    """Compares two models by all metrics that both have and that rank models.

    Raises:
        ValueError: They were measured in different ways.
    """
    rows = []
    for metric in evaluation.metrics:
        if read_name(metric).direction is None or metric not in other.metrics:
            continue
        one, two = Measurement.of(evaluation, metric), Measurement.of(other, metric)
        if different := one.differences(two):
            raise ValueError(
                f"{label} and {other_label} were measured in different ways, so they cannot be compared: "
                f"{'; '.join(different)}"
            )
        low, high = one.interval_of_difference(two) or (None, None)
        values = {"model": one.value, "against": two.value, "low": low, "high": high}
        rows.append(ComparedMetric(metric=metric, **values, better=one.winner(two)))
    return Comparison(model=label, against=other_label, rows=rows, measured=other)
