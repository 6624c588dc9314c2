"""The official text files of CelebA: attributes, partition, identities.

What is met in the wild and read here: CRLF or LF, with or without the count line, a count that disagrees, a header that
ends in a blank, -1/1 or 0/1, rows cut off. Rows that cannot be read are left out, counted and warned about once.
"""

from __future__ import annotations

import logging
import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from celeba_gan.celeba.attributes import ATTRIBUTES
from celeba_gan.celeba.errors import SourceError, appearance

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ATTRIBUTES_FILE: Final = "list_attr_celeba.txt"
PARTITION_FILE: Final = "list_eval_partition.txt"
IDENTITIES_FILE: Final = "identity_CelebA.txt"

SPLITS: Final = ("train", "valid", "test")
"""The splits in the order of their numbers 0, 1, 2 in the partition file."""

_ATTRIBUTES_ROW = re.compile(rf"\S+(?:[ \t]+(?:-1|0|1)){{{len(ATTRIBUTES)}}}[ \t]*")
_PARTITION_ROW = re.compile(r"\S+[ \t]+[012][ \t]*")
_IDENTITIES_ROW = re.compile(r"\S+[ \t]+\d{1,9}[ \t]*")

logger = logging.getLogger(__name__)


def read_attributes(source: Path | str) -> DataFrame:
    """Read `list_attr_celeba.txt`.

    Args:
        source: Path of the file, or its text.

    Returns:
        A table with the index `image_id` and the forty attributes as int8 columns in the official order; 1 where the
        attribute is present, else 0.

    Raises:
        SourceError: The file is not an attribute table, mixes -1 with 0, or names an image twice.
    """
    where, lines = _lines(source, ATTRIBUTES_FILE)
    count, lines = _split_count(lines)
    header = lines[0].split() if lines else []
    if sorted(header) != sorted(ATTRIBUTES):
        raise _wrong_table(where, ATTRIBUTES_FILE, lines, "a header line with CelebA's forty attribute names")
    table = _read_rows(where, ATTRIBUTES_FILE, lines[1:], _ATTRIBUTES_ROW, header, count)
    values = table.to_numpy()
    if (values == 0).any() and (values == -1).any():
        raise SourceError(
            f"{where} mixes -1 and 0: an attribute that is absent must be -1 in every row or 0 in every row. "
            f"Get {ATTRIBUTES_FILE} again."
        )
    return (table[list(ATTRIBUTES)] > 0).astype("int8")


def read_partition(source: Path | str) -> Series[str]:
    """Read `list_eval_partition.txt`.

    Args:
        source: Path of the file, or its text.

    Returns:
        A column named `split` with the index `image_id` and the values "train", "valid", "test" (0, 1, 2 in the file).

    Raises:
        SourceError: The file is not a partition, or names an image twice.
    """
    where, lines = _lines(source, PARTITION_FILE)
    count, lines = _split_count(lines)
    numbers = _read_rows(where, PARTITION_FILE, lines, _PARTITION_ROW, ["split"], count)["split"]
    return numbers.map(dict(enumerate(SPLITS))).astype("str")


def read_identities(source: Path | str) -> Series[int]:
    """Read `identity_CelebA.txt`.

    Args:
        source: Path of the file, or its text.

    Returns:
        An int32 column named `identity` with the index `image_id`; CelebA numbers its people from 1.

    Raises:
        SourceError: The file is not a list of identities, or names an image twice.
    """
    where, lines = _lines(source, IDENTITIES_FILE)
    count, lines = _split_count(lines)
    identities = _read_rows(where, IDENTITIES_FILE, lines, _IDENTITIES_ROW, ["identity"], count)["identity"]
    if identities.min() == 0 and identities.max() <= 2:  # identities begin at 1, partition numbers at 0
        raise _wrong_table(where, IDENTITIES_FILE, lines, "an image name and an identity from 1 in each row")
    return identities


def _lines(source: Path | str, name: str) -> tuple[str, list[str]]:
    """The name to use in messages, and the lines that are not blank."""
    where = str(source.absolute()) if isinstance(source, Path) else f"The text given for {name}"
    data = source.read_bytes() if isinstance(source, Path) else source.encode()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    looks = appearance(data[:4096])
    if "\0" in text or looks != "something else":
        raise SourceError(
            f"{where} should be CelebA's {name}, a plain text file, but looks like {looks}. "
            f"Put the official file in its place, or remove it to go on without it."
        )
    return where, [line for line in text.splitlines() if line.strip()]


def _split_count(lines: list[str]) -> tuple[int | None, list[str]]:
    if lines and lines[0].strip().isdecimal():
        return int(lines[0]), lines[1:]
    return None, lines


def _read_rows(
    where: str, name: str, lines: list[str], row: re.Pattern[str], columns: list[str], count: int | None
) -> DataFrame:
    """Parse the lines that `row` matches; the others are left out with one warning."""
    import pandas as pd

    good = [line for line in lines if row.fullmatch(line)]
    left_out = len(lines) - len(good)
    if not good or len(good) < left_out:
        raise _wrong_table(where, name, lines, f"an image name and {len(columns)} number(s) in each row")
    if left_out:
        first = next(line for line in lines if not row.fullmatch(line))
        logger.warning(
            "%s: %d of %d rows cannot be read and are left out; the first is %r.",
            where, left_out, len(lines), first[:60],
        )  # fmt: skip
    if count is not None and count != len(lines):
        logger.warning("%s: its first line counts %d rows, it has %d; the rows are used.", where, count, len(lines))
    table = pd.read_csv(
        StringIO("\n".join(good)),
        sep=r"\s+",
        header=None,
        names=["image_id", *columns],
        dtype={"image_id": "str"} | dict.fromkeys(columns, "int32"),
        index_col="image_id",
        na_filter=False,
    )
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise SourceError(f"{where} has more than one row for {twice}. Get {name} again, or remove the repeated rows.")
    return table


def _wrong_table(where: str, name: str, lines: list[str], expected: str) -> SourceError:
    return SourceError(
        f"{where} should be CelebA's {name} ({expected}), but looks like {_which_table(lines)}. "
        f"Put the official file in its place, or remove it to go on without it."
    )


def _which_table(lines: list[str]) -> str:
    if not lines:
        return "a file without rows"
    if "," in lines[0]:
        return "a table with commas (Kaggle's CSV form; the official .txt form is needed)"
    names = set(lines[0].split())
    if names & set(ATTRIBUTES):
        return f"{ATTRIBUTES_FILE}, or a part of it"
    if "lefteye_x" in names:
        return "a landmark file (list_landmarks_*.txt)"
    if "x_1" in names:
        return "list_bbox_celeba.txt"
    sample = lines[:10_000]
    if all(_PARTITION_ROW.fullmatch(line) for line in sample):
        return PARTITION_FILE
    if all(_IDENTITIES_ROW.fullmatch(line) for line in sample):
        return IDENTITIES_FILE
    return f"another table; its first line is {lines[0][:60]!r}"
