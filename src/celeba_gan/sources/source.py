"""Where photographs, and what is known of them, come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.image_files import ImageFiles

if TYPE_CHECKING:
    from pandas import DataFrame

_ARCHIVES: Final = frozenset({".zip", ".7z", ".001", ".rar", ".tar", ".gz", ".tgz", ".xz", ".bz2"})
_HEADER_BYTES: Final = 4096


@dataclass(frozen=True)
class Annotation:
    """A table about the images.

    Attributes:
        place: The file it comes from; one in a zip by its name in there.
        table: Index: what `Source.key` gives for an image. Columns: as in the image index.
        notes: What a person should know of how it was read.
    """

    place: Path | str
    table: DataFrame
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The file's name without its folder."""
        return str(self.place).rpartition("/")[2]


class Source(ABC):
    """Photographs by name, and tables about them. Nothing is read before it is asked for.

    Args:
        path: The folder, or a zip.
    """

    kind: str
    """"celeba", "synthetic" or "folder"."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    @abstractmethod
    def files(self) -> ImageFiles:
        """The image files.

        Raises:
            SourceError: There is no such folder, no image in it, or the zip is none.
        """

    @abstractmethod
    def annotations(self) -> list[Annotation]:
        """The tables that are there, read.

        Raises:
            SourceError: One is not what its name says.
        """

    @abstractmethod
    def refusal(self, image_id: str) -> str | None:
        """Why an image of this name is not used; None where it is."""

    @property
    @abstractmethod
    def image_names(self) -> list[str]:
        """The names of the images, sorted; those that `refusal` refuses, too.

        Raises:
            SourceError: As `files` does.
        """

    def key(self, image_id: str) -> str:
        """The name of an image in the tables."""
        return image_id

    def file_name(self, image_id: str) -> str:
        """The name of an image among `files`."""
        return image_id

    def read(self, image_id: str) -> bytes:
        """Read one image file.

        Raises:
            OSError: The file is missing or damaged.
        """
        return self.files.read(self.file_name(image_id))

    def header(self, image_id: str) -> bytes:
        """Read the first 4096 bytes of one image file, or fewer if it is shorter.

        Raises:
            OSError: The file is missing or damaged.
        """
        return self.files.read(self.file_name(image_id), _HEADER_BYTES)

    def fingerprint(self, image_ids: Iterable[str]) -> list[str]:
        """For each image a short text that changes when the image does, without reading it.

        It is the checksum and size that the zip's directory records, or the size and modification time of the file.

        Raises:
            SourceError: One of the images is not there.
        """
        try:
            return [self.files.fingerprint(self.file_name(image_id)) for image_id in image_ids]
        except FileNotFoundError as error:
            raise SourceError(
                f"{error}. It was there when the images were indexed; run again from the ingest stage on."
            ) from error

    def portion(self, image_ids: Sequence[str]) -> Portion:
        """Some of the images, small enough to be sent to another process."""
        names = {image_id: self.file_name(image_id) for image_id in image_ids}
        return Portion(self.files.portion([name for name in names.values() if name in self.files]), names)

    def describe(self) -> str:
        """One line: how many images, and where.

        Raises:
            SourceError: As `files` does.
        """
        return f"{len(self.image_names):,} images in {self.files.path}"


@dataclass(frozen=True)
class Portion:
    """A few images of a source."""

    files: ImageFiles
    names: dict[str, str]

    def read(self, image_id: str) -> bytes:
        """As `Source.read`."""
        return self.files.read(self.names.get(image_id, image_id))


def only_other_files(files: ImageFiles) -> str:
    """What there is instead of images; of archives, that they have to be unpacked."""
    if not files.ignored:
        return ""
    others = ", ".join(f"{count} {suffix}" for suffix, count in files.ignored.most_common(5))
    packed = sorted(_ARCHIVES & files.ignored.keys())
    hint = f"; a {packed[0]} archive has to be unpacked once" if packed else ""
    return f", only other files ({others}){hint}"
