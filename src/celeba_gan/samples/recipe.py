"""What decides each sample, and samples on their way to disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from celeba_gan.foundation.documents import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Format = Literal["png", "webp", "zip", "packed"]

_BLOCK: Final = 1024
_BLOCK_BYTES: Final = 64 * 2**20


class SampleRecipe(Document):
    """What the image of a number depends on, and the format of its file."""

    noun = "recipe of samples"

    training_id: str
    images: int  # that the generator's training had seen
    size: int  # side in pixels
    seed: int
    truncation: float
    labels: tuple[str, ...]  # requested of all; empty: as frequent as among the training images
    names: tuple[str, ...]  # of all labels that the generator takes
    format: Format

    @property
    def plan(self) -> str:
        """Identifies it: samples of equal plans are equal."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def block(self) -> int:
        """Images that are completed together, and lost together where writing is interrupted: at most 64 MiB."""
        return max(1, min(_BLOCK, _BLOCK_BYTES // (self.size * self.size * 3)))


@dataclass(frozen=True)
class SampleBatch:
    """Samples number `first` and following, of `total`; none: all of them are on disk already."""

    recipe: SampleRecipe
    total: int
    first: int
    images: NDArray[np.uint8]  # (n, size, size, 3)
    labels: NDArray[np.float32]  # (n, names), zeros and ones

    @property
    def stop(self) -> int:
        """The number after its last sample's."""
        return self.first + len(self.images)
