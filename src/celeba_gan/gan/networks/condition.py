"""The labels of conditional networks, as recorded in their cards."""

from typing import Literal

from celeba_gan.foundation.documents import Record


class Condition(Record):
    """Names of the labels, and how often the training images have each combination of them."""

    kind: Literal["class", "attributes"]
    names: tuple[str, ...]
    sets: tuple[tuple[int, ...], ...]  # for each combination, the columns of `names` that are 1
    counts: tuple[int, ...]  # training images with each combination
    digest: str  # of the labels of all training images
