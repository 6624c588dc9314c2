"""A folder of any images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import ClassVar, Final
from unicodedata import normalize

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.distant.files import distant_files
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.folder_tables import FolderTables
from celeba_gan.sources.image_files import FolderFiles, ImageFiles, ZipFiles
from celeba_gan.sources.source import OUTSIDE_SPLITS, SUBFOLDERS, Annotation, Source
from celeba_gan.sources.tables.official_rows import SPLIT_WORDS
from celeba_gan.storage.places import Place

_THOUSAND: Final = re.compile(r"(?:^|/)([0-9]{5})/[^/0-9]*([0-9]+)\.[^./]*$")  # StyleGAN's and FFHQ's folders


class ImageFolder(Source):
    """Any images in a folder and the folders below it, or in a zip. An image's name is its path in there.

    A table beside them may annotate them; see `FolderTables`. If `train` and one of `valid` and `test` (or others of
    `SPLIT_WORDS`) are subfolders side by side, these are the splits, and images outside of them are refused.

    With `labels` `subfolders` the label of an image is the name of its subfolder; of several, the topmost that is not a
    split. None: there are no labels.

    Raises:
        SourceError: `labels` is something else.
    """

    kind = "folder"
    distant = True
    parameters: ClassVar[Mapping[str, str]] = {**Source.parameters, "labels": "subfolders"}

    def __init__(self, path: Path | Place, *, labels: str | None = None) -> None:
        super().__init__(path)
        if labels not in (None, "subfolders"):
            raise SourceError(f"source.labels is {labels!r}; it can be subfolders, or be left out")
        self.labels = labels

    def __reduce__(self) -> tuple[type[ImageFolder], tuple[Path | Place]]:
        return ImageFolder, (self.path,)  # reading images needs no labels

    def open_files(self) -> ImageFiles:
        """As `Source.open_files`."""
        if isinstance(self.path, Place):
            return distant_files(self.path)
        return FolderFiles(self.path) if self.path.is_dir() else ZipFiles(self.path)

    def advice(self) -> str:
        """As `Source.advice`."""
        zips, looks_like_celeba = [], False
        if isinstance(self.path, Path):
            celeba, zips = CelebA(self.path), sorted(self.path.glob("*.zip"))
            looks_like_celeba = (
                self.path.exists()
                and celeba.has_images
                and (bool(celeba.tables) or "celeba" in celeba.files.names[0].lower())
            )
        if looks_like_celeba:
            hint = "Is it CelebA? Then use --env celeba. "
        else:
            hint = f"To use the zip in it: --params source.path={zips[0]}. " if zips else ""
        return (
            f"{hint}Name the folder of your images, or a zip of them: --params source.path=DIR. JPEG, PNG, WebP, BMP, "
            "TIFF and GIF files are read, in it and in all folders below it"
        )

    def refusal(self, image_id: str) -> str | None:
        """Refuses images beside the subfolders if these are the splits or the labels."""
        if self._are_splits and self._split(image_id) is None:
            return f"{OUTSIDE_SPLITS}: move it into one of them, or away; or rename them to have no split by folder"
        return "not in a subfolder that names its label" if self.labels and self._label(image_id) is None else None

    def key(self, image_id: str) -> str:
        """As `Source.key`."""
        return self._tables.match.rows.get(image_id, image_id)

    def annotations(self) -> list[Annotation]:
        """The table beside the images, and that of the names of the subfolders."""
        found = [] if self._tables.annotation is None else [self._tables.annotation]
        of_folders = {}
        if self._are_splits:
            splits = ((name, self._split(name)) for name in self.image_names)
            of_folders["split"] = {name: split for name, split in splits if split is not None}
        if self.labels:
            self._refuse_shards()
            self._refuse_no_subfolders()
            labels = ((name, self._label(name)) for name in self.image_names)
            of_folders["label"] = {name: label for name, label in labels if label is not None}
        if of_folders:
            import pandas as pd

            for column in of_folders:
                if found and column in found[0].table:
                    other = "leave out source.labels" if column == "label" else "rename the subfolders"
                    raise SourceError(
                        f"{found[0].file} in {self.path} has a column {column}, and so do the subfolders' names. "
                        f"{other.capitalize()}, or remove the column"
                    )
            table = pd.DataFrame(of_folders, dtype="str")
            found.append(Annotation(SUBFOLDERS, table.rename(index=self.key)))
        return found

    def notes(self) -> list[str]:
        """As `Source.notes`."""
        return [*self._notes_on_splits(), *self._tables.notes()]

    @cached_property
    def _tables(self) -> FolderTables:
        tops = {self._parts(name)[0] for name in self.image_names if self._are_splits and self._split(name)}
        return FolderTables(self.files, self._common_folder, [f"{self._common_folder}{top}/" for top in sorted(tops)])

    def _refuse_shards(self) -> None:
        """Raises if the subfolders only number the images by the thousand."""
        for name in self.image_names:
            match = _THOUSAND.search(name)
            number = int(match[2]) // 1000 if match else -1
            if match is None or int(match[1]) not in (number, number * 1000):
                return
        table = self._tables.annotation
        instead = f"; the labels are read from {table.file}" if table and "label" in table.table else ""
        raise SourceError(
            f"source.labels is subfolders, but those of {self.path} (such as that of {self.image_names[0]}) are not "
            f"classes: they hold a thousand images each, by number, as StyleGAN and FFHQ store them. Leave out "
            f"source.labels{instead}"
        )

    def _refuse_no_subfolders(self) -> None:
        """Raises if no image is in a subfolder that could be its label: all are in one folder, or in one per split."""
        if self.image_names and all(self._label(name) is None for name in self.image_names):
            where = "the folders of the splits" if self._are_splits else f"{self.path / self._common_folder}"
            raise SourceError(
                f"The labels are to be the names of subfolders, but all images lie directly in {where}. Put them into "
                "a subfolder for each label, side by side, or leave out the labels"
            )

    @cached_property
    def _common_folder(self) -> str:
        """The deepest folder, with a final `/`, that holds all images; "" for the top."""
        names = self.image_names or [""]  # all were rejected
        first, last = names[0].split("/")[:-1], names[-1].split("/")[:-1]  # sorted: what these share, all share
        shared = takewhile(lambda parts: parts[0] == parts[1], zip(first, last, strict=False))
        return "".join(f"{part}/" for part, _ in shared)

    def _parts(self, image_id: str) -> list[str]:
        return image_id.removeprefix(self._common_folder).split("/")

    @cached_property
    def _are_splits(self) -> bool:
        """Whether the topmost subfolders are splits: train is among them, and nothing else or another split."""
        tops = {parts[0].lower() if len(parts) > 1 else "" for parts in map(self._parts, self.image_names)}
        return _name_splits(tops) or (tops <= SPLIT_WORDS.keys() and "train" in _splits_of(tops))

    def _split(self, image_id: str) -> str | None:
        """The split that the topmost subfolder names."""
        parts = self._parts(image_id)
        number = SPLIT_WORDS.get(parts[0].lower()) if len(parts) > 1 else None
        return None if number is None else SPLITS[number]

    def _notes_on_splits(self) -> list[str]:
        """A sentence about folders that are called as splits and are none, as in `cat/train` and `cat/val`."""
        folders = {folder for name in self.image_names for folder in self._parts(name)[:-1]}
        if self._are_splits or not _name_splits({folder.lower() for folder in folders}):
            return []
        called = sorted(folder for folder in folders if folder.lower() in SPLIT_WORDS)
        return [
            f"Folders called {' and '.join(called)} were found below other folders, and are not splits: to use them as "
            f"the splits, put them side by side at the top of {self.path}, with the other folders in them."
        ]

    def _label(self, image_id: str) -> str | None:
        parts = self._parts(image_id)[self._are_splits :]
        return normalize("NFC", parts[0]) if len(parts) > 1 else None  # macOS decomposes accents


def _splits_of(folders: Set[str]) -> set[str]:
    """The splits that folders name, in lower case."""
    return {SPLITS[SPLIT_WORDS[folder]] for folder in folders if folder in SPLIT_WORDS}


def _name_splits(folders: Set[str]) -> bool:
    """Whether folders are called as train and as another split. One alone may be a class: trains, or tests."""
    splits = _splits_of(folders)
    return "train" in splits and len(splits) > 1
