"""How alike samples are to each other: multi-scale structural similarity (Odena et al. 2017, section 4.2)."""

import numpy as np
import torch

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics.metric import Measured, Metric, Number
from celeba_gan.foundation.pixels import Images

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (Wang et al. 2003)
WINDOW = 11  # pixels
_BLOCK = 64


def similarity_within(images: Images, pairs: int, seed: int) -> float:
    """The mean MS-SSIM of random pairs of different images: 0 for nothing in common, 1 for equal ones.

    Five scales need 176 pixels; smaller images have fewer, as many as the window of 11 pixels fits into, with the
    paper's weights scaled to the sum of 1. Numbers at different sizes cannot be compared. Images are uint8 (n, size,
    size, 3).

    Raises:
        ValueError: There are fewer than two images, or they are too small.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    count, size = images.shape[:2]
    if count < 2 or size < WINDOW:
        raise ValueError(f"MS-SSIM needs two images of {WINDOW} pixels, not {count} of {size}")
    scales = sum(size // 2**scale >= WINDOW for scale in range(len(_WEIGHTS)))
    weights = tuple(weight / sum(_WEIGHTS[:scales]) for weight in _WEIGHTS[:scales])
    random = np.random.default_rng(seed)
    first = random.integers(0, count, pairs)
    second = (first + random.integers(1, count, pairs)) % count  # another one
    total = 0.0
    for start in range(0, pairs, _BLOCK):
        chosen = (indices[start : start + _BLOCK] for indices in (first, second))
        one, other = (torch.from_numpy(images[indices]).permute(0, 3, 1, 2).float() for indices in chosen)
        values = ms_ssim(one, other, data_range=255.0, betas=weights, normalize="relu", reduction="none")
        total += float(values.sum())
    return total / pairs


def measure(real: Images, fake: Images, settings: EvaluateSettings) -> Measured:
    """`ms_ssim` among the samples, if its window fits into them; its floor is that among reals."""
    if fake.shape[1] < WINDOW:
        return Measured({})
    return Measured({"ms_ssim": similarity_within(fake, settings.ms_ssim_pairs, settings.seed)})


MS_SSIM = Metric(
    needs="images",
    measure=measure,
    numbers=(
        Number("ms_ssim", "MS-SSIM", "variety", None,
                "How alike two samples are, on average over pairs: 1 for equal ones. Above the reals’: too little "
                "variety.", target="as reals", ends=(0, 1)),
    ),
)  # fmt: skip
