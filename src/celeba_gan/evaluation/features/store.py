"""Features on disk, so that memory does not grow with the number of images; those of reals are cached."""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Rows = NDArray[np.float32]
_LEFT = 86400.0  # seconds after which a file still being written is from a killed run


class Described(NamedTuple):
    """The features of images by an extractor."""

    features: Rows
    """(n, d)"""
    outputs: Rows
    """Class probabilities, (n, classes); (n, 0) from an extractor of features alone."""


class FeatureStore:
    """A folder of features, a `.npy` file for each set of images, under a key of all that they depend on.

    Files are written under another name and renamed when complete. Arrays are mapped from disk, not read.
    """

    def __init__(self, folder: Path, most_bytes: float = 2e9) -> None:
        """Names the folder, which is created when needed.

        Args:
            folder: Of the files.
            most_bytes: The least recently used files are removed beyond this size.
        """
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
        """The features of this key, computed now if they are missing.

        Args:
            key: Everything that the features depend on.
            count: Images in the set.
            describe: Gives them batch by batch, in order.

        Raises:
            ValueError: The batches are not of `count` images in all.
            OSError: The disk is full.
        """
        known = self.find(key, count)
        if known is not None:
            return known
        with Writer(self, key, count) as writer:
            for batch in describe():
                writer.add(batch)
        found = self.find(key, count)  # before pruning: a mapped array stays
        if found is None:
            raise OSError(f"Features in {self.folder} were deleted while they were in use. Run again")
        self._prune()
        return found

    def numbers(self, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Numbers by name that depend on this key alone: measured now if they are missing."""
        path = self.folder / f"{_short(key)}.json"
        try:
            known: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
            return known
        except (OSError, ValueError):  # missing or damaged
            pass
        numbers = measure()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            staging = _staging(self.folder)
            staging.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
            staging.replace(path)
        except OSError as error:  # they are measured again next time
            logger.warning("Floors are not cached: %s", error)
        return numbers

    def find(self, key: str, count: int) -> Described | None:
        """The features of this key, if they are there and complete."""
        for path in self.folder.glob(f"{_short(key)}.*.npy"):
            try:
                rows = np.load(path, mmap_mode="r")
            except (OSError, ValueError, EOFError):  # damaged, or removed by another process: it is computed again
                continue
            with contextlib.suppress(OSError):  # another user's
                os.utime(path)
            width = int(path.name.split(".")[1])
            if rows.ndim == 2 and len(rows) == count:
                return Described(rows[:, :width], rows[:, width:])
        return None

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


class Writer:
    """Writes features batch by batch; they are in the store once the `with` block ends without an error."""

    def __init__(self, store: FeatureStore, key: str, count: int) -> None:
        self._store, self._key, self._count = store, key, count
        self._staging: Path | None = None
        self._file: BinaryIO | None = None
        self._width = self._filled = 0

    def __enter__(self) -> "Writer":
        return self

    def add(self, batch: Described) -> None:
        """The next images of the set."""
        columns = np.concatenate([batch.features, batch.outputs], axis=1).astype("<f4", copy=False)
        if self._file is None:
            self._width = batch.features.shape[1]
            self._store.folder.mkdir(parents=True, exist_ok=True)
            self._staging = _staging(self._store.folder)
            # Written, not mapped: then a full disk raises an error instead of killing the process.
            self._file = self._staging.open("wb")
            shape = (self._count, columns.shape[1])
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._file, header)
        self._filled += len(columns)
        if self._filled > self._count:
            raise ValueError(f"Features of {self._count} images were expected, but there are {self._filled}")
        self._file.write(np.ascontiguousarray(columns).tobytes())

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Keeps complete features, and removes incomplete ones after an error."""
        staging = self._staging
        try:
            if self._file is not None:
                self._file.close()
            if kind is not None:
                return
            if staging is None or self._filled != self._count:
                raise ValueError(f"Features of {self._count} images were expected, but there are {self._filled}")
            staging.replace(self._store.folder / f"{_short(self._key)}.{self._width}.npy")
        finally:
            if staging is not None:
                staging.unlink(missing_ok=True)


def _staging(folder: Path) -> Path:
    """A name that no other process uses."""
    return folder / f"{uuid.uuid4().hex}.staging"


def _short(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
