"""The tables beside the images of a folder or zip."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Set
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from celeba_gan.foundation.wording import counted
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.image_files import ImageFiles, ZipFiles
from celeba_gan.sources.source import Annotation
from celeba_gan.sources.tables.attributes_csv import read_custom_attributes
from celeba_gan.sources.tables.name_matching import Match, match_names
from celeba_gan.sources.tables.published_tables import (
    HEAD_BYTES,
    NAMES_IMAGES,
    TABLE_SUFFIXES,
    describe_table,
    read_dataset_json,
    read_metadata_lines,
)
from celeba_gan.sources.tables.text_table import TextFile

if TYPE_CHECKING:
    from pandas import DataFrame, Index

CUSTOM_FILE: Final = "attributes.csv"

_Read = tuple["DataFrame", list[str]]
_READERS: Final[dict[str, Callable[[TextFile, Set[str]], _Read | None]]] = {
    CUSTOM_FILE: read_custom_attributes,
    "metadata.csv": read_custom_attributes,
    "metadata.jsonl": read_metadata_lines,
    "dataset.json": lambda text, _: read_dataset_json(text),
}
_TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
_MOST_OUTSIDE: Final = 50

logger = logging.getLogger(__name__)


class FolderTables:
    """What tables beside the images say about them.

    Of these files the first that exists is read: `attributes.csv` (see `read_custom_attributes`), Hugging Face's
    `metadata.csv` or `metadata.jsonl`, StyleGAN's `dataset.json`. It is in a folder that holds all images; Hugging
    Face's may also be in each folder that holds some. Names are relative to the table's folder, or written otherwise
    and found by `match_names`.

    `common_folder` is the deepest folder that holds all images, with a final `/`, or "".

    Raises:
        SourceError: On first use: a table is wrong, or names none of the images.
    """

    def __init__(self, files: ImageFiles, common_folder: str) -> None:
        self._files = files
        parts = common_folder.split("/")
        self._folders = ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts))]

    @cached_property
    def annotation(self) -> Annotation | None:
        """The table, if one is read and has a column that can be used; its index is as in `match`."""
        if self._read is None:
            return None
        table, notes = self._read
        place = self._places[0]
        if table.columns.empty and not place.endswith(CUSTOM_FILE):
            return None
        added = self._notes_on_names(place, table.index)
        for note in added:
            logger.warning("%s in %s: %s", place, self._files.path, note)
        return Annotation(place, table, (*notes, *added))

    @cached_property
    def match(self) -> Match:
        """The rows of the images."""
        rows = [] if self._read is None else self._read[0].index.tolist()
        return match_names(self._files.names, rows)

    def notes(self) -> list[str]:
        """Sentences about tables that are not used: what they look like, and what to do."""
        read = self._places if self._read is not None else []
        sentences = []
        if self._read is not None and self.annotation is None:
            sentences.append(f"{read[0]} has no column that can be used: {' '.join(self._read[1]) or 'only names.'}")
        place = "in the zip" if isinstance(self._files, ZipFiles) else f"in {self._files.path}"
        advice = (
            f"Only {CUSTOM_FILE} is: add what you need of it there"
            if read and read[0].endswith(CUSTOM_FILE)
            else f"To use it{f' in place of {read[0]}' if read else ''}, save it {place} as {CUSTOM_FILE}, with the "
            "images' names in a column image_id, and their class in a column label, or attributes in columns of 0 and 1"
        )
        stems = {PurePosixPath(name).stem.lower() for name in self._files.names}
        found = {name: describe_table(name, self._head(name), stems) for name in self._beside() if name not in read}
        for path in self._outside():
            look = describe_table(path.name, _head_of(path), stems)
            found[str(path)] = look if look and NAMES_IMAGES in look else None
        sentences += [f"{name} is not read; it looks like {look}. {advice}." for name, look in found.items() if look]
        return sentences

    @cached_property
    def _read(self) -> _Read | None:
        """The table with paths below the top as its index, and sentences about what was left out; None without one."""
        import pandas as pd

        tables: list[DataFrame] = []
        notes: list[str] = []
        for place in self._places:
            folder = place[: place.rfind("/") + 1]
            text = TextFile(f"{place} in {self._files.path}", self._files.read_other(place) or b"")
            read = _READERS[place.removeprefix(folder)](text, self._names_from(folder))
            if read is None:  # a dataset.json of another program
                return None
            table = read[0].set_axis([f"{folder}{name}" for name in read[0].index], axis="index")
            if tables and set(table.columns) != set(tables[0].columns):
                here, there = (", ".join(one.columns) or "none" for one in (table, tables[0]))
                raise SourceError(
                    f"{text.where} has other columns that can be used ({here}) than {self._places[0]} ({there}). Give "
                    "them the same columns, or remove them to go on without them."
                )
            tables.append(table)
            notes += read[1]
        return (pd.concat(tables), list(dict.fromkeys(notes))) if tables else None

    def _names_from(self, folder: str) -> set[str]:
        """What a table in a folder may call the images: their paths below it, and below the top."""
        names = self._files.names
        return {*names, *(name.removeprefix(folder) for name in names)}

    @cached_property
    def _places(self) -> list[str]:
        """The names of the tables to read: all are the same file in several folders."""
        for file in _READERS:
            found = [place for folder in self._folders if self._exists(place := f"{folder}{file}")]
            if found:
                return found[:1]
            if file.startswith("metadata."):
                folders = sorted({name[: name.rfind("/") + 1] for name in self._files.names})
                if found := [place for folder in folders if self._exists(place := f"{folder}{file}")]:
                    return found
        return []

    def _notes_on_names(self, place: str, rows: Index[str]) -> list[str]:
        """What was ignored to match the names, and how those that have no match look."""
        match, images = self.match, self._files.names
        matched = set(match.rows.values())
        image = next((name for name in images if name not in match.rows), None)
        row = next((name for name in rows if name not in matched), None)
        notes = [f"{match.note}."] if match.note else []
        if image is None or row is None:
            return notes
        obstacle = f" Ignoring more is ambiguous: {match.obstacle}." if match.obstacle else ""
        if not matched:
            raise SourceError(
                f"{place} in {self._files.path} has a row for none of the {counted(len(images), 'image')}: its first "
                f"row is for {row!r}, the first image is {image!r}.{obstacle} Write the paths of the images as they "
                f"are below {self._files.path}, or remove {place} to go on without it."
            )
        without = counted(len(images) - len(match.rows), "image")
        return [
            *notes, f"{without} such as {image!r} without a row, and rows such as {row!r} without an image.{obstacle}"
        ]  # fmt: skip

    def _beside(self) -> list[str]:
        """The names of the files that may be tables, in the folders that hold all images."""
        if isinstance(self._files, ZipFiles):
            names = [name for name in self._files.others if name[: name.rfind("/") + 1] in self._folders]
        else:
            names = [folder + name for folder in self._folders for name in os.listdir(self._files.path / folder)]  # noqa: PTH208
        found = (name for name in names if name.lower().endswith(TABLE_SUFFIXES) and "/." not in f"/{name}")
        return sorted(name for name in found if self._exists(name))

    def _outside(self) -> list[Path]:
        """The text files beside the folder or zip itself, where Kaggle puts a table."""
        try:
            beside = sorted(self._files.path.parent.iterdir())
            return [path for path in beside if path.suffix.lower() in _TEXT_SUFFIXES and path.is_file()][:_MOST_OUTSIDE]
        except OSError:  # this folder need not be readable
            return []

    def _exists(self, name: str) -> bool:
        if isinstance(self._files, ZipFiles):
            return name in self._files.others
        return (self._files.path / name).is_file()

    def _head(self, name: str) -> bytes:
        if isinstance(self._files, ZipFiles):
            return (self._files.read_other(name) or b"")[:HEAD_BYTES]
        return _head_of(self._files.path / name)


def _head_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:  # it is only described
        return b""
