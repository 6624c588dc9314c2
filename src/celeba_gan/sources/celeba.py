"""CelebA as it is distributed: zip, unpacked folder or Kaggle's archive."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from celeba_gan.foundation.wording import counted
from celeba_gan.sources.distant.files import distant_files
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.image_files import FolderFiles, ImageFiles, ListedFiles, ZipFiles
from celeba_gan.sources.official import HOME_PAGE, IMAGES_IN_CELEBA, IMAGES_ZIP, OFFICIAL_FILES, verdict
from celeba_gan.sources.source import Annotation, Source
from celeba_gan.sources.system_files import system_file
from celeba_gan.sources.tables.celeba_tables import (
    ATTRIBUTES_FILE,
    IDENTITIES_FILE,
    PARTITION_FILE,
    read_attributes,
    read_identities,
    read_partition,
)
from celeba_gan.sources.tables.text_table import TextFile
from celeba_gan.storage.places import Place

if TYPE_CHECKING:
    from pandas import DataFrame, Series

IMAGES_FOLDER: Final = "img_align_celeba"
SYNTHETIC_RECORD: Final = "synthetic.json"
"""The file that marks a folder of drawn portraits."""

TABLES: Final = (ATTRIBUTES_FILE, PARTITION_FILE, IDENTITIES_FILE)

_IMAGES_FOLDERS: Final = (IMAGES_FOLDER, "img_align_celeba_png", "img_celeba")  # the last: not aligned, of many sizes
_PLACES: Final = ("", "Img", "Anno", "Eval", "celeba", "CelebA")  # the authors' folders, and torchvision's
_NAME: Final = re.compile(r"(\d{6})\.(?:jpe?g|png)", re.IGNORECASE)

logger = logging.getLogger(__name__)


class CelebA(Source):
    """CelebA's images and annotations in one folder, or in one zip.

    The images are read from `img_align_celeba.zip`, else from the folder `img_align_celeba/`, else from the only zip
    with images (Kaggle's `archive.zip`), else from the folder itself; inner folders may have any name. Each table may
    be missing, official or Kaggle's CSV, beside the images, in the authors' folders `Anno/` and `Eval/`, or in the zip.
    `prepare` gets missing files from `download`: google_drive, huggingface, huggingface:OWNER/DATASET or a web address.
    A pickle holds only the path.
    """

    parameters: ClassVar[Mapping[str, str]] = {
        "path": "the folder or zip of CelebA",
        "download": "google_drive, huggingface, huggingface:OWNER/DATASET or a web address",
    }

    distant = True

    def __init__(self, path: Path | Place, *, download: str | None = None) -> None:
        super().__init__(path)
        self.download = download

    def __reduce__(self) -> tuple[type[CelebA], tuple[Path | Place]]:
        return CelebA, (self.path,)

    @property
    def kind(self) -> str:
        """`synthetic` for drawn portraits, else `celeba`."""
        return "synthetic" if (self.path / SYNTHETIC_RECORD).is_file() else "celeba"

    def prepare(self) -> None:
        """Downloads what is missing, if `download` is set.

        Raises:
            SourceError: `download` is not a place to download from, or the images could not be downloaded.
        """
        if self.download is None:
            return
        from celeba_gan.sources.download.download import check_mirror, download_celeba

        check_mirror(self.download)  # also where nothing is missing
        if isinstance(self.path, Place):
            raise SourceError(f"{self.path} is elsewhere, and downloads go to this machine: leave out source.download")
        if self.path.is_file():
            raise SourceError(
                f"{self.path} is a file, so nothing can be downloaded into it. Leave out source.download, or name a "
                "folder with source.path"
            )
        present = {*self.tables, *([IMAGES_ZIP] if self.has_images else [])}  # in any form
        missing = {name: file for name, file in OFFICIAL_FILES.items() if name not in present}
        if missing:
            download_celeba(self.path, self.download, missing)

    @cached_property
    def image_names(self) -> list[str]:
        """File names without their folder. As `Source.image_names`."""
        names = (name for name in self.files.names if name[: name.rfind("/") + 1] in self._folders)
        return sorted(name[name.rfind("/") + 1 :] for name in names)

    def advice(self) -> str:
        """As `Source.advice`."""
        return (
            f"Get CelebA from {HOME_PAGE} and put these files into {self.path}: {IMAGES_ZIP} (or the folder "
            f"{IMAGES_FOLDER}/ from it), and as far as you have them {', '.join(TABLES)}. If CelebA is elsewhere, name "
            "its folder with `--params source.path=DIR`; to download it add `--params source.download=google_drive`; "
            "for images that are not CelebA's use `--env folder`."
        )

    def refusal(self, image_id: str) -> str | None:
        """Refuses names that are not CelebA's: the name decides which rows of the tables belong to the image."""
        name = _NAME.fullmatch(image_id)
        return None if name and int(name[1]) else "not a CelebA file name (six digits from 000001, and .jpg)"

    def key(self, image_id: str) -> str:
        """The name in the official tables, where every image is a .jpg."""
        return image_id if image_id[6:] == ".jpg" else f"{image_id[:6]}.jpg"

    def file_name(self, image_id: str) -> str:
        """As `Source.file_name`."""
        *others, last = self._folders
        return next((name for folder in others if (name := folder + image_id) in self.files), last + image_id)

    def annotations(self) -> list[Annotation]:
        """Partition, attributes and identities, those that exist."""
        import pandas as pd

        readers: dict[str, Callable[[TextFile], DataFrame | Series[str] | Series[int]]] = {
            PARTITION_FILE: read_partition, ATTRIBUTES_FILE: read_attributes, IDENTITIES_FILE: read_identities
        }  # fmt: skip
        return [
            Annotation(self._tables[table], pd.DataFrame(read(self._text(table))))
            for table, read in readers.items()
            if table in self._tables
        ]

    def notes(self) -> list[str]:
        """As `Source.notes`."""
        instead = {PARTITION_FILE: "a split is drawn instead"}
        missing = [table for table in TABLES if table not in self._tables]
        return [f"No {table} in {self.path}: {instead.get(table, 'its columns are left out')}." for table in missing]

    def verdicts(self, annotations: Sequence[Annotation]) -> dict[str, str]:
        """Compares CelebA's files with the official ones by md5; see `verdict`.

        The zip is read only if it holds as many images as CelebA: with another number it is not the official one.
        """
        if self.kind != "celeba":
            return {}
        places = (annotation.place for annotation in annotations)
        verdicts = {place.name: verdict(place) for place in places if not isinstance(place, str)}
        images = self.files.path
        if isinstance(images, Path) and images.is_file():
            count = len(self.image_names)
            other = f"not the official file ({counted(count, 'image')}, not {IMAGES_IN_CELEBA:,})"
            verdicts[images.name] = verdict(images) if count == IMAGES_IN_CELEBA else other
        return verdicts

    def describe(self) -> str:
        """As `Source.describe`, and which tables exist."""
        return f"{super().describe()}; {', '.join(self.tables.values()) or 'no annotation files'}"

    @property
    def tables(self) -> dict[str, str]:
        """The official tables that exist, and the names of their files."""
        return {table: str(place).rpartition("/")[2] for table, place in self._tables.items()}

    @property
    def has_images(self) -> bool:
        """Whether there is an image."""
        try:
            return bool(self.files.names)
        except SourceError:
            return False

    @cached_property
    def _folders(self) -> list[str]:
        """The folders whose images are used: the largest, and those that repeat no name of another.

        Beside the aligned images there may be a folder of the original photographs with the same names.
        """
        counts = Counter(name[: name.rfind("/") + 1] for name in self.files.names)
        if any("hq" in part.lower() for folder in counts for part in folder.split("/")):
            raise SourceError(
                f"The images in {self.files.path} look like CelebA-HQ's, which are numbered differently: with CelebA's "
                "tables they would get the labels of other people. Use --env folder"
            )
        ranked = sorted(counts, key=lambda folder: (IMAGES_FOLDER not in folder.split("/"), -counts[folder], folder))
        used, taken = ranked[:1], set[str]()
        for folder in ranked[1:]:
            taken = taken or self._names_in(used[0])
            names = self._names_in(folder)
            if names & taken:
                logger.warning(
                    "%s: ignoring the %d images in its folder %r; %r has images of the same names.",
                    self.files.path, len(names), folder, used[0],
                )  # fmt: skip
            else:
                used.append(folder)
                taken |= names
        return used

    @cached_property
    def _tables(self) -> dict[str, Path | Place | str]:
        """The files of the tables by their official names: a path, or a name among the other files of a listing."""
        found: dict[str, Path | Place | str] = {}
        folders: list[Path | Place] = (
            [self.path.parent] if self.path.is_file() else [self.path / place for place in _PLACES]
        )
        for table in TABLES:
            names = (table, f"{Path(table).stem}.csv")
            on_disk = [path for name in names for folder in folders if (path := folder / name).is_file()]
            zipped = self.files.others if self.has_images and isinstance(self.files, ListedFiles) else []
            in_zip = [other for name in names for other in zipped if other.rpartition("/")[2] == name]
            beside = [path for name in names for folder in self._above_images() if (path := folder / name).is_file()]
            places: list[Path | Place | str] = [*on_disk, *in_zip, *beside]
            if places:
                found[table] = places[0]
        return found

    def _above_images(self) -> list[Path]:
        """The folders between this one and those of the images; each may hold tables."""
        if not self.has_images or not isinstance(self.files, FolderFiles):
            return []
        assert isinstance(self.path, Path)
        folders = (self.files.path / folder for folder in self._folders)
        above = dict.fromkeys(path for folder in folders for path in [folder, *folder.parents])
        return [path for path in above if path.is_relative_to(self.path)]

    def _text(self, table: str) -> TextFile:
        place = self._tables[table]
        if isinstance(place, Path):
            return TextFile.of(place, table)
        if isinstance(place, Place):
            return TextFile(str(place), place.read_bytes())
        return TextFile(f"{place} in {self.files.path}", self.files.read_other(place) or b"")

    def open_files(self) -> ImageFiles:
        """As `Source.open_files`."""
        if isinstance(self.path, Place):
            zips_elsewhere = (zipped for place in _PLACES if (zipped := self.path / place / IMAGES_ZIP).is_file())
            return distant_files(next(zips_elsewhere, self.path))
        if self.path.is_file():
            return ZipFiles(self.path)
        folders = [self.path / place for place in _PLACES]
        for folder in folders:
            if (folder / IMAGES_ZIP).is_file():
                return ZipFiles(folder / IMAGES_ZIP)
        for folder in (parent / name for parent in folders for name in _IMAGES_FOLDERS):
            if folder.is_dir() and (unpacked := FolderFiles(folder)).names:
                return unpacked
        paths = (path for path in sorted(self.path.glob("*.zip")) if system_file(path.name) is None)  # not ._faces.zip
        zips = [files for path in paths if (files := ZipFiles(path)).names]
        if len(zips) > 1:
            names = ", ".join(files.path.name for files in zips)
            raise SourceError(
                f"{self.path} has more than one zip with images ({names}). Name the one to use: --params "
                "source.path=FILE"
            )
        return zips[0] if zips else FolderFiles(self.path)

    def _names_in(self, folder: str) -> set[str]:
        below = (name.removeprefix(folder) for name in self.files.names if name.startswith(folder))
        return {name for name in below if "/" not in name}
