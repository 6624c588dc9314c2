"""Photographs whose files are equal, byte for byte.

CelebA has some, also across its splits: a generator trained on them would be measured with images it has seen. Digests
take 16 bytes of memory per photograph, in one array.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BYTES: Final = 16
DIGEST: Final = np.dtype(f"S{_BYTES}")
"""The dtype of an array of digests; b"" stands for an unreadable photograph."""

Digests = NDArray[np.bytes_]


def file_digest(data: bytes) -> bytes:
    """The digest of a file's content, 16 bytes."""
    # With the processor's own instructions sha256 takes half the time of blake2b, 7 us for a CelebA file.
    return hashlib.sha256(data).digest()[:_BYTES]


class HeldOut:
    """The photographs that training must not see, by the digests of their files.

    Args:
        digests: (n,) of all photographs of valid and test, in the order in which they are packed.
    """

    def __init__(self, digests: Digests) -> None:
        self._order = np.argsort(digests, kind="stable")  # equal ones in their order
        self._sorted = digests[self._order]

    def find(self, digests: Digests) -> dict[int, int]:
        """The photographs that are held out: {number in `digests`: number of the first equal one held out}."""
        places = np.searchsorted(self._sorted, digests)
        inside = places < len(self._sorted)
        found = np.flatnonzero(inside)
        found = found[(self._sorted[places[found]] == digests[found]) & (digests[found] != b"")]
        return dict(zip(found.tolist(), self._order[places[found]].tolist(), strict=True))


def duplicate_groups(image_ids: Sequence[str], digests: Digests) -> list[list[str]]:
    """The groups of at least two photographs with equal files, each sorted, and sorted by their first.

    Args:
        image_ids: The photographs.
        digests: (n,) of their files; those of b"" belong to no group.
    """
    order = np.argsort(digests, kind="stable")
    ordered = digests[order]
    repeats = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != b""))  # equal to the next one
    groups: list[list[str]] = []
    for number, place in enumerate(repeats.tolist()):
        if number == 0 or repeats[number - 1] != place - 1:
            groups.append([image_ids[order[place]]])
        groups[-1].append(image_ids[order[place + 1]])
    return sorted(sorted(group) for group in groups)
