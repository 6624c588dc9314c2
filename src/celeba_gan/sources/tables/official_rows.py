"""The rows of CelebA's tables: which table a file holds, what its columns mean, and which rows can be read."""

from __future__ import annotations

import difflib
import logging
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from celeba_gan.foundation.wording import counted
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES
from celeba_gan.sources.tables.text_table import BLANKS, NAME_COLUMNS, TextFile, TextTable, decode, is_unnamed

SPLIT_WORDS: Final = {
    "train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2,
}  # fmt: skip
"""Names of the splits in other programs, in lower case."""

INSTEAD: Final = "Put the official file in its place, or remove it to go on without it."

_NAME = re.compile(r"(?:.*[/\\])?([0-9]{6})(?:\.(?:jpe?g|png))?|([0-9]{1,5})", re.IGNORECASE)
_CANONICAL_NAME = re.compile(r"[0-9]{6}\.jpg")
_HQ_NAME = re.compile(r"[0-9]{1,5}\.(?:jpg|png)\b")
_AROUND_NAMES: Final = ' "'
_SAMPLE: Final = 100
_SHOWN: Final = 60  # characters of a line in a message

logger = logging.getLogger(__name__)


class TableKind(Enum):
    """One of CelebA's tables."""

    ATTRIBUTES = (
        "list_attr_celeba.txt", ATTRIBUTES, ATTRIBUTES, r"-1|[01]|(?i:true|false)",
        "a header line with names of CelebA's forty attributes, then in each row an image name and -1 or 1, 0 or 1, or "
        "true or false for each of them",
    )  # fmt: skip
    PARTITION = (
        "list_eval_partition.txt",
        ("partition", "split", "set", "subset", "eval_status", "evaluation_status"), ("partition",),
        rf"[012]|(?i:{'|'.join(SPLIT_WORDS)})", "an image name and 0, 1 or 2 (train, valid, test) in each row",
    )  # fmt: skip
    IDENTITIES = (
        "identity_CelebA.txt",
        ("identity", "identity_id", "celeb_id", "celebrity_id", "person_id", "person"), ("identity",),
        r"[0-9]{1,9}", "an image name and an identity from 1 in each row",
    )  # fmt: skip

    def __init__(
        self, file: str, columns: tuple[str, ...], unless_named: tuple[str, ...], value: str, expected: str
    ) -> None:
        self.file = file  # CelebA's name for it
        self.columns = columns  # allowed beside the image's name; for tables other than the attributes, exactly one
        self.unless_named = unless_named  # the columns of a table without header
        self.value_pattern = value
        self.expected = expected  # its content in words


@dataclass(frozen=True)
class Rows:
    """The rows that can be read."""

    table: TextTable
    columns: list[str]  # of the values
    names: list[str] = field(default_factory=list)  # CelebA's, of the images
    values_as_text: list[str] = field(default_factory=list)  # with `AROUND_CELLS` before and between the values
    remarks: list[str] = field(default_factory=list)  # warnings, to be logged once the table is known to be valid

    @property
    def where(self) -> str:
        """The file's name, for messages."""
        return self.table.where

    def log_remarks(self) -> None:
        """Logs each remark as a warning."""
        for remark in self.remarks:
            logger.warning("%s: %s", self.where, remark)


def read_rows(source: Path | str | TextFile, kind: TableKind) -> Rows:
    """Reads a table's rows; unreadable ones are skipped, with a remark.

    Raises:
        SourceError: It is another table, its columns are not those of `kind`, fewer than half of its rows can be read,
            or its names are those of other images.
    """
    file = TextFile.of(source, kind.file)
    table = TextTable.of(file.where, decode(file, f"CelebA's {kind.file}", INSTEAD))
    if not table.lines:
        raise wrong_table(table, kind)
    layout = _layout(table, kind)
    pattern = table.row_pattern(layout.skipped, len(layout.columns), kind.value_pattern)
    rows = Rows(table, layout.columns)
    odd_names, unread, headers = [], [], []
    header = table.lines[0] if layout.header_lines else None
    for number, line in zip(table.numbers[layout.header_lines :], table.lines[layout.header_lines :], strict=True):
        match = pattern.fullmatch(line)
        name = match and _celeba_name(match[1])
        if line == header:  # `cat a.csv b.csv`
            headers.append(number)
            continue
        if not match or not name:
            unread.append((number, line))
            continue
        if match[1] != name and (odd_name := match[1].strip(_AROUND_NAMES)) != name:
            odd_names.append(odd_name)
        rows.names.append(name)
        rows.values_as_text.append(match[2])
    if unread:
        _check_unread(rows, kind, unread, layout)
    if headers:
        rows.remarks.append(f"ignoring {counted(len(headers), 'repeated header')}, first in line {headers[0]}.")
    if not layout.header_lines and kind is TableKind.ATTRIBUTES:
        rows.remarks.append("it has no header line; assuming CelebA's official order of columns.")
    if table.count is not None and table.count != len(rows.names) + len(unread):
        found = len(rows.names) + len(unread)
        rows.remarks.append(f"its first line counts {table.count} rows, it has {found}; using all rows.")
    if odd_names:
        _check_names(rows, odd_names, layout)
        name = _celeba_name(odd_names[0])
        rows.remarks.append(f"{len(odd_names)} image names such as {odd_names[0]!r} are read as {name!r}.")
    return rows


