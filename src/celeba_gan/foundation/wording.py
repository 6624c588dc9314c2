"""Counts, lists, sizes and durations in words, and reports of progress."""

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

Report = Callable[[str, int, int], None]
"""What long work calls: with what is being done, in a few words, how much of it is, and how much there is to do."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `1,024 images`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(items: Sequence[str], most: int, separator: str = ", ", total: int | None = None) -> str:
    """The first `most` items, and how many more there are of the `total` (None: of `items`): `a, b, 3 more`."""
    shown = list(items[:most])
    more = (len(items) if total is None else total) - len(shown)
    return separator.join([*shown, *([f"{more:,} more"] if more > 0 else [])])


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The one of the allowed words that a misspelt one is most like; None if it is like none of them."""
    return next(iter(difflib.get_close_matches(word, list(allowed), n=1)), None)


def stage_command(stage: str) -> str:
    """What runs an earlier stage for the same data: other options would have it make the files of another dataset."""
    return f"kedro run --pipelines {stage} with the same --env and --params"


def install_command(extra: str) -> str:
    """What installs one of the extras of pyproject.toml, in whatever way the package itself was installed."""
    return f"pip install 'celeba-gan[{extra}]'"


def listed_counts(counts: Counter[str], most: int = 5) -> str:
    """The `most` largest counts: `1,024 .txt, 3 .csv, 2 more`."""
    return listed([f"{count:,} {name}" for name, count in counts.most_common()], most)


def in_bytes(count: float) -> str:
    """`12.5 kB`, `3.0 MB`, `1.2 GB` (powers of 1000)."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def in_time(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`, `3 days 4 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"{counted(days, 'day')} {hours} h" if days else f"{hours} h {minutes} min"


def no_report(doing: str, done: int, total: int) -> None:
    """Reports nothing."""


def wants_plain_text() -> bool:
    """Whether output must be free of escape sequences: NO_COLOR (no-color.org) is set, or the terminal is dumb."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
