"""Matches the names in a table to those of the image files, where programs or systems wrote them differently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple
from unicodedata import normalize

_LEADING_ZEROS: Final = re.compile(r"(?<![0-9])0+(?=[0-9])")
_SUFFIX: Final = re.compile(r"\.(?:jpe?g|png|webp|bmp|tiff?|gif)$", re.IGNORECASE)

_Change = Callable[[str], str]
_SPELLINGS: Final[tuple[tuple[str, _Change], ...]] = (
    ("", lambda name: name),
    ("the Unicode form of accents", lambda name: normalize("NFC", name)),
    ("capitals", lambda name: normalize("NFC", name.casefold())),
    ("the suffix", lambda name: _SUFFIX.sub("", normalize("NFC", name.casefold()))),
    ("leading zeros", lambda name: _LEADING_ZEROS.sub("", _SUFFIX.sub("", normalize("NFC", name.casefold())))),
)
"""What is ignored at each step, in addition to the steps before, and the spelling without it."""


class Match(NamedTuple):
    """The result of `match_names`."""

    rows: dict[str, str]
    """The row's name of each matched image."""
    note: str
    """What was ignored, with an example; "" if the names are equal."""
    obstacle: str
    """Why more images could not be matched by ignoring a difference; "" if nothing stands against it."""


def match_names(images: Sequence[str], rows: Sequence[str]) -> Match:
    """Finds the row of each image by the first way of reading all names that matches the most images.

    Names are taken as they are, or without the leading folders of one side, or without all folders of one side; and
    within each of these as they are spelt, or ignoring more and more of `_SPELLINGS`. A way is used only if it keeps
    all images apart, and all rows. Folders are dropped only if most images have no row otherwise.

    Args:
        images: Paths of the images, with `/`.
        rows: Paths in the table, with `/`.
    """
    best, refused = Match({}, "", ""), (0, "")
    for folders, of_image, of_row in _ways_to_read_folders(images, rows):
        ignored: list[str] = []
        before: tuple[set[str], set[str]] | None = None
        for what, spelling in _SPELLINGS:
            if len(best.rows) == len(images):
                return best
            by_key = {spelling(of_row(row)): row for row in rows}
            keys = {image: spelling(of_image(image)) for image in images}
            if before == (now := (set(by_key), set(keys.values()))):
                continue
            before = now
            ignored += [what] if what else []
            found = {image: by_key[key] for image, key in keys.items() if key in by_key}
            if len(found) <= len(best.rows):
                continue
            difference = " and ".join([*folders, *ignored])
            if len(by_key) < len(rows) or len(set(keys.values())) < len(keys):
                if len(found) > refused[0]:
                    twice = [*_same(keys), *_same({row: spelling(of_row(row)) for row in rows})]
                    refused = (len(found), f"without {difference}, {twice[0]!r} and {twice[1]!r} are the same name")
                continue
            differing = next(((image, row) for image, row in found.items() if image != row), None)
            note = f"ignoring {difference} in names: {differing[1]!r} is {differing[0]!r}" if differing else ""
            best = Match(found, note, "")
        if 2 * len(best.rows) >= len(images):  # these folders are right; the others have no row
            break
    return best._replace(obstacle=refused[1] if refused[0] > len(best.rows) else "")


def _ways_to_read_folders(images: Sequence[str], rows: Sequence[str]) -> Iterator[tuple[list[str], _Change, _Change]]:
    """What is ignored, and what remains of an image's name and of a row's."""

    def same(name: str) -> str:
        return name

    yield [], same, same
    for count in range(1, _shared_folders(images) + 1):
        yield ["leading folders"], _without_first(count), same
    for count in range(1, _shared_folders(rows) + 1):
        yield ["leading folders"], same, _without_first(count)
    if not any("/" in row for row in rows):
        yield ["folders"], file_name, same
    if not any("/" in image for image in images):
        yield ["folders"], same, file_name


def file_name(name: str) -> str:
    """A path without its folders."""
    return name.rpartition("/")[2]


def loosest_spelling(name: str) -> str:
    """A name without everything that may be ignored in it."""
    return _SPELLINGS[-1][1](name)


def _without_first(count: int) -> _Change:
    return lambda name: name.split("/", count)[-1]


def _shared_folders(names: Sequence[str]) -> int:
    """How many leading folders all names share."""
    first, last = min(names, default="").split("/")[:-1], max(names, default="").split("/")[:-1]
    count = 0
    while count < min(len(first), len(last)) and first[count] == last[count]:
        count += 1
    return count


def _same(keys: dict[str, str]) -> list[str]:
    """The first two names with one key; none if all differ."""
    seen: dict[str, str] = {}
    return next(([seen[key], name] for name, key in keys.items() if seen.setdefault(key, name) != name), [])
