"""`attributes.csv`: annotations of a folder of any images."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.foundation.wording import counted
from celeba_gan.images.decoding import IMAGE_SUFFIXES
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.tables.name_column import below_folder, find_name_column
from celeba_gan.sources.tables.official_rows import SPLIT_WORDS
from celeba_gan.sources.tables.text_table import NAME_COLUMNS, TextFile, decode, is_excel_hint, is_unnamed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

# no and yes, in lower case; a column uses one pair
_BINARY: Final = (("0", "1"), ("-1", "1"), ("0.0", "1.0"), ("-1.0", "1.0"), ("false", "true"), ("no", "yes"))
_MISSING: Final = ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "", "unknown")  # in lower case
_NUMBER: Final = r"[-+]?[0-9]*[.]?[0-9]+"
_MEASURED: Final = ("width", "height")  # columns of the image index that are read from the images
_NOT_IN_NAMES = re.compile(r"[\[\]{}=,:;'\"\\\x00-\x1f\x7f-\x9f]")  # special in `--params` and in YAML
_INSTEAD: Final = (
    "It should have a header line, and in each row the path of an image below the folder and, separated by commas, "
    "0/1, -1/1, true/false or yes/no for each attribute. Columns split (train, valid, test), label (text) and "
    "identity (a number) are optional. Correct the file, or remove it to go on without it."
)

logger = logging.getLogger(__name__)


def read_custom_attributes(source: Path | str | TextFile, images: Collection[str] = ()) -> tuple[DataFrame, list[str]]:
    """Reads the annotations of a folder of any images.

    The first line names the columns. One holds paths relative to the folder: see `find_name_column`. If none names any
    of the `images`, it is `image_id`, `file_name`, `filename`, `file`, `path`, `image_name`, `image` or `name`, or else
    the first. `split`, `label` and `identity` are optional; the other columns are attributes. Columns that are not
    binary, and `width` and `height`, are ignored with a warning. Commas, semicolons or tabs separate the cells.

    Returns:
        A table with the index `image_id` (paths below the folder, with `/`) and the columns of the file: `split`
        ("train", "valid", "test"), `label` (text), attributes (int8, 0 or 1), `identity` (int32). And sentences about
        ignored columns and rows.

    Raises:
        SourceError: It is not such a table, a required cell is empty, a column has no name or the name of another, a
            path leads out of the folder, two columns may name the images, or two rows of one image differ.
    """
    return interpret_cells(_read_table(source, images), images)


def interpret_cells(table: Cells, images: Collection[str]) -> tuple[DataFrame, list[str]]:
    """The annotations in a table of text; see `read_custom_attributes`."""
    import pandas as pd

    header = table.cells.columns.tolist()
    place = find_name_column(table.where, header, table.cells, images, _NO_NAMES)
    if place is None:
        named = {column.lower(): number for number, column in enumerate(header)}
        place = next((named[name] for name in NAME_COLUMNS if name in named), 0)
    paths = header[place]
    found: dict[str, Series[Any]] = {"image_id": _relative_paths(table, paths)}
    left_out = []
    for column in table.cells.columns.drop(paths):
        kind = _OTHER_NAMES.get(column.lower(), column.lower())
        if kind in (*_MEASURED, "image_id"):  # COCO's image_id is a number beside the file's name
            left_out.append(repr(column))
        elif kind in found:
            raise SourceError(f"{table.where}: {column!r} repeats the meaning of another column. Remove one of them.")
        elif kind in _SPECIAL:
            found[kind] = _SPECIAL[kind](table, column)
        else:
            values, odd = _binary(table, column)
            if values is None:
                left_out.append(f"{column!r} ({odd})" if odd else repr(column))
            else:
                _check_attribute_name(table, column)
                found[column] = values
    rows = pd.DataFrame(found).drop_duplicates()
    table.refuse(rows["image_id"].duplicated(), paths, "has an earlier row that differs; remove the wrong one")
    notes = [*table.notes]
    if left_out:
        why = "are not binary (0/1, -1/1, true/false, yes/no) or are measured"
        notes.append(f"ignoring columns that {why}: {', '.join(left_out)}.")
    if len(rows) < len(table.cells):
        notes.append(f"ignoring {counted(len(table.cells) - len(rows), 'repeated row')}.")
    for note in notes:
        logger.warning("%s: %s", table.where, note)
    attributes = [column for column in rows if column not in ("image_id", *_SPECIAL)]
    columns = [column for column in ("split", "label", *attributes, "identity") if column in rows]
    return rows.set_index("image_id")[columns], notes


@dataclass(frozen=True)
class Cells:
    """A table of text.

    Attributes:
        where: The file's name, for messages.
        cells: The cells (str), stripped unless an image is called so; the index is the line number in the file, from 1.
        notes: Sentences about lines that were left out.
    """

    where: str
    cells: DataFrame
    notes: tuple[str, ...] = ()

    def refuse(self, odd: Series[bool], column: str, problem: str) -> None:
        """Raises for the first odd row, with its line, its cell in `column`, and the problem."""
        if odd.any():
            line = odd.index[int(odd.to_numpy().argmax())]
            raise SourceError(f"{self.where}, line {line}: {self.cells.loc[line, column]!r} as {column!r} {problem}.")

    def filled(self, column: str) -> Series[str]:
        """A column without an empty cell."""
        cells = self.cells[column]
        self.refuse(cells == "", column, "is an empty cell; fill it in, or remove the row or the column")
        return cells


def _read_table(source: Path | str | TextFile, images: Collection[str]) -> Cells:
    import pandas as pd

    file = TextFile.of(source, "attributes.csv")
    where = file.where
    rows = _split_rows(where, decode(file, "the annotations of a folder of images", _INSTEAD), images)
    if len(rows) < 2:
        raise SourceError(f"{where} has no rows below a header line. {_INSTEAD}")
    (_, header), *body = rows
    if any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in header):
        raise SourceError(f"{where} has no header line: its first line is {', '.join(header)[:60]!r}. {_INSTEAD}")
    repeated = [line for line, row in body if row == header]  # `cat a.csv b.csv`
    body = [(line, row) for line, row in body if row != header]
    if not body:
        raise SourceError(f"{where} has no rows below its header line. {_INSTEAD}")
    for line, row in body:
        if sorted(row) == sorted(header):
            raise SourceError(
                f"{where}, line {line}: a header with the columns in another order ({', '.join(row)[:60]}). Write "
                "the rows below it in the order of the first."
            )
        while len(row) > len(header) and not row[-1]:
            row.pop()
        if len(row) != len(header):
            raise SourceError(
                f"{where}, line {line}: {len(row)} cells for {len(header)} columns. Complete the row, and quote cells "
                "that contain a separator."
            )
    cells = pd.DataFrame([row for _, row in body], index=[line for line, _ in body], dtype="object")
    if len(header) > 1 and is_unnamed(header[0]):
        place = find_name_column(where, header, cells, images, _NO_NAMES)
        if place != 0 and (header[1].lower() in NAME_COLUMNS or (place is not None and _counts_rows(cells[0]))):
            cells, header = cells.iloc[:, 1:], header[1:]  # pandas numbers the rows
    used = [bool(name) or (cells.iloc[:, column] != "").any() for column, name in enumerate(header)]
    cells, header = cells.loc[:, used], [name for name, is_used in zip(header, used, strict=True) if is_used]
    _check_header(where, header)
    notes = [f"ignoring {counted(len(repeated), 'repeated header')}, first in line {repeated[0]}."] if repeated else []
    return Cells(where, cells.set_axis(header, axis="columns"), tuple(notes))


def _counts_rows(cells: Series[str]) -> bool:
    return any(cells.tolist() == [str(number) for number in range(first, first + len(cells))] for first in (0, 1))


def _split_rows(where: str, text: str, images: Collection[str]) -> list[tuple[int, list[str]]]:
    """The lines that are not blank: their number in the file, and their cells."""
    header = next((line for line in text.split("\n") if line.strip() and not is_excel_hint(line)), "")
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=header.count), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            cells = [cell if cell in images else cell.strip() for cell in row]
            if any(cells) and (rows or not is_excel_hint(cells[0])):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise SourceError(f"{where}, line {reader.line_num}: {error}. {_INSTEAD}") from error
    return rows


def _check_header(where: str, header: list[str]) -> None:
    if len(header) < 2:
        raise SourceError(f"{where} has only one column, {''.join(header)[:60]!r}. {_INSTEAD}")
    if "" in header:
        number = header.index("") + 1
        raise SourceError(
            f"{where}: column {number} has no name. Name it in the header line (image_id if it names the images), or "
            "remove it."
        )
    lower = [name.lower() for name in header]
    twice = [name for name in header if lower.count(name.lower()) > 1]
    if twice:
        raise SourceError(f"{where} has columns called {' and '.join(twice)}. Remove all but one, or rename them.")


def _check_attribute_name(table: Cells, name: str) -> None:
    if name.lower() == "class":
        raise SourceError(
            f"{table.where}: the column name {name!r} is reserved for classes. Rename it in the header line, "
            "to label for example."
        )
    if _NOT_IN_NAMES.search(name):
        raise SourceError(
            f"{table.where}: the attribute name {name!r} cannot be used on a command line. Rename it in the header "
            "line, with letters, digits, blanks, - and _."
        )


def _binary(table: Cells, column: str) -> tuple[Series[Any] | None, str]:
    """A column as 0 and 1, or None if it is something else; and then its first odd cell, in words.

    Raises:
        SourceError: A few cells of an otherwise binary column are odd: a missing value, or one cell in a hundred.
    """
    import numpy as np
    import pandas as pd

    codes, written = pd.factorize(table.cells[column])
    counts = np.bincount(codes)
    values = [value.lower() for value in written]
    way = max(_BINARY, key=lambda way: sum(count for value, count in zip(values, counts, strict=True) if value in way))
    is_stray = [value not in (*way, "") for value in values]
    stray = pd.Series(np.array(is_stray)[codes], index=table.cells.index)
    if stray.any():
        words = [value for value, odd in zip(values, is_stray, strict=True) if odd]
        few = stray.sum() <= max(1, len(stray) // 100)
        no_numbers = not any(re.fullmatch(_NUMBER, word) for word in words)
        slip = set(words) <= set(_MISSING) or (few and (no_numbers or len(stray) >= 100))
        if slip and 2 * counts[[value in way for value in values]].sum() >= len(stray):
            table.refuse(
                stray, column, f"is neither {way[0]} nor {way[1]}, as the others are; correct it, or remove the row or "
                "the column"
            )  # fmt: skip
        line = stray.index[int(stray.to_numpy().argmax())]
        return None, f"line {line} has {table.cells.loc[line, column]!r}"
    if set(values) == {""}:
        return None, ""
    table.filled(column)
    has = pd.Series([value == way[1] for value in values], dtype="int8").to_numpy()[codes]
    return pd.Series(has, index=table.cells.index), ""


def _splits(table: Cells, column: str) -> Series[Any]:
    cells = table.filled(column).str.lower()
    numbers = {str(number): number for number in range(len(SPLITS))}
    meaning = numbers if cells.isin(numbers).any() else SPLIT_WORDS
    problem = "is not a split; write train, valid or test in every row, or 0, 1 or 2 in every row"
    table.refuse(~cells.isin(meaning), column, problem)
    if meaning is numbers and not (cells == "0").any():
        raise SourceError(
            f"{table.where}: {column!r} is never 0, which is train. If it numbers the splits from 1, write 0 for "
            "train, 1 for valid and 2 for test, or these words."
        )
    return cells.map({value: SPLITS[number] for value, number in meaning.items()}).astype("str")


def _labels(table: Cells, column: str) -> Series[Any]:
    cells = table.filled(column)
    table.refuse(~cells.map(str.isprintable).astype(bool), column, "holds control characters; remove them")
    return cells.str.normalize("NFC").astype("str")  # two forms of one accent are one label


def _identities(table: Cells, column: str) -> Series[Any]:
    cells = table.filled(column)
    odd = ~cells.str.fullmatch(r"[0-9]{1,9}").astype(bool)
    table.refuse(odd, column, "is not a number; number the people 1, 2, 3 ...")
    return cells.astype("int32")


_SPECIAL: Final = {"split": _splits, "label": _labels, "identity": _identities}
_OTHER_NAMES: Final = {"partition": "split", "set": "split", "subset": "split"}
_NO_NAMES: Final = {*_SPECIAL, *_OTHER_NAMES, *_MEASURED}


def _relative_paths(table: Cells, column: str) -> Series[str]:
    """The paths with `/`, and without `./`."""
    import pandas as pd

    written = table.filled(column)
    parts = [path.replace("\\", "/").split("/") for path in written]
    outside = [not path[0] or path[0][1:2] == ":" or ".." in path or {*path} <= {"", "."} for path in parts]
    odd = pd.Series(outside, index=written.index)
    table.refuse(odd, column, "is not a path below the folder; write paths relative to it")
    return pd.Series([below_folder(path) for path in written], index=written.index, dtype="str")
