"""The split of images that come without one: drawn by their names, so that it is stable when others come and go."""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final
from unicodedata import normalize

from celeba_gan.foundation.wording import counted
from celeba_gan.sources.config import IngestSettings

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_LEAST: Final = 2
"""Images that each of valid and test gets in any case, if there are six."""

logger = logging.getLogger(__name__)


def draw_missing_splits(images: DataFrame, settings: IngestSettings) -> Series[str]:
    """Draws valid and test from train, those of them that are empty, since evaluation needs images of all three.

    The hash of seed and name (of the identity, where it is known: as in CelebA, no person is in two splits) puts an
    image at a position in [0, 1). Those below `valid_share` are valid, those within `valid_share` of 1 are test, the
    others train. So the split of an image depends neither on other images nor on their order. There are two
    exceptions, both with the nearest positions: of each label (without identities) one image at least is in train,
    and valid and test have two images at least.

    Args:
        images: `image_id`, `split`, and where they are known `identity` and `label`.
        settings: The share and the seed.

    Returns:
        The splits, with the index of `images`.
    """
    import pandas as pd

    splits = images["split"].copy()
    missing = [split for split in ("valid", "test") if not (splits == split).any()]
    pool = images[splits == "train"]
    if not missing or pool.empty:
        return splits
    persons = pool["identity" if "identity" in pool else "image_id"].astype("str")
    counts = persons.value_counts(sort=False)
    places = pd.Series({person: _position(settings.seed, person) for person in counts.index}).sort_values()
    free = places
    if "label" in pool and "identity" not in pool:
        from_middle = persons.map((places - 0.5).abs())
        free = places.drop(persons[from_middle.groupby(pool["label"]).idxmin()])
        if len(free) < _LEAST * len(missing):  # labels of one image each
            free = places
    drawn = _ends(free.to_list(), counts[free.index].to_list(), len(free) == len(places), missing, settings)
    for split, (begin, end) in drawn.items():
        splits[persons[persons.isin(free.index[begin:end])].index] = split
        logger.warning(
            "No image is marked as %s: drew %s of the %d usable ones of train by their names (ingest.valid_share %g, "
            "seed %d)",
            split, counted(int((splits == split).sum()), "image"), len(pool), settings.valid_share, settings.seed,
        )  # fmt: skip
    by_name = persons.map(places)
    share = settings.valid_share
    expected = pd.Series("train", index=pool.index)
    if "valid" in missing:
        expected[by_name < share] = "valid"
    if "test" in missing:
        expected[by_name >= 1 - share] = "test"
    exceptions = int((expected != splits[pool.index]).sum())
    if exceptions:
        logger.warning(
            "%s: not split by name alone, so that valid and test have two images and each label has one in train. This "
            "can change when images are added.",
            counted(exceptions, "image"),
        )
    return splits


def _position(seed: int, name: str) -> float:
    """In [0, 1); the same for a name as macOS and as Linux write it."""
    digest = hashlib.blake2b(f"{seed}/{normalize('NFC', name)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _ends(
    places: list[float], counts: list[int], keep_one: bool, missing: list[str], settings: IngestSettings
) -> dict[str, tuple[int, int]]:
    """Where valid begins and ends among the sorted positions, and test; `keep_one`: one at least is train's."""
    least = min(_LEAST, sum(counts) // 3)
    number = len(places)
    first = last = 0
    if "valid" in missing:
        first = max(bisect_left(places, settings.valid_share), _fewest(counts, least))
    if "test" in missing:
        last = number - bisect_left(places, 1 - settings.valid_share)
        last = max(last, _fewest(counts[::-1], least))
    while first + last > number - keep_one and first + last > 0:
        first, last = (first - 1, last) if first > last else (first, last - 1)
    ends = {"valid": (0, first), "test": (number - last, number)}
    return {split: ends[split] for split in missing}


def _fewest(counts: list[int], images: int) -> int:
    """How many of the first persons have that many images together."""
    return bisect_left(list(accumulate(counts)), images) + 1 if images else 0
