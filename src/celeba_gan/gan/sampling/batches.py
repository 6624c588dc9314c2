"""Samples on their way to disk."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SampleBatch:
    """Samples number `first` and following, of `total`."""

    first: int
    images: NDArray[np.uint8]  # (n, size, size, 3)
    total: int
