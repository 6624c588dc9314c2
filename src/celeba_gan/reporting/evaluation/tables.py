"""The numbers of an evaluation as rows, each with its place on a scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from celeba_gan.evaluation.documents import Evaluation, Interval
from celeba_gan.evaluation.metrics.metric import Group, Number
from celeba_gan.evaluation.metrics.registry import read_name
from celeba_gan.reporting.evaluation.gaps import find_gaps
from celeba_gan.reporting.evaluation.glossary import GROUPS, describe_detail, first_extractor, is_minor, order
from celeba_gan.reporting.evaluation.writing import write, write_range

_HEADLINES: Final[dict[Group, tuple[str, ...]]] = {
    "quality": ("frechet", "swd"),
    "variety": ("coverage", "recall", "ms_ssim"),
    "originality": ("memorised",),
    "discriminator": ("c2st_accuracy", "age"),
}
"""The first of these that was measured is shown first."""


@dataclass(frozen=True)
class Cue:
    """Places of a number on its scale, in percent of the length."""

    value: float
    interval: tuple[float, float] | None
    floor: float | None  # of unseen real images
    train: float | None  # of training images
    ends: tuple[str, str]  # the values there


@dataclass(frozen=True)
class Row:
    """A metric as text."""

    name: str
    label: str
    detail: str  # with which features, at which scale
    meaning: str
    better: str
    advice: str
    value: str
    interval: str
    floor: str
    by_definition: bool  # the floor is known without measuring
    floor_train: str
    cue: Cue

    @property
    def in_short(self) -> str:
        """What to compare the value with, in a line."""
        return "; ".join(filter(None, [f"unseen reals {self.floor}" if self.floor else "", self.advice]))


@dataclass(frozen=True)
class Section:
    """A group of metrics: main ones, minor ones, and what is missing."""

    title: str
    question: str
    rows: Sequence[Row]
    minor: Sequence[Row]
    gaps: Sequence[str]


def make_sections(evaluation: Evaluation) -> list[Section]:
    """All metrics, group by group, in the registry's order."""
    gaps = find_gaps(evaluation)
    names = sorted(evaluation.metrics, key=order)
    sections = []
    for group, (title, question) in GROUPS.items():
        here = [name for name in names if read_name(name).number.group == group]
        if here or group in gaps:
            rows = [make_row(evaluation, name) for name in here if not is_minor(name)]
            minor = [make_row(evaluation, name) for name in here if is_minor(name)]
            sections.append(Section(title, question, rows, minor, gaps.get(group, [])))
    return sections


def choose_headlines(evaluation: Evaluation) -> list[tuple[str, Row]]:
    """The number of each group that a person should see first, with the group's title."""
    found = []
    for group, bases in _HEADLINES.items():
        name = next((one for base in bases if (one := first_extractor(evaluation, base)) is not None), None)
        if name is not None:
            found.append((GROUPS[group][0], make_row(evaluation, name)))
    return found


def make_row(evaluation: Evaluation, name: str) -> Row:
    """A metric with its interval, its floors and its cue."""
    found = read_name(name)
    number = found.number
    value, interval = evaluation.metrics[name], evaluation.intervals.get(name)
    floor = evaluation.floor.get(name, number.by_definition)
    train = evaluation.floor_train.get(name)
    return Row(
        name=name,
        label=number.label,
        detail=describe_detail(name),
        meaning=number.meaning,
        better=found.better,
        advice=found.advice,
        value=write(value, number.kind),
        interval=write_range(interval.low, interval.high, number.kind) if interval else "",
        floor="" if floor is None else write(floor, number.kind),
        by_definition=name not in evaluation.floor and floor is not None,
        floor_train="" if train is None else write(train, number.kind),
        cue=_cue(number, value, interval, floor, train),
    )


def _cue(number: Number, value: float, interval: Interval | None, floor: float | None, train: float | None) -> Cue:
    reach = (interval.low, interval.high) if interval else None
    left, right = _ends(number, [one for one in (value, floor, train, *(reach or ())) if one is not None])

    def place(one: float) -> float:
        return round(100 * (one - left) / (right - left), 2)

    return Cue(
        value=place(value),
        interval=(place(reach[0]), place(reach[1])) if reach else None,
        floor=None if floor is None else place(floor),
        train=None if train is None else place(train),
        ends=(write(left, number.kind), write(right, number.kind)),
    )


def _ends(number: Number, numbers: Sequence[float]) -> tuple[float, float]:
    """A scale with all the numbers: from 0 where possible, so that lengths can be compared."""
    low, high = min(numbers), max(numbers)
    if number.least_end is not None:
        return min(0.0, low), max(number.least_end, 1.1 * high)
    ends = number.ends or ((0.0, 1.0) if number.kind == "share" else None)
    if ends is not None:
        return min(ends[0], low), max(ends[1], high)
    return min(0.0, 1.1 * low), max(0.0, 1.15 * high) or 1.0
