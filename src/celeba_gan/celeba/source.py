"""CelebA as it lies on disk: a zip or a folder of images, and whichever annotation files are there."""

from __future__ import annotations

import logging
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from celeba_gan.celeba.annotations import (
    ATTRIBUTES_FILE,
    IDENTITIES_FILE,
    PARTITION_FILE,
    read_attributes,
    read_identities,
    read_partition,
)
from celeba_gan.celeba.errors import SourceError, appearance

if TYPE_CHECKING:
    from pandas import DataFrame, Series

IMAGES_ZIP: Final = "img_align_celeba.zip"
IMAGES_FOLDER: Final = "img_align_celeba"

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_LITTER = frozenset({"thumbs.db", "desktop.ini"})
_HEADER_BYTES = 4096

logger = logging.getLogger(__name__)


class CelebA:
    """CelebA's images and annotations in one folder.

    The images are read from `img_align_celeba.zip` (whatever its inner folder is called), else from the folder
    `img_align_celeba/` (or Kaggle's `img_align_celeba/img_align_celeba/`), else from the folder itself. Each annotation
    file may be absent. Nothing is read before it is asked for; a pickle holds the path alone, and every process opens
    the zip for itself.

    Args:
        folder: Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()

    def __reduce__(self) -> tuple[type[CelebA], tuple[Path]]:
        return CelebA, (self.folder,)

    def __repr__(self) -> str:
        return f"CelebA({str(self.folder)!r})"

    @property
    def image_names(self) -> list[str]:
        """The names of all files found among the images, sorted; names that are not CelebA's are not left out.

        Raises:
            SourceError: There is no such folder, no image in it, or the zip cannot be opened.
        """
        return sorted(self._images.names)

    def read(self, image_id: str) -> bytes:
        """Read one image file.

        Raises:
            OSError: The file is missing or damaged.
        """
        return self._images.read(image_id)

    def header(self, image_id: str) -> bytes:
        """Read the first 4096 bytes of one image file, or fewer if it is shorter.

        Raises:
            OSError: The file is missing or damaged.
        """
        return self._images.read(image_id, _HEADER_BYTES)

    def fingerprint(self, image_ids: Sequence[str]) -> list[str]:
        """For each image a short text that changes when the image does, without reading it.

        It is the checksum and size that the zip's directory records, or the size and modification time of the file.

        Raises:
            SourceError: One of the images is not there.
        """
        try:
            return [self._images.fingerprint(image_id) for image_id in image_ids]
        except FileNotFoundError as error:
            raise SourceError(
                f"{error}. It was there when the images were indexed; run again from the ingest stage on."
            ) from error

    @cached_property
    def attributes(self) -> DataFrame | None:
        """The table that `read_attributes` gives; None where `list_attr_celeba.txt` is absent."""
        path = self.folder / ATTRIBUTES_FILE
        return read_attributes(path) if path.exists() else None

    @cached_property
    def splits(self) -> Series[str] | None:
        """The column that `read_partition` gives; None where `list_eval_partition.txt` is absent."""
        path = self.folder / PARTITION_FILE
        return read_partition(path) if path.exists() else None

    @cached_property
    def identities(self) -> Series[int] | None:
        """The column that `read_identities` gives; None where `identity_CelebA.txt` is absent."""
        path = self.folder / IDENTITIES_FILE
        return read_identities(path) if path.exists() else None

    def describe(self) -> str:
        """One line: how many images, where, and which annotation files are there.

        Raises:
            SourceError: As `image_names` does.
        """
        files = [name for name in (ATTRIBUTES_FILE, PARTITION_FILE, IDENTITIES_FILE) if (self.folder / name).exists()]
        return f"{len(self._images.names):,} images in {self._images.path}; {', '.join(files) or 'no annotation files'}"

    @cached_property
    def _images(self) -> _ZipImages | _FolderImages:
        images = self._find_images()
        if not images.names:
            raise SourceError(f"No image in {images.path}. {self._where_to_get()}")
        return images

    def _find_images(self) -> _ZipImages | _FolderImages:
        if not self.folder.is_dir():
            raise SourceError(f"There is no folder {self.folder}. {self._where_to_get()}")
        if (self.folder / IMAGES_ZIP).exists():
            return _ZipImages(self.folder / IMAGES_ZIP)
        inner = self.folder / IMAGES_FOLDER
        if not inner.is_dir():
            return _FolderImages(self.folder, only_images=True)
        doubled = inner / IMAGES_FOLDER
        return _FolderImages(doubled if doubled.is_dir() else inner)

    def _where_to_get(self) -> str:
        return (
            f"Get CelebA from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and put these files into "
            f"{self.folder}: {IMAGES_ZIP} (or the folder {IMAGES_FOLDER}/ from it), and as far as you have them "
            f"{ATTRIBUTES_FILE}, {PARTITION_FILE}, {IDENTITIES_FILE}. "
            f"If CelebA lies elsewhere, name its folder with `--params source.path=DIR`."
        )


class _FolderImages:
    """The image files of one folder, by name."""

    def __init__(self, path: Path, *, only_images: bool = False) -> None:
        self.path = path
        with os.scandir(path) as entries:
            self.names = {entry.name for entry in entries if entry.is_file() and not _is_litter(entry.name)}
        if only_images:  # the annotation files lie in the same folder
            self.names = {name for name in self.names if name.lower().endswith(_IMAGE_SUFFIXES)}

    def read(self, name: str, size: int = -1) -> bytes:
        with open(self._find(name), "rb", buffering=0) as file:  # noqa: PTH123 - Path.open costs twice as much
            return file.read(size)

    def fingerprint(self, name: str) -> str:
        status = os.stat(self._find(name))  # noqa: PTH116
        return f"{status.st_size}-{status.st_mtime_ns}"

    def _find(self, name: str) -> str:
        if name not in self.names:
            raise FileNotFoundError(f"{self.path} has no image {name}")
        return f"{self.path}/{name}"


class _ZipImages:
    """The image files of one zip, by name without the inner folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise _not_a_zip(path) from error
        files = [entry for entry in self._zip.infolist() if not entry.is_dir()]
        folders = Counter(_folder(entry) for entry in files if _is_image(_name(entry)) and not _is_litter(_name(entry)))
        most = max(folders, key=lambda folder: folders[folder], default=None)
        self.names = {_name(entry): entry for entry in files if _folder(entry) == most and not _is_litter(_name(entry))}
        ignored = sum(folders.values()) - folders[most] if most is not None else 0
        if ignored:
            logger.warning("%s: %d images outside its folder %r are not used.", path, ignored, most)

    def read(self, name: str, size: int = -1) -> bytes:
        try:
            with self._zip.open(self._find(name)) as file:
                return file.read(size)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,
        ) as error:  # the last: encrypted, or unknown packing
            raise OSError(f"damaged in the zip: {error}") from error

    def fingerprint(self, name: str) -> str:
        entry = self._find(name)
        return f"{entry.CRC:08x}-{entry.file_size}"

    def _find(self, name: str) -> zipfile.ZipInfo:
        try:
            return self.names[name]
        except KeyError:
            raise FileNotFoundError(f"{self.path} has no image {name}") from None


def _folder(entry: zipfile.ZipInfo) -> str:
    return entry.filename.rpartition("/")[0]


def _name(entry: zipfile.ZipInfo) -> str:
    return entry.filename.rpartition("/")[2]


def _is_image(name: str) -> bool:
    return name.lower().endswith(_IMAGE_SUFFIXES)


def _is_litter(name: str) -> bool:
    """Whether an operating system left the file there (`.DS_Store`, `._000001.jpg`, `Thumbs.db`)."""
    return name.startswith(".") or name.lower() in _LITTER


def _not_a_zip(path: Path) -> SourceError:
    with path.open("rb") as file:
        looks = appearance(file.read(4096))
    size = path.stat().st_size
    if looks == "a zip archive":
        looks = "the beginning of one: its end, with the list of its files, is missing (a download that was cut off?)"
    return SourceError(
        f"{path} ({size:,} bytes) is not a whole zip archive; it looks like {looks}. Download {IMAGES_ZIP} (1.4 GB) "
        f"again from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, or unpack the images into "
        f"{path.parent / IMAGES_FOLDER}/ and remove this file."
    )