def wrong_table(table: TextTable, kind: TableKind) -> SourceError:
    """The error for a file that holds something else."""
    looks = _looks_like(table)
    return SourceError(
        f"{table.where} should be CelebA's {kind.file} ({kind.expected}), but looks like {looks}. {INSTEAD}"
    )


@dataclass(frozen=True)
class _Layout:
    """The positions in a row."""

    columns: list[str]  # of the values
    skipped: int = 0  # cells before the image's name
    unnamed: bool = False  # a header has no name for the first column, which may hold row numbers
    header_lines: int = 1  # or 0


def _layout(table: TextTable, kind: TableKind) -> _Layout:
    header = table.cells(table.lines[0])
    if len(table.lines) == 1 or any(_celeba_name(cell) for cell in header):
        return _Layout(list(kind.unless_named), header_lines=0)
    skipped = 0
    if len(header) > 1 and is_unnamed(header[0]) and header[1].lower() in NAME_COLUMNS:
        skipped, header = 1, header[1:]
    named = header[0].lower() in NAME_COLUMNS
    columns = header[1:] if named or is_unnamed(header[0]) else header
    _check_columns(table, kind, columns)
    if named and table.separator == BLANKS and len(table.cells(table.lines[1])) == len(columns) + 2:
        skipped = 1  # R and pandas write row numbers under no name
    unnamed = not named and (is_unnamed(header[0]) or table.lines[0][0] in " \t")
    return _Layout(columns, skipped, unnamed)


def _check_columns(table: TextTable, kind: TableKind, columns: list[str]) -> None:
    unknown = {column: _nearest(column, kind.columns) for column in columns if column not in kind.columns}
    of_others = any(column in _TELLING_COLUMNS for column in unknown)
    near = [name for name in unknown.values() if name]
    if len(unknown) == len(columns) and (of_others or 2 * len(near) < len(unknown)):
        raise wrong_table(table, kind)
    only = "any of the forty attributes" if kind is TableKind.ATTRIBUTES else kind.unless_named[0]
    if not columns:
        raise SourceError(
            f"{table.where} has no columns but the images' names in its header line. The first column must be "
            f"image_id, then {only}. Correct its header line, or remove that"
        )
    if unknown:
        named = [f"{name!r} (did you mean {known!r}?)" if known else repr(name) for name, known in unknown.items()]
        raise SourceError(
            f"{table.where} has columns that do not belong in CelebA's {kind.file}: {', '.join(named[:10])}. "
            f"The first column must be image_id, then {only}. Correct the names in its header line, or remove the "
            "columns."
        )
    twice = [column for column in columns if columns.count(column) > 1]
    if twice or (kind is not TableKind.ATTRIBUTES and len(columns) > 1):
        several = ", ".join(dict.fromkeys(twice or columns))
        raise SourceError(f"{table.where} has more than one column for {several}. Remove all but one.")


def _nearest(column: str, columns: tuple[str, ...]) -> str | None:
    by_lower_case = {name.lower(): name for name in columns}
    close = difflib.get_close_matches(
        column.lower().replace(" ", "_"), by_lower_case, n=1, cutoff=0.85
    )  # Female is not Male
    return by_lower_case[close[0]] if close else None


