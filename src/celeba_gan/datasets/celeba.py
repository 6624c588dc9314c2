"""CelebA and its synthetic look-alike as catalog entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from celeba_gan.celeba.errors import SourceError
from celeba_gan.celeba.source import CelebA


class CelebADataset(AbstractDataset[CelebA, CelebA]):
    """CelebA in a folder; see `CelebA` for the files it may hold. It can only be loaded.

    Args:
        filepath: The folder.
        metadata: Left to Kedro's plugins.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = _expand_home(filepath)
        self.metadata = metadata

    def load(self) -> CelebA:
        """Open the folder.

        Raises:
            DatasetError: It has no images; the message says where to get them and where to put them.
        """
        celeba = CelebA(self._folder)
        celeba.image_names  # noqa: B018 - the first look: a missing or broken folder is an error here and now
        return celeba

    def save(self, data: CelebA) -> None:
        """Refuse: the source is never written."""
        raise DatasetError(f"{self._folder} is a source of photographs; the project only reads it.")

    def _exists(self) -> bool:
        try:
            return bool(CelebA(self._folder).image_names)
        except SourceError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}


class SyntheticCelebADataset(CelebADataset):
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

    def load(self) -> CelebA:
        """Draw the portraits if need be, and open the folder.

        Raises:
            DatasetError: The folder holds something else.
        """
        from celeba_gan.celeba.synthetic import SyntheticCelebA

        SyntheticCelebA(images=self._images, seed=self._seed).ensure(self._folder)
        return super().load()

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"images": self._images, "seed": self._seed}


def _expand_home(filepath: str) -> Path:
    """`~/` as a shell would have it: behind `source.path=` it does not, and Kedro puts the project before it."""
    _, home, rest = filepath.partition("/~/")
    return Path.home() / rest if home else Path(filepath)
