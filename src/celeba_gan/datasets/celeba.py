"""Where the photographs come from, as catalog entries: CelebA, its synthetic look-alike, any folder."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Final

from kedro.io import AbstractDataset, DatasetError

from celeba_gan.sources.celeba import IMAGES_ZIP, CelebA
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.folder import ImageFolder
from celeba_gan.sources.source import Source

SUBFOLDERS: Final = "subfolders"


class SourceDataset(AbstractDataset[Source, Source]):
    """Photographs in a folder or a zip. They can only be loaded.

    Args:
        filepath: The folder or zip.
        metadata: Left to Kedro's plugins.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = _expand_home(filepath)
        self.metadata = metadata

    @abstractmethod
    def source(self) -> Source:
        """The source, not looked at yet."""

    def load(self) -> Source:
        """Open the folder.

        Raises:
            DatasetError: It has no images; the message says what to do.
        """
        source = self.source()
        source.image_names  # noqa: B018 - the first look: a missing or broken folder is an error here and now
        return source

    def save(self, data: Source) -> None:
        """Refuse: the source is never written."""
        raise DatasetError(f"{self._folder} is a source of photographs; the project only reads it.")

    def _exists(self) -> bool:
        try:
            return bool(self.source().image_names)
        except SourceError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}


class CelebADataset(SourceDataset):
    """CelebA in a folder or a zip; see `CelebA` for the files it may hold.

    Args:
        filepath: The folder or zip.
        download: Where to get what is missing: google_drive, huggingface, huggingface:OWNER/DATASET or a web address;
            nowhere, where None.
        metadata: Left to Kedro's plugins.
    """

    def __init__(self, filepath: str, download: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath, metadata)
        self._download = download

    def source(self) -> CelebA:
        """As `SourceDataset.source`."""
        return CelebA(self._folder)

    def load(self) -> Source:
        """Download what is missing if that was asked for, and open the folder.

        Raises:
            DatasetError: It has no images, or they cannot be downloaded; the message says what to do.
        """
        if self._download is not None:
            self._fetch(self._download)
        return super().load()

    def _fetch(self, origin: str) -> None:
        from celeba_gan.sources.download.download import check_place, download_celeba
        from celeba_gan.sources.official import OFFICIAL_FILES

        check_place(origin)  # also where nothing is missing
        celeba = self.source()
        if self._folder.is_file():
            raise SourceError(
                f"{self._folder} is a file, so nothing can be downloaded into it. Leave out source.download, or name a "
                "folder with source.path"
            )
        there = {*celeba.tables, *([IMAGES_ZIP] if celeba.has_images else [])}  # in whatever form
        missing = {name: file for name, file in OFFICIAL_FILES.items() if name not in there}
        if missing:
            download_celeba(self._folder, origin, missing)


class ImageFolderDataset(SourceDataset):
    """Any images in a folder and the folders below it, or in a zip; see `ImageFolder`.

    Args:
        filepath: The folder or zip.
        labels: "subfolders": the name of an image's subfolder is its label. None: there are no labels.
        metadata: Left to Kedro's plugins.
    """

    def __init__(self, filepath: str, labels: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath, metadata)
        if labels not in (None, SUBFOLDERS):
            raise DatasetError(f"source.labels is {labels!r}; it can be {SUBFOLDERS}, or be left out")
        self._labels = labels

    def source(self) -> ImageFolder:
        """As `SourceDataset.source`."""
        return ImageFolder(self._folder, labels=self._labels == SUBFOLDERS)

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"labels": self._labels}


class SyntheticCelebADataset(SourceDataset):
    """Drawn portraits in CelebA's layout: loading draws those that are not there yet, and then reads the folder.

    Args:
        filepath: The folder the portraits are drawn into.
        images: How many.
        seed: Of the drawing.
        metadata: Left to Kedro's plugins.
    """

    def __init__(self, filepath: str, images: int, seed: int, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath, metadata)
        self._images = images
        self._seed = seed

    def source(self) -> CelebA:
        """As `SourceDataset.source`."""
        return CelebA(self._folder)

    def load(self) -> Source:
        """Draw the portraits if need be, and open the folder.

        Raises:
            DatasetError: The folder holds something else.
        """
        from celeba_gan.portraits.synthetic import SyntheticCelebA

        SyntheticCelebA(images=self._images, seed=self._seed).ensure(self._folder)
        return super().load()

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"images": self._images, "seed": self._seed}


def _expand_home(filepath: str) -> Path:
    """`~/` as a shell would have it: behind `source.path=` it does not, and Kedro puts the project before it."""
    _, home, rest = filepath.partition("/~/")
    return Path.home() / rest if home else Path(filepath)
