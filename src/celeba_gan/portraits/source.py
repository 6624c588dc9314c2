"""The drawn portraits as a source of photographs."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from celeba_gan.sources.celeba import CelebA


class DrawnPortraits(CelebA):
    """Portraits in CelebA's layout, drawn on first use.

    Args:
        path: The folder they are drawn into.
        images: How many.
        seed: Of the drawing.
    """

    parameters: ClassVar[Mapping[str, str]] = {}

    def __init__(self, path: Path, *, images: int, seed: int) -> None:
        super().__init__(path)
        self.images = images
        self.seed = seed

    def prepare(self) -> None:
        """Draws the portraits that the folder does not have yet.

        Raises:
            NotSyntheticError: The folder holds something else.
        """
        from celeba_gan.portraits.synthetic import SyntheticCelebA

        SyntheticCelebA(images=self.images, seed=self.seed).ensure(self.path)
