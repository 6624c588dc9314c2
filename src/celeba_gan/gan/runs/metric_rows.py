"""The metric rows of one tick."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricRows:
    """What was measured since the tick before: each row has its clock, `images`, and numbers by name."""

    images: int  # the tick's image count
    rows: list[dict[str, float]]
    since: int | None = None  # the image count of the tick before; None where that is not known
