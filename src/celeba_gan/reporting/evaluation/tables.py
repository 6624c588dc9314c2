"""The numbers of an evaluation as rows, with a cue to where each lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from celeba_gan.reporting.evaluation.gaps import find_gaps
from celeba_gan.reporting.evaluation.glossary import (
    GROUPS,
    Group,
    Metric,
    describe,
    is_minor,
    name_extractor,
    order,
    read_name,
)
from celeba_gan.reporting.evaluation.verdict import first_extractor
from celeba_gan.reporting.evaluation.writing import write, write_interval

_LEAST_END: Final = {"memorised": 0.05, "repeated": 0.05, "density": 1.25, "distance_ratio": 2.0}
"""Scales that begin at 0 end here, or further right where a number asks for it."""


@dataclass(frozen=True)
class Cue:
    """Where a number lies: places on a scale, in percent of its length."""

    value: float
    interval: tuple[float, float] | None
    floor: float | None
    """Of unseen real images."""
    train: float | None
    """Of training images."""
    ends: tuple[str, str]
    """What the scale's ends stand for."""


@dataclass(frozen=True)
class Row:
    """A metric as text."""

    name: str
    label: str
    detail: str
    """With which features, at which scale."""
    meaning: str
    better: str
    value: str
    interval: str
    floor: str
    by_definition: bool
    """Whether the floor is known without measuring."""
    floor_train: str
    cue: Cue

    @property
    def in_short(self) -> str:
        """What to compare the value with, in a line."""
        way = {"less": "less is better", "more": "more is better", "–": "ranks no generators"}.get(self.better, "")
        return "; ".join(filter(None, [f"unseen reals {self.floor}" if self.floor else "", way]))


@dataclass(frozen=True)
class Section:
    """A group of metrics: those to look at, those that complete them, and what is missing."""

    title: str
    question: str
    rows: Sequence[Row]
    minor: Sequence[Row]
    gaps: Sequence[str]


def make_sections(evaluation: Mapping[str, Any]) -> list[Section]:
    """All metrics, group by group, in the glossary's order; none is left out."""
    gaps = find_gaps(evaluation)
    names = sorted(evaluation["metrics"], key=order)
    sections = []
    for group, (title, question) in GROUPS.items():
        here = [name for name in names if describe(name).group == group]
        if here or group in gaps:
            rows = [make_row(evaluation, name) for name in here if not is_minor(name)]
            minor = [make_row(evaluation, name) for name in here if is_minor(name)]
            sections.append(Section(title, question, rows, minor, gaps.get(group, [])))
    return sections


def choose_headlines(evaluation: Mapping[str, Any]) -> list[tuple[str, Row]]:
    """The number of each group that a person should see first, with the group's title."""
    firsts: dict[Group, tuple[str, ...]] = {
        "quality": ("frechet", "swd"),
        "variety": ("coverage", "recall", "ms_ssim"),
        "originality": ("memorised",),
        "judge": ("c2st_accuracy", "age"),
    }
    found = []
    for group, bases in firsts.items():
        name = next((one for base in bases if (one := first_extractor(evaluation, base)) is not None), None)
        if name is not None:
            found.append((GROUPS[group][0], make_row(evaluation, name)))
    return found


def make_row(evaluation: Mapping[str, Any], name: str) -> Row:
    """A metric with its interval, its floors and its cue."""
    metric, parts = describe(name), read_name(name)
    value, interval = evaluation["metrics"][name], evaluation.get("intervals", {}).get(name)
    floor = evaluation.get("floor", {}).get(name, metric.by_definition)
    train = evaluation.get("floor_train", {}).get(name)
    return Row(
        name=name,
        label=metric.label,
        detail=f"in the features of {name_extractor(parts.features)}" if parts.features else parts.detail or "",
        meaning=metric.meaning,
        better=metric.better,
        value=write(value, metric.kind),
        interval=write_interval(interval, metric.kind),
        floor="" if floor is None else write(floor, metric.kind),
        by_definition=name not in evaluation.get("floor", {}) and floor is not None,
        floor_train="" if train is None else write(train, metric.kind),
        cue=_cue(parts.base, metric, value, interval, floor, train),
    )


def _cue(
    base: str,
    metric: Metric,
    value: float,
    interval: Mapping[str, Any] | None,
    floor: float | None,
    train: float | None,
) -> Cue:
    reach = (interval["low"], interval["high"]) if interval else None
    left, right = _ends(base, metric, [one for one in (value, floor, train, *(reach or ())) if one is not None])

    def place(number: float) -> float:
        return round(100 * (number - left) / (right - left), 2)

    return Cue(
        value=place(value),
        interval=(place(reach[0]), place(reach[1])) if reach else None,
        floor=None if floor is None else place(floor),
        train=None if train is None else place(train),
        ends=(write(left, metric.kind), write(right, metric.kind)),
    )


def _ends(base: str, metric: Metric, numbers: Sequence[float]) -> tuple[float, float]:
    """A scale that holds all the numbers: from 0 where they allow it, so that lengths can be compared."""
    low, high = min(numbers), max(numbers)
    if base in _LEAST_END:
        return min(0.0, low), max(_LEAST_END[base], 1.1 * high)
    ends = metric.ends or ((0.0, 1.0) if metric.kind == "share" else None)
    if ends is not None:
        return min(ends[0], low), max(ends[1], high)
    return min(0.0, 1.1 * low), max(0.0, 1.15 * high) or 1.0
