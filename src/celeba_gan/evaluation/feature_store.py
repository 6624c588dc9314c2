"""Features on disk, so that memory does not grow with the number of images, and reals are looked at once only."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


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

    def describe(self, key: str, count: int, describe: Callable[[], Iterable[Described]]) -> Described:
        """The set of this key, described now if it is not there.

        Args:
            key: Everything that the result depends on.
            count: Images in the set.
            describe: Gives it batch by batch, in order.

        Raises:
            ValueError: The batches are not of `count` images in all.
        """
        known = self.find(key, count)
        if known is not None:
            return known
        with Writer(self, key, count) as writer:
            for batch in describe():
                writer.add(batch)
        self._prune()
        found = self.find(key, count)
        assert found is not None  # just written
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
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".staging")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(numbers, file, indent=1)
        Path(name).replace(path)
        return numbers

    def find(self, key: str, count: int) -> Described | None:
        """The set of this key, if it is there and whole."""
        for path in self.folder.glob(f"{_short(key)}.*.npy"):
            try:
                rows = np.load(path, mmap_mode="r")
                os.utime(path)
            except (OSError, ValueError, EOFError):  # damaged, or removed by another process: it is made anew
                continue
            width = int(path.name.split(".")[1])
            if rows.ndim == 2 and len(rows) == count:
                return Described(rows[:, :width], rows[:, width:])
        return None

    def _prune(self) -> None:
        """Removes what was used longest ago, but never the newest."""
        files = sorted(self.folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for place, path in enumerate(files):
            total += path.stat().st_size
            if place and total > self.most_bytes:
                path.unlink(missing_ok=True)


class Writer:
    """Writes a set batch by batch; it is in the store once the `with` block ends well."""

    def __init__(self, store: FeatureStore, key: str, count: int) -> None:
        self._store, self._key, self._count = store, key, count
        self._staging: Path | None = None
        self._rows: np.memmap[Any, np.dtype[np.float32]] | None = None
        self._width = self._filled = 0

    def __enter__(self) -> "Writer":
        return self

    def add(self, batch: Described) -> None:
        """The next images of the set."""
        columns = np.concatenate([batch.features, batch.outputs], axis=1).astype(np.float32, copy=False)
        if self._rows is None:
            self._width = batch.features.shape[1]
            self._store.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._store.folder, suffix=".staging")
            os.close(handle)
            self._staging = Path(name)
            shape = (self._count, columns.shape[1])
            self._rows = np.lib.format.open_memmap(name, mode="w+", dtype=np.float32, shape=shape)
        end = self._filled + len(columns)
        if end > self._count:
            raise ValueError(f"A set of {self._count} images was announced, and {end} were described")
        self._rows[self._filled : end] = columns
        self._filled = end

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Keeps a whole set, and removes what an error left."""
        staging, rows = self._staging, self._rows
        self._rows = None
        try:
            if kind is not None:
                return
            if staging is None or rows is None or self._filled != self._count:
                raise ValueError(f"A set of {self._count} images was announced, and {self._filled} were described")
            rows.flush()
            staging.replace(self._store.folder / f"{_short(self._key)}.{self._width}.npy")
        finally:
            if staging is not None:
                staging.unlink(missing_ok=True)


def _short(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
