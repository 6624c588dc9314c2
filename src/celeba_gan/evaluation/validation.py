"""A cheap distance that measures a generator during training."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.swd import sliced_wasserstein
from celeba_gan.foundation.pixels import Images

PROJECTIONS, PATCHES = 128, 16


def choose_reals(gather: Callable[[NDArray[np.int64]], Images], start: int, stop: int, size: int, most: int) -> Images:
    """Up to `most` random images of those from start to stop, always the same: uint8 (n, size, size, 3).

    Larger images are cropped to their centre.
    """
    images = gather(start + np.random.default_rng(0).permutation(stop - start)[:most])
    first = (images.shape[1] - size) // 2
    return images[:, first : first + size, first : first + size]


class ValidationDistance:
    """Sliced Wasserstein distance between samples and a fixed set of real images.

    Reals, latents, patches and directions are the same each time, so only the generator changes between ticks.
    """

    def __init__(self, reals: Images, seed: int = 0) -> None:
        """Samples are compared with the first half of the reals, uint8 (n, size, size, 3), n at least 2.

        The floor is the distance between the halves.
        """
        half = len(reals) // 2
        self._reals, self._seed = reals[:half], seed
        self.floor = self._distance(reals[half : 2 * half])

    def __call__(self, sample: Callable[[int, int], Images]) -> dict[str, float]:
        """`swd_absolute` of samples, from (count, seed), as `swd_absolute_valid`; of other reals, as its `_floor`."""
        samples = sample(len(self._reals), self._seed)
        return {"swd_absolute_valid": self._distance(samples), "swd_absolute_valid_floor": self.floor}

    def _distance(self, images: Images) -> float:
        # Not the paper's distance, which ignores colour and contrast: the best networks must have those of the reals.
        options = {"projections": PROJECTIONS, "patches": PATCHES, "seed": self._seed}
        return sliced_wasserstein(self._reals, images, **options)["swd_absolute"]