def _check_unread(rows: Rows, kind: TableKind, unread: list[tuple[int, str]], layout: _Layout) -> None:
    """Adds a remark about the unreadable rows; raises if there are too many, or for a second header."""
    table = rows.table
    for number, line in unread:
        if not set(table.cells(line)).isdisjoint(kind.columns):
            raise SourceError(
                f"{table.where} has in line {number} a header line among its rows: {line[:_SHOWN]!r}. It must be the "
                f"first line, or the second after a count: the rows before it are ambiguous. Get {kind.file} again."
            )
    number, line = unread[0]
    first = f"the first is {line[:_SHOWN]!r} (line {number}{_odd_cell(table, kind, layout, line)})"
    summary = f"{len(unread)} of {len(rows.names) + len(unread)} rows cannot be read"
    if rows.names and len(rows.names) >= len(unread):
        rows.remarks.append(f"{summary} and are skipped; {first}.")
        return
    if not layout.header_lines or _looks_like(table) != kind.file:
        raise wrong_table(table, kind)
    raise SourceError(
        f"{table.where}: {summary}; {first}. Under this header CelebA's {kind.file} has an image name such as "
        f"000001.jpg and {len(rows.columns)} value(s) in each row ({kind.expected}). {INSTEAD}"
    )


def _odd_cell(table: TextTable, kind: TableKind, layout: _Layout, line: str) -> str:
    """The cell for which a row cannot be read."""
    name, *values = table.cells(line)[layout.skipped :] or [""]
    if len(values) != len(layout.columns):
        return f": {len(values)} values for {len(layout.columns)} columns"
    pairs = zip(layout.columns, values, strict=True)
    odd = next((pair for pair in pairs if not re.fullmatch(kind.value_pattern, pair[1])), None)
    return f": {odd[1][:_SHOWN]!r} as {odd[0]}" if odd else f": {name[:_SHOWN]!r} names no image"


def _check_names(rows: Rows, odd_names: list[str], layout: _Layout) -> None:
    """Refuses names that look like CelebA's and are not."""
    elsewhere = [name for name in odd_names if "hq" in name.lower() and "img_align_celeba" not in name.lower()]
    if elsewhere:
        raise SourceError(
            f"{rows.where} names images such as {elsewhere[0]!r}. CelebA-HQ and FFHQ number their images "
            f"differently, so its rows would label other images. {INSTEAD}"
        )
    numbers = [name for name in odd_names if name.isdecimal()]
    padded = all(len(number) == 6 for number in numbers) and any(number.startswith("0") for number in numbers)
    if layout.unnamed and numbers and not padded:
        raise SourceError(
            f"{rows.where} has no column of image names: its first column has no name and holds numbers such as "
            f"{numbers[0]!r}, which may be row numbers. Add a column image_id with names such as 000001.jpg."
        )


def _celeba_name(text: str) -> str | None:
    """CelebA's name for the image that a table calls `text`; None if it is none."""
    if _CANONICAL_NAME.fullmatch(text):
        return text
    match = _NAME.fullmatch(text.strip(_AROUND_NAMES))
    return f"{match[1] or match[2]:0>6}.jpg" if match else None


_TELLING_COLUMNS: Final = dict.fromkeys(ATTRIBUTES, TableKind.ATTRIBUTES.file) | {
    "lefteye_x": "a landmark file (list_landmarks_*.txt)",
    "x_1": "list_bbox_celeba.txt",
    "orig_idx": "CelebA-HQ-to-CelebA-mapping.txt",
    **dict.fromkeys(TableKind.PARTITION.columns, TableKind.PARTITION.file),
    **dict.fromkeys(TableKind.IDENTITIES.columns, TableKind.IDENTITIES.file),
}


def _looks_like(table: TextTable) -> str:
    """A noun phrase for what the table is, from its header or else its first rows."""
    if not table.lines:
        return "a file without rows"
    sample = table.lines[1 : _SAMPLE + 1] or table.lines

    def most(pattern: re.Pattern[str]) -> bool:
        return 10 * sum(pattern.fullmatch(line) is not None for line in sample) >= 9 * len(sample)

    if all(_HQ_NAME.match(line) for line in sample):
        return "a table of CelebA-HQ or CelebAMask-HQ, whose images are numbered differently"
    header = table.cells(table.lines[0])
    for column in header:
        if column in _TELLING_COLUMNS:
            return _TELLING_COLUMNS[column]
    unknown = f"another table; its first line is {table.lines[0][:_SHOWN]!r}"
    if not any(_celeba_name(cell) for cell in header):  # the rows below unknown columns say nothing
        return unknown
    for kind in (TableKind.PARTITION, TableKind.IDENTITIES, TableKind.ATTRIBUTES):
        if most(table.row_pattern(0, len(kind.unless_named), kind.value_pattern)):
            return kind.file
    for count, name in ((4, "list_bbox_celeba.txt"), (10, "a landmark file (list_landmarks_*.txt)")):
        if most(table.row_pattern(0, count, "-?[0-9]{1,9}")):
            return name
    return unknown
