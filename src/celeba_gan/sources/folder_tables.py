"""The tables beside the images of a folder or zip."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence, Set
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from celeba_gan.foundation.wording import counted
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.image_files import ImageFiles, ListedFiles, ZipFiles
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
_MOST_BELOW: Final = 20

logger = logging.getLogger(__name__)


class FolderTables:
    """What tables beside the images say about them.

    Of these files the first that exists is read: `attributes.csv` (see `read_custom_attributes`), Hugging Face's
    `metadata.csv` or `metadata.jsonl`, StyleGAN's `dataset.json`. It is in a folder that holds all images, or in
    each folder of a split; Hugging Face's may also be in each folder that holds some. Names are relative to the table's
    folder, or written otherwise and found by `match_names`.

    `common_folder` is the deepest folder that holds all images, with a final `/`, or ""; so are `splits` the folders
    below it that are the splits.

    Raises:
        SourceError: On first use: a table is wrong, or names none of the images.
    """

    def __init__(self, files: ImageFiles, common_folder: str, splits: Sequence[str] = ()) -> None:
        self._files = files
        self._splits = splits
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
        return Annotation(place, table, (*notes, *added), len(self._places))

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
        beside = self._tables_in(self._folders)
        found = {name: describe_table(name, self._head(name), stems) for name in beside if name not in read}
        below, left_out = self._below(read)
        for names in below:
            more = f" (and {len(names) - 1:,} more of this name below other folders)" if len(names) > 1 else ""
            found[f"{names[0]}{more}"] = describe_table(names[0], self._head(names[0]), stems)
        for path in self._outside():
            look = describe_table(path.name, _head_of(path), stems)
            found[str(path)] = look if look and NAMES_IMAGES in look else None
        sentences += [f"{name} is not read; it looks like {look}. {advice}." for name, look in found.items() if look]
        if left_out:
            sentences.append(
                f"{counted(left_out, 'more file')} that may be tables, in folders of images, are not read."
            )
        return sentences

    @cached_property
    def _read(self) -> _Read | None:
        """The table with paths below the top as its index, and sentences about what was left out; None without one."""
        import pandas as pd

        tables: list[DataFrame] = []
        notes: list[str] = []
        for place in self._places:
            folder = _folder(place)
            text = TextFile(f"{place} in {self._files.path}", self._files.read_other(place) or b"")
            read = _READERS[place.removeprefix(folder)](text, self._names_from(folder))
            if read is None:  # a dataset.json of another program
                return None
            table = read[0].set_axis([self._below_top(folder, name) for name in read[0].index], axis="index")
            if tables and set(table.columns) != set(tables[0].columns):
                here, there = (", ".join(one.columns) or "none" for one in (table, tables[0]))
                raise SourceError(
                    f"{text.where} has other columns that can be used ({here}) than {self._places[0]} ({there}). Give "
                    "them the same columns, or remove them to go on without them."
                )
            tables.append(table)
            notes += read[1]
        if not tables:
            return None
        table = pd.concat(tables)
        table = table[~table.reset_index().duplicated().to_numpy()]
        if (twice := table.index.duplicated()).any():
            raise SourceError(
                f"{' and '.join(self._places[:3])} in {self._files.path}: two rows for {table.index[twice][0]!r} "
                "differ. Remove the wrong one."
            )
        return table, list(dict.fromkeys(notes))

    def _below_top(self, folder: str, name: str) -> str:
        """An image's path below the top, from its name in a table of this folder: below it, or one of those above."""
        folders = [folder]
        while folders[-1]:
            folders.append(_folder(folders[-1][:-1]))
        return next((path for above in folders if (path := f"{above}{name}") in self._files), f"{folder}{name}")

    def _names_from(self, folder: str) -> set[str]:
        """What a table in a folder may call the images: their paths below it, and below the top."""
        names = self._files.names
        return {*names, *(name.removeprefix(folder) for name in names)}

    @cached_property
    def _places(self) -> list[str]:
        """The names of the tables to read: all are the same file in several folders."""
        holders = {_folder(name) for name in self._files.names}
        for file in _READERS:
            if top := [place for folder in self._folders if self._exists(place := f"{folder}{file}")]:
                return top[:1]
            below = {*self._splits, *(holders if file.startswith("metadata.") else ())}
            if found := [place for folder in sorted(below) if self._exists(place := f"{folder}{file}")]:
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

    def _below(self, read: Sequence[str]) -> tuple[list[list[str]], int]:
        """Files that may be tables in folders that hold some images, by their name; and how many are not among them."""
        folders = {_folder(name) for name in self._files.names}
        folders |= {f"{parent}/" for folder in folders for parent in map(str, PurePosixPath(folder).parents)} - {"./"}
        about_one = {
            text for name in self._files.names for text in (name, name.rpartition(".")[0])
        }  # such as 1.jpg.txt
        by_name = defaultdict(list)
        for name in self._tables_in(folders.difference(self._folders)):
            if name not in read and name.rpartition(".")[0] not in about_one:
                by_name[name.rpartition("/")[2]].append(name)
        groups = list(by_name.values())
        return groups[:_MOST_BELOW], sum(map(len, groups[_MOST_BELOW:]))

    def _tables_in(self, folders: Collection[str]) -> list[str]:
        """The names of the files in these folders that may be tables, sorted."""
        if isinstance(self._files, ListedFiles):
            names = [name for name in self._files.others if _folder(name) in folders]
        else:
            top = self._files.path
            names = [folder + name for folder in folders for name in os.listdir(f"{top}/{folder}")]  # noqa: PTH208
        found = (name for name in names if name.lower().endswith(TABLE_SUFFIXES) and "/." not in f"/{name}")
        return sorted(name for name in found if self._exists(name))

    def _outside(self) -> list[Path]:
        """The text files beside the folder or zip itself, where Kaggle puts a table; those on this machine only."""
        if not isinstance(self._files.path, Path):
            return []
        try:
            beside = sorted(self._files.path.parent.iterdir())
            return [path for path in beside if path.suffix.lower() in _TEXT_SUFFIXES and path.is_file()][:_MOST_OUTSIDE]
        except OSError:  # this folder need not be readable
            return []

    def _exists(self, name: str) -> bool:
        if isinstance(self._files, ListedFiles):
            return name in self._files.others
        return (self._files.path / name).is_file()

    def _head(self, name: str) -> bytes:
        if isinstance(self._files, ListedFiles) or not isinstance(self._files.path, Path):
            return (self._files.read_other(name) or b"")[:HEAD_BYTES]
        return _head_of(self._files.path / name)


def _folder(name: str) -> str:
    """The folder of a file with a final `/`; "" at the top."""
    return name[: name.rfind("/") + 1]


def _head_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:  # it is only described
        return b""
