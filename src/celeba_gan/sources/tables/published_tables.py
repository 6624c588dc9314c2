"""Tables that other programs keep beside images: StyleGAN's `dataset.json` and Hugging Face's `metadata.jsonl`."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Set
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from celeba_gan.foundation.documents import parse_json
from celeba_gan.foundation.wording import counted, listed
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.tables.attributes_csv import Cells, interpret_cells
from celeba_gan.sources.tables.text_table import TextFile

if TYPE_CHECKING:
    from pandas import DataFrame

TABLE_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".xlsx")
HEAD_BYTES: Final = 2**16
"""How much of a table `describe_table` needs."""
NAMES_IMAGES: Final = "names the images"
"""In `describe_table`, about a column."""

_IN_EACH_LINE: Final = (
    'It should have a JSON object in each line, such as {"file_name": "a.jpg", "label": "cat"}. Correct the file, or '
    "remove it to go on without it."
)
_SHOWN: Final = 8  # columns
_SAMPLE: Final = 50  # rows


def read_metadata_lines(file: TextFile, images: Collection[str] = ()) -> tuple[DataFrame, list[str]]:
    """Reads Hugging Face's `metadata.jsonl`: one object a line, as `read_custom_attributes` reads rows.

    Raises:
        SourceError: A line is not an object, has no `file_name`, or a column is wrong.
    """
    import pandas as pd

    rows: dict[int, dict[str, str]] = {}
    try:
        text = file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file.where} is not UTF-8 text (byte {error.start:,}). {_IN_EACH_LINE}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError as error:
            raise SourceError(f"{file.where}, line {number}: {error}. {_IN_EACH_LINE}") from error
        if not isinstance(values, dict) or "file_name" not in values:
            raise SourceError(f"{file.where}, line {number} has no file_name. {_IN_EACH_LINE}")
        rows[number] = {str(name): _as_cell(value, images) for name, value in values.items()}
    if not rows:
        raise SourceError(f"{file.where} is empty. {_IN_EACH_LINE}")
    return interpret_cells(Cells(file.where, pd.DataFrame.from_dict(rows, orient="index").fillna("")), images)


def read_dataset_json(file: TextFile) -> tuple[DataFrame, list[str]] | None:
    """Reads StyleGAN's `dataset.json`: `{"labels": [["00000/img00000000.png", 5], ...]}`.

    Returns:
        A table with the index `image_id` and the column `label` (the number as text), without any column if the
        labels are null, empty or vectors; and sentences about that. None if the file is something else.

    Raises:
        SourceError: Some labels are numbers and some are not, or two of one image differ.
    """
    import pandas as pd

    try:
        content = parse_json(file.data)
    except ValueError:
        return None
    if not isinstance(content, dict) or "labels" not in content:
        return None
    pairs: Any = content["labels"]
    if pairs is None:
        return pd.DataFrame(index=pd.Index([], dtype="str")), ["it has no labels (null)."]
    if pairs == []:
        return pd.DataFrame(index=pd.Index([], dtype="str")), ["its list of labels is empty."]
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        return None
    kinds = Counter(type(label).__name__ for _, label in pairs)
    if set(kinds) != {"int"}:
        if "int" in kinds:
            odd = next(f"{label!r} for {name!r}" for name, label in pairs if type(label) is not int)
            raise SourceError(
                f"{file.where} has class numbers for {kinds['int']:,} of {counted(len(pairs), 'image')}, but "
                f"{odd[:100]}. Give every image the number of its class, or remove the file to go on without labels."
            )
        return pd.DataFrame(index=pd.Index([], dtype="str")), [
            f"its labels are not read: they are of the type {' and '.join(kinds)}, not class numbers."
        ]
    found = pd.DataFrame(pairs, columns=["image_id", "label"]).astype({"image_id": "str", "label": "str"})
    found["image_id"] = found["image_id"].str.replace("\\", "/")
    found = found.drop_duplicates()
    if (twice := found["image_id"].duplicated()).any():
        name = found.loc[twice, "image_id"].iloc[0]
        raise SourceError(f"{file.where} has two labels for {name!r}. Remove the wrong one.")
    return found.set_index("image_id"), []


def describe_table(name: str, head: bytes, stems: Set[str]) -> str | None:
    """What a file beside the images looks like, if it is a table of them: a phrase for a message.

    Args:
        name: The file's name.
        head: Its first `HEAD_BYTES`.
        stems: The images' names without folders and suffix, in lower case.

    Returns:
        None for a text without columns, such as a licence.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in (".parquet", ".xlsx"):
        return f"a {suffix[1:]} file"
    text = head.decode(errors="replace").lstrip("\ufeff")
    if suffix == ".json":
        return f"JSON that begins with {text.lstrip()[:40]!r}"
    if suffix == ".jsonl":
        return f"JSON lines that begin with {text.lstrip()[:40]!r}"
    lines = text.splitlines()[: _SAMPLE + 1]
    if not lines:
        return None
    separator = max(",;\t", key=lines[0].count)
    rows = [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator) if row]
    if separator not in lines[0]:
        rows = [line.split() for line in lines if line.strip()]
    if not rows:
        return None
    header, body = rows[0], rows[1:]
    for place, column in enumerate(header):
        cells = [row[place].strip().lower() for row in body if len(row) > place]
        if cells and 2 * sum(PurePosixPath(cell).stem in stems or cell in stems for cell in cells) >= len(cells):
            return f"a table with the columns {listed(header, _SHOWN)}; {column!r} {NAMES_IMAGES}"
    is_table = suffix != ".txt" and len(header) > 1
    return f"a table with the columns {listed(header, _SHOWN)}" if is_table else None


def _as_cell(value: object, images: Collection[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value if value in images else value.strip()
    return json.dumps(value)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
