"""Features on disk, so that memory does not grow with the number of images, and reals are looked at once only."""

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
_LEFT = 86400.0  # seconds after which a file that is being written was left by a killed run


class Described(NamedTuple):
    """What an extractor says of images."""

    features: Rows
    """(n, d)"""
    outputs: Rows
    """Probabilities by the extractor's last layer, (n, classes); (n, 0) for one that gives features alone."""


class FeatureStore:
    """A folder of described sets of images, each a `.npy` file under a key that says what it was made from.

    Files are written under another name and renamed when they are whole. Arrays are mapped from disk, not read.
    """

    def __init__(self, folder: Path, most_bytes: float = 2e9) -> None:
        """Names the folder, which is made when first needed.

        Args:
            folder: Where files are kept.
            most_bytes: Those used longest ago are removed beyond this.
        """
        self.folder = folder
        self.most_bytes = most_bytes

    def is_writable(self) -> bool:
        """Whether anything can be kept here; where not, that is said."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                return True
        except OSError as error:
            logger.warning("Features are not kept for the next time, since nothing can be written there: %s", error)
            return False

    def describe(self, key: str, count: int, describe: Callable[[], Iterable[Described]]) -> Described:
        """The set of this key, described now if it is not there.

        Args:
            key: Everything that the result depends on.
            count: Images in the set.
            describe: Gives it batch by batch, in order.

        Raises:
            ValueError: The batches are not of `count` images in all.
            OSError: There is no room for it.
        """
        known = self.find(key, count)
        if known is not None:
            return known
        with Writer(self, key, count) as writer:
            for batch in describe():
                writer.add(batch)
        found = self.find(key, count)  # before room is made: an array that is mapped stays
        if found is None:
            raise OSError(f"A described set vanished from {self.folder} at once; is the folder being emptied?")
        self._prune()
        return found

    def numbers(self, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Numbers by name that depend on this key alone: measured now if they are not there."""
        path = self.folder / f"{_short(key)}.json"
        try:
            known: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
            return known
        except (OSError, ValueError):  # not there, or damaged
            pass
        numbers = measure()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            staging = _staging(self.folder)
            staging.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
            staging.replace(path)
        except OSError as error:  # they are measured again next time
            logger.warning("Numbers are not kept for the next time: %s", error)
        return numbers

    def find(self, key: str, count: int) -> Described | None:
        """The set of this key, if it is there and whole."""
        for path in self.folder.glob(f"{_short(key)}.*.npy"):
            try:
                rows = np.load(path, mmap_mode="r")
            except (OSError, ValueError, EOFError):  # damaged, or removed by another process: it is made anew
                continue
            with contextlib.suppress(OSError):  # another user's
                os.utime(path)
            width = int(path.name.split(".")[1])
            if rows.ndim == 2 and len(rows) == count:
                return Described(rows[:, :width], rows[:, width:])
        return None

    def _prune(self) -> None:
        """Removes what was used longest ago, and what killed runs left; never the newest."""
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
    """Writes a set batch by batch; it is in the store once the `with` block ends well."""

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
            # Written, not mapped: a full disk is then an error, and not the end of the process.
            self._file = self._staging.open("wb")
            shape = (self._count, columns.shape[1])
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._file, header)
        self._filled += len(columns)
        if self._filled > self._count:
            raise ValueError(f"A set of {self._count} images was announced, and {self._filled} were described")
        self._file.write(np.ascontiguousarray(columns).tobytes())

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Keeps a whole set, and removes what an error left."""
        staging = self._staging
        try:
            if self._file is not None:
                self._file.close()
            if kind is not None:
                return
            if staging is None or self._filled != self._count:
                raise ValueError(f"A set of {self._count} images was announced, and {self._filled} were described")
            staging.replace(self._store.folder / f"{_short(self._key)}.{self._width}.npy")
        finally:
            if staging is not None:
                staging.unlink(missing_ok=True)


def _staging(folder: Path) -> Path:
    """A name that no other process uses."""
    return folder / f"{uuid.uuid4().hex}.staging"


def _short(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
