"""Sliced Wasserstein distance between patches of Laplacian pyramids (Karras et al. 2018, section 5)."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics.intervals import STUDENT_9, around
from celeba_gan.evaluation.metrics.metric import LEAST_IMAGES, Measured, Metric, Number
from celeba_gan.foundation.pixels import Images

PATCH = 7  # pixels
COARSEST = 16  # pixels
LEAST_DEVIATION = 1e-2  # of 255; rounding of equal images makes 1e-4
SCALE = 1000.0  # the paper's tables print the distance times 1000

Scale = tuple[Tensor, Tensor]
"""Deviation and mean of each colour, (1, 3, 1, 1)."""


def sliced_wasserstein(first: Images, second: Images, *, projections: int, patches: int, seed: int) -> dict[str, float]:
    """Distance between two sets of images, at each scale of a Laplacian pyramid and on average.

    Each scale halves the one before, down to 16 pixels. At each, 7x7 patches are taken from every image, normalised to
    mean 0 and deviation 1 in each colour over the set, and compared along random directions. Both sets get the same
    places and directions, so the distance of a set to itself is 0.

    A colour that does not vary in a set (black images, say) is not divided by its deviation: it is compared in gray
    levels of 255.

    As each set is normalised by itself, the paper's distance ignores differences of mean colour and contrast between
    them. `swd_absolute` does not: it normalises both as the first.

    Images are uint8 (n, size, size, 3). Returns `swd_<pixels>` per scale and their mean, `swd`; the mean over the
    scales of `swd_absolute`; times 1000 as in the paper. 0 is equal.

    Raises:
        ValueError: The sets differ in shape, or are empty.
    """
    if first.shape != second.shape or not len(first):
        raise ValueError(f"Sliced Wasserstein needs two sets of one shape, not {first.shape} and {second.shape}")
    size, level = first.shape[1], 0
    distances: dict[str, float] = {}
    absolute: list[float] = []
    while size >= COARSEST or not distances:
        generator = torch.Generator().manual_seed((seed + 7919 * level) % 2**32)
        corners = torch.randint(0, size - PATCH + 1, (2, len(first), patches), generator=generator)
        directions = F.normalize(torch.randn(3 * PATCH * PATCH, projections, generator=generator), dim=0)
        last = size // 2 < COARSEST
        real, fake = (_patches(images, level, last=last, corners=corners) for images in (first, second))
        of_real, of_fake = (torch.std_mean(one, dim=(0, 2, 3), keepdim=True) for one in (real, fake))
        own, as_real = _sliced_distances(_normalise(real, of_real), fake, (of_fake, of_real), directions)
        distances[f"swd_{size}"] = own * SCALE
        absolute.append(as_real * SCALE)
        size, level = size // 2, level + 1
    mean = float(np.mean(list(distances.values())))
    return {"swd": mean, "swd_absolute": float(np.mean(absolute)), **distances}


def _patches(images: Images, level: int, *, last: bool, corners: Tensor) -> Tensor:
    """Patches of one scale: float32 (n x patches, 3, 7, 7)."""
    parts = []
    for start in range(0, len(images), 256):
        current = torch.from_numpy(images[start : start + 256]).permute(0, 3, 1, 2).float()
        for _ in range(level):
            current = _halve(current)
        band = current if last else current - _double(_halve(current))[..., : current.shape[2], : current.shape[3]]
        windows = band.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (n, 3, places, places, 7, 7)
        image = torch.arange(len(band))[:, None]
        top, left = corners[:, start : start + 256]
        parts.append(windows[image, :, top, left])  # (n, patches, 3, 7, 7)
    return torch.cat(parts).flatten(0, 1)


def _normalise(patches: Tensor, scale: Scale) -> Tensor:
    """To mean 0 and deviation 1 in each colour, in vectors: (n, 147)."""
    deviation, mean = scale
    return ((patches - mean) / deviation.where(deviation > LEAST_DEVIATION, 1)).flatten(1)


def _sliced_distances(real: Tensor, fake: Tensor, scales: Sequence[Scale], directions: Tensor) -> list[float]:
    """Means over directions of the Wasserstein-1 distance between projections, for each scale of the second set."""
    sums = [0.0] * len(scales)
    sets = [_normalise(fake, scale) for scale in scales]
    for part in torch.split(directions, 64, dim=1):  # in parts, for memory
        sorted_ = _sorted_projections(real, part)
        for place, one in enumerate(sets):
            sums[place] += float((sorted_ - _sorted_projections(one, part)).abs().mean(1).sum())
    return [sum_ / directions.shape[1] for sum_ in sums]


def _sorted_projections(patches: Tensor, directions: Tensor) -> Tensor:
    """Projections of the patches, in order along each direction: (directions, n).

    Sorted by numpy, whose sort is vectorised: about forty times as fast as torch's here.
    """
    projections = directions.T @ patches.T
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(np.ndarray.sort, projections.numpy()))  # in place, and without Python's lock
    return projections


# The binomial filter of Burt and Adelson (1983), as in the paper.
_TAPS = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_KERNEL = torch.outer(_TAPS, _TAPS).expand(3, 1, 5, 5)


def _halve(images: Tensor) -> Tensor:
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), _KERNEL, stride=2, groups=3)


def _double(images: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    spread = images.new_zeros(count, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = images
    return F.conv2d(F.pad(spread, (2, 2, 2, 2), mode="reflect"), 4 * _KERNEL, groups=3)


def measure(real: Images, fake: Images, settings: EvaluateSettings) -> Measured:
    """`swd`, `swd_absolute` and the scales of `swd`, with intervals from ten disjoint parts of both sets."""
    count = min(len(real), len(fake), settings.swd_images)
    options = {"projections": settings.swd_projections, "patches": settings.swd_patches, "seed": settings.seed}
    values = sliced_wasserstein(real[:count], fake[:count], **options)
    if count < 10 * LEAST_IMAGES or not settings.bootstrap:
        return Measured(values)
    ends = np.linspace(0, count, 11).astype(int)
    parts = [slice(start, stop) for start, stop in itertools.pairwise(ends)]
    options["projections"] = -(-settings.swd_projections // 4)  # enough for a spread, at a quarter of the time
    of_parts = [sliced_wasserstein(real[part], fake[part], **options) for part in parts]
    intervals = {}
    for name, value in values.items():
        # A part's distance is larger than the whole's, but its spread is that of the whole, times the root of ten.
        reach = STUDENT_9 * float(np.std([one[name] for one in of_parts], ddof=1)) / np.sqrt(10)
        intervals[name] = around(value, reach, "ten disjoint parts")
    return Measured(values, intervals)


SWD = Metric(
    needs="images",
    measure=measure,
    numbers=(
        Number("swd", "Sliced Wasserstein distance", "quality", "less",
                "Between small patches of samples and of reals, on average over the scales; needs no features.",
                "distance", per_scale=True, terminal=("SWD", "distance between patches of samples and of real images")),
        Number("swd_absolute", "Sliced Wasserstein distance, absolute", "quality", "less",
                "The same, but it also counts differences of mean colour and contrast.", "distance"),
    ),
)  # fmt: skip
