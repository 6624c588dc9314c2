"""What every source of photographs has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from celeba_gan.foundation.wording import counted, listed_counts
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.image_files import ImageFiles
from celeba_gan.storage.places import Place

if TYPE_CHECKING:
    from pandas import DataFrame

SUBFOLDERS: Final = "the subfolders' names"
"""The `Annotation.file` of what the names of subfolders say."""

OUTSIDE_SPLITS: Final = "outside of the folders that are the splits"
"""Why an image beside the folders train, valid and test is not used."""

_ARCHIVES: Final = frozenset({".zip", ".7z", ".001", ".rar", ".tar", ".gz", ".tgz", ".xz", ".bz2"})
_HEADER_BYTES: Final = 4096


@dataclass(frozen=True)
class Annotation:
    """A table about the images."""

    place: Path | Place | str  # the path of its file, or its name in the zip
    table: DataFrame  # its index is `Source.key` of the images, its columns are those of the image index
    notes: tuple[str, ...] = ()  # sentences about what was left out
    files: int = 1  # how many of this name in several folders it was read from

    @property
    def file(self) -> str:
        """The file's name without its folder."""
        return str(self.place).rpartition("/")[2]


class Source(ABC):
    """Photographs in a folder or a zip by name, and tables about them. Everything is read on first use.

    A catalog entry names the class, its path and its further arguments: see `SourceDataset`.
    """

    parameters: ClassVar[Mapping[str, str]] = {"path": "the folder of the images, or a zip of them"}
    """The fields of `source` in --params that its catalog entries read, and what to give for each."""

    distant: ClassVar[bool] = False
    """Whether the path may be an address such as s3://bucket/folder."""

    def __init__(self, path: Path | Place) -> None:
        self.path = path if isinstance(path, Place) else Path(path).absolute()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    @abstractmethod
    def kind(self) -> str:
        """One word for reports."""

    @abstractmethod
    def open_files(self) -> ImageFiles:
        """Lists the files at `path`, which exists."""

    @abstractmethod
    def advice(self) -> str:
        """Sentences about what to do if there are no images."""

    def prepare(self) -> None:  # noqa: B027 - most sources have nothing to fetch
        """Fetches what is missing. It is called before images are loaded, not to check whether there are any."""

    @cached_property
    def files(self) -> ImageFiles:
        """The image files.

        Raises:
            SourceError: There is no such folder, no image in it, or the zip is damaged.
        """
        if not self.path.exists():
            raise SourceError(f"There is no folder {self.path}. {self.advice()}")
        files = self.open_files()
        if not files.names and not files.rejected:
            raise SourceError(f"No image in {files.path}{_other_files(files)}. {self.advice()}")
        return files

    @property
    def image_names(self) -> list[str]:
        """The names of the images, sorted, including those that `refusal` refuses.

        Raises:
            SourceError: As `files` does.
        """
        return self.files.names

    def annotations(self) -> list[Annotation]:
        """Reads the tables.

        Raises:
            SourceError: A file is not the table that its name suggests.
        """
        return []

    def refusal(self, image_id: str) -> str | None:
        """The reason not to use an image of this name; None to use it."""
        return None

    def notes(self) -> list[str]:
        """Sentences for the report about what is missing."""
        return []

    def verdicts(self, annotations: Sequence[Annotation]) -> dict[str, str]:
        """By file name, whether a file is the published one."""
        return {}

    def key(self, image_id: str) -> str:
        """The name of an image in the tables."""
        return image_id

    def file_name(self, image_id: str) -> str:
        """The name of an image among `files`."""
        return image_id

    def read(self, image_id: str) -> bytes:
        """Reads one image file.

        Raises:
            OSError: The file is missing or damaged.
        """
        return self.files.read(self.file_name(image_id))

    def header(self, image_id: str) -> bytes:
        """Reads the first 4096 bytes of one image file, or all if it is shorter.

        Raises:
            OSError: The file is missing or damaged.
        """
        return self.files.read(self.file_name(image_id), _HEADER_BYTES)

    def fingerprint(self, image_ids: Iterable[str]) -> list[str]:
        """For each image a short text that changes with the image, without reading it.

        It is the checksum and size in the zip's directory, or the size and modification time of the file.

        Raises:
            SourceError: An image is missing.
        """
        try:
            return [self.files.fingerprint(self.file_name(image_id)) for image_id in image_ids]
        except FileNotFoundError as error:
            raise SourceError(
                f"{error}. It existed when the images were indexed; run the ingest stage again."
            ) from error

    def portion(self, image_ids: Sequence[str]) -> Portion:
        """Some of the images, small enough to be sent to another process."""
        names = {image_id: self.file_name(image_id) for image_id in image_ids}
        return Portion(self.files.portion([name for name in names.values() if name in self.files]), names)

    def describe(self) -> str:
        """One line for people: how many images were found, usable or not, and where.

        Raises:
            SourceError: As `files` does.
        """
        return f"{counted(len(self.image_names) + len(self.files.rejected), 'image')} in {self.files.path}"


@dataclass(frozen=True)
class Portion:
    """A few images of a source."""

    files: ImageFiles
    names: dict[str, str]

    def read(self, image_id: str) -> bytes:
        """As `Source.read`."""
        return self.files.read(self.names.get(image_id, image_id))


def _other_files(files: ImageFiles) -> str:
    found = ""
    if files.ignored:
        packed = sorted(_ARCHIVES & files.ignored.keys())
        hint = f"; unpack the {packed[0]} archive" if packed else ""
        found = f", only other files ({listed_counts(files.ignored)}){hint}"
    if files.skipped:
        found += f", skipping what systems create or hide ({listed_counts(files.skipped)})"
    return found
