"""Features on disk, so that memory does not grow with the number of images; those of reals are cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from celeba_gan.foundation.documents import parse_json
from celeba_gan.foundation.safety.arrays import ArrayError, map_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

logger = logging.getLogger(__name__)

_LEFT = 86400.0  # seconds after which a file still being written is from a killed run


class Described(NamedTuple):
    """The features of images by an extractor."""

    features: Rows
    """(n, d)"""
    outputs: Rows
    """Class probabilities, (n, classes); (n, 0) from an extractor of features alone."""


class FeatureStore:
    """A folder of features, a `.npy` file for each set of images, under a key of all that they depend on.

    Files are written under another name and renamed when complete. Arrays are mapped from disk, not read, but for their
    checksum, without which they are computed again.
    """

    def __init__(self, folder: Path, most_bytes: float = 2e9) -> None:
        """The folder is created when needed; beyond `most_bytes` the least recently used files are removed."""
        self.folder = folder
        self.most_bytes = most_bytes

    def is_writable(self) -> bool:
        """Whether the folder is writable; logs a warning if not."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                return True
        except OSError as error:
            logger.warning("Features are not cached, since the folder is not writable: %s", error)
            return False

    def describe(self, key: str, count: int, describe: Callable[[], Iterable[Described]]) -> Described:
        """The features of this key and number of images, computed now, batch by batch, if they are missing.

        Raises:
            ValueError: The batches are not of `count` images in all.
            OSError: The disk is full.
        """
        if (known := self.find(key, count)) is not None:
            return known
        with self.writer(key, count) as write:
            for batch in describe():
                write(batch)
        found = self.find(key, count)  # before pruning: a mapped array stays
        if found is None:
            raise OSError(f"Features in {self.folder} were deleted while they were in use. Run again")
        self._prune()
        return found

    def numbers(self, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Numbers by name that depend on this key alone: measured now if they are missing."""
        path = self.folder / f"{_short(key)}.json"
        try:
            stored: Any = parse_json(path.read_text(encoding="utf-8"))
            known: dict[str, float] = stored["numbers"]
            if stored["checksum"] == _checksum(json.dumps(known).encode()):
                return known
        except (OSError, ValueError, TypeError, KeyError):  # missing or damaged
            pass
        numbers = measure()
        checksum = _checksum(json.dumps(numbers).encode())
        try:
            staging = self._staging()
            staging.write_text(json.dumps({"numbers": numbers, "checksum": checksum}, indent=1), encoding="utf-8")
            staging.replace(path)
        except OSError as error:  # they are measured again next time
            logger.warning("Floors are not cached: %s", error)
        return numbers

    def find(self, key: str, count: int) -> Described | None:
        """The features of this key, if they are there, complete, and as they were written."""
        for path in self.folder.glob(f"{_short(key)}.*.npy"):
            width, _, checksum = path.stem.partition(".")[2].partition(".")
            try:
                rows = map_array(path) if _checksum_of(path, width) == checksum else None
            except (OSError, ArrayError):  # damaged, or removed by another process: it is computed again
                continue
            if rows is None or len(rows) != count:
                continue
            with contextlib.suppress(OSError):  # another user's
                os.utime(path)
            return Described(rows[:, : int(width)], rows[:, int(width) :])
        return None

    @contextlib.contextmanager
    def writer(self, key: str, count: int) -> Iterator[Callable[[Described], None]]:
        """Gives a function that appends a batch; the set is in the store once the block ends without an error.

        Raises:
            ValueError: The batches are not of `count` images in all.
        """
        import numpy as np

        staging, width, filled = self._staging(), 0, 0

        def write(batch: Described) -> None:
            nonlocal width, filled
            columns = np.concatenate([batch.features, batch.outputs], axis=1).astype("<f4", copy=False)
            if not width:
                width = batch.features.shape[1]
                header = {"descr": "<f4", "fortran_order": False, "shape": (count, columns.shape[1])}
                np.lib.format.write_array_header_1_0(file, header)
            filled += len(columns)
            file.write(np.ascontiguousarray(columns).tobytes())

        try:
            with staging.open("wb") as file:  # not mapped: then a full disk raises an error and kills no process
                yield write
            if filled != count:
                raise ValueError(f"Features of {count} images were expected, but there are {filled}")
            staging.replace(self.folder / f"{_short(key)}.{width}.{_checksum_of(staging, str(width))}.npy")
        finally:
            staging.unlink(missing_ok=True)

    def _staging(self) -> Path:
        """A name in the folder that no other process uses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{uuid.uuid4().hex}.staging"

    def _prune(self) -> None:
        """Removes the least recently used files, and what killed runs left; never the newest."""
        ages: list[tuple[float, int, Path]] = []
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process may remove it at the same time
                found = path.stat()
                if path.suffix == ".staging" and time.time() - found.st_mtime > _LEFT:
                    path.unlink()
                elif path.suffix == ".npy":
                    ages.append((found.st_mtime, found.st_size, path))
        total = 0
        for place, (_, size, path) in enumerate(sorted(ages, reverse=True)):
            total += size
            if place and total > self.most_bytes:
                with contextlib.suppress(OSError):
                    path.unlink()


def _checksum_of(path: Path, width: str) -> str:
    """Of a file and what its name says of the columns."""
    with path.open("rb") as file:  # read, not mapped: mapped pages count as memory of the process
        return hashlib.file_digest(file, lambda: hashlib.blake2b(width.encode(), digest_size=8)).hexdigest()


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _short(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
