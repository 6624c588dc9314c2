"""Are samples new, or copies of training images?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.manifolds import nearest
from celeba_gan.evaluation.metrics.metric import Metric, Number

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Originality:
    """How near samples lie to training images, compared with how near unseen photographs do."""

    memorised: float
    """Samples nearer to a training image, mirrored or not, than 99 of 100 test images are; chance gives 0.01."""
    distance_ratio: float | None
    """Median distance of samples to the nearest training image over that of test images; below 1: too near. None where
    most test images are equal to training images."""
    repeated: float
    """Samples nearer to another sample than 99 of 100 test images are to another test image: the generator repeats."""


def measure_originality(
    samples: Features,
    train: Sequence[Features],
    test: Features,
    progress: Callable[[int, int], None] | None = None,
) -> Originality:
    """Compares nearest neighbours of samples (n, d) and of unseen images (k, d).

    `train` has the features of the training images, (m, d) each: as they are, and mirrored. `progress` is called after
    each search with (searches done, searches to do).

    Raises:
        ValueError: There are fewer than two samples or test images, or no training images.
    """
    if min(len(samples), len(test)) < 2 or not sum(map(len, train)):
        raise ValueError("Originality needs two samples, two test images and a training image")
    done, total = 0, 2 * len(train) + 2

    def distances(some: Features, among: Features, place: int = 0) -> NDArray[np.float32]:
        nonlocal done
        found = nearest(some, among, place + 1)[0][:, place]
        done += 1
        if progress is not None:
            progress(done, total)
        return found

    of_samples, of_test = (np.min([distances(some, among) for among in train], axis=0) for some in (samples, test))
    usual = float(np.median(of_test))
    # At most, not below: where test images have twins themselves, the distance that counts is 0.
    # As many of each: the more there are, the nearer is the nearest.
    few = min(len(samples), len(test))
    among_samples, among_test = (distances(some[:few], some[:few], 1) for some in (samples, test))
    return Originality(
        memorised=float((of_samples <= np.quantile(of_test, 0.01)).mean()),
        distance_ratio=float(np.median(of_samples)) / usual if usual else None,
        repeated=float((among_samples <= np.quantile(among_test, 0.01)).mean()),
    )


ORIGINALITY = Metric(
    needs="training features",
    numbers=(
        Number("memorised", "Memorised", "originality", "less",
                "Samples nearer to a training image than 99 of 100 unseen images are; chance alone gives 1 %.", "share",
                target="at most 1 %", least_end=0.05, by_definition=0.01,
                terminal=("Memorised", "share of samples as near to a training image as 1 in 100 unseen images is")),
        Number("distance_ratio", "Distance to training images", "originality", None,
                "Median distance of samples to the nearest training image, over that of unseen ones; below 1 is too "
                "near.", "ratio", target="near 1", least_end=2.0, by_definition=1),
        Number("repeated", "Repeated", "originality", "less",
                "Samples nearer to another sample than 99 of 100 real images are to another; chance alone gives 1 %.",
                "share", target="at most 1 %", least_end=0.05, by_definition=0.01),
    ),
)  # fmt: skip
