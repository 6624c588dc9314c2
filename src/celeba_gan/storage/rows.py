"""Rows of equal length in array files that lie elsewhere: packed images, read in any order."""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import numpy as np
from numpy.typing import NDArray

from celeba_gan.foundation.wording import in_bytes
from celeba_gan.storage.array_files import ChangedError, RowsFile, has_rows
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.errors import StorageError
from celeba_gan.storage.places import Place
from celeba_gan.storage.shard_cache import BusyError, ShardCache

Rows = NDArray[np.uint8]

_PART_BYTES: Final = 8 * 2**20  # of a request
_PARTS: Final = 4  # requests beside each other for a whole file
_GAP_BYTES: Final = 16 * 2**10  # are read in vain sooner than that two requests are made
_MANY: Final = 16  # a request for this part of a file's rows, or more, gets the whole file
_READERS: Final = 2  # threads that read ahead, a batch each, with all its requests beside each other
_PAUSE: Final = 0.1  # seconds between two looks at what another process is fetching

logger = logging.getLogger(__name__)


class RemoteRows:
    """Rows of equal length in the array files of a folder that lies elsewhere, numbered through all files.

    A row is read by its place in its file, the rows of a request beside each other. Meanwhile a thread goes once
    through all files whole: it verifies each by its checksum and, as long as the cache has room, keeps a copy, from
    which its rows are then read as from any file on the disk. It also notes a checksum of every row, with which rows
    that are read by themselves are compared, those before it as well. So nothing is used for long that has changed.

    Several threads may use it. The thread starts with the first rows that are read.
    """

    def __init__(
        self, place: Place, files: Sequence[RowsFile], row_bytes: int, name: str, use: StorageSettings
    ) -> None:
        """Stores what is where; nothing is read.

        Args:
            place: The folder.
            files: In their order.
            row_bytes: The length of a row.
            name: Of the content, for the cache: equal names mean equal files.
            use: The cache, and how much is read ahead.
        """
        self.place, self.files, self.row_bytes, self.use = place, list(files), row_bytes, use
        self.starts = np.array([0, *accumulate(file.rows for file in files)], np.int64)
        self.cache = ShardCache(Path(use.cache), name[:32], use.cache_bytes)
        self._sizes: dict[str, int] | None = None
        self._maps: dict[int, Rows] = {}
        self._sums: dict[int, NDArray[np.uint32]] = {}
        self._unverified: dict[int, dict[int, int]] = {}  # by file: {row: checksum}
        self._ahead: OrderedDict[int, Future[bytes]] = OrderedDict()  # by row
        self._ahead_most = 0
        self._queue: SimpleQueue[dict[int, Future[bytes]]] = SimpleQueue()
        self._error: Exception | None = None
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._whole_locks = [threading.Lock() for _ in files]

    @property
    def total_bytes(self) -> int:
        """The bytes of all rows."""
        return int(self.starts[-1]) * self.row_bytes

    def check(self) -> None:
        """Compares the sizes of all files with their records; reads none.

        Raises:
            ChangedError: One is missing, or has another size.
        """
        sizes = self.place.listing()
        for file in self.files:
            if file.name not in sizes:
                raise ChangedError(f"{self.place / file.name} does not exist")
            if not has_rows(sizes[file.name], file.rows * self.row_bytes):
                raise ChangedError(
                    f"{self.place / file.name} has {sizes[file.name]:,} bytes, which are not {file.rows:,} rows of "
                    f"{self.row_bytes:,}"
                )
        self._sizes = sizes

    def gather(self, ascending: NDArray[np.int64]) -> Rows:
        """Rows uint8 (n, row_bytes) by ascending numbers; repeats are allowed. Raises what `gather_into` raises."""
        found = np.empty((len(ascending), self.row_bytes), np.uint8)
        self.gather_into(found, np.arange(len(ascending)), ascending)
        return found

    def gather_into(self, out: Rows, order: NDArray[np.intp], ascending: NDArray[np.int64]) -> None:
        """Copies rows by ascending numbers to the places `order` (n,) of `out`, uint8 (n, row_bytes).

        Raises:
            ChangedError: A file has changed, perhaps of rows that were read before.
            StorageError: The connection broke, and stayed broken.
        """
        self._start()
        borders = np.searchsorted(ascending, self.starts).tolist()
        single: list[int] = []  # places in `ascending`
        for file, (first, last) in enumerate(pairwise(borders)):
            if first == last:
                continue
            if file not in self._maps and (last - first) * _MANY >= self.files[file].rows:
                self._obtain(file, wait=True)
            rows = self._maps.get(file)
            if rows is None:
                single.extend(range(first, last))
            else:
                out[order[first:last]] = rows[ascending[first:last] - self.starts[file]]
        if single:
            numbers = ascending[single].tolist()
            data = self._singly(list(dict.fromkeys(numbers)))
            for place, number in zip(order[single].tolist(), numbers, strict=True):
                out[place] = np.frombuffer(data[number], np.uint8)
        if self._error is not None:
            raise self._error

    def expect(self, announced: Sequence[int] | NDArray[np.int64]) -> None:
        """Begins to fetch rows that will be gathered soon; those that are local or on their way are ignored."""
        self._start()
        if len(self._maps) == len(self.files):
            return
        numbers: list[int] = np.asarray(announced, np.int64).tolist()
        files = np.searchsorted(self.starts, numbers, "right") - 1
        with self._lock:
            self._ahead_most = max(self._ahead_most, 2 * len(numbers))
            new: dict[int, Future[bytes]] = {
                number: Future()
                for number, file in zip(numbers, files.tolist(), strict=True)
                if file not in self._maps and number not in self._ahead
            }
            self._ahead.update(new)
            while len(self._ahead) > self._ahead_most:
                self._ahead.popitem(last=False)[1].cancel()
        if new:
            self._queue.put(new)

    def verify(self) -> None:
        """Reads every file that is not in the cache, and compares its checksum with its record.

        Raises:
            ChangedError: Naming the file that has changed.
        """
        self.check()
        for file in range(len(self.files)):
            self._obtain(file, wait=True)

    def close(self) -> None:
        """Stops the threads, and lets go of the cache."""
        self._error = self._error or StorageError(f"{self.place} was closed")
        for _ in self._threads:
            self._queue.put({})
        for thread in self._threads:
            thread.join()
        self.cache.close()

    # --- rows by themselves ---

    def _singly(self, numbers: list[int]) -> dict[int, bytes]:
        """Rows by number: those read ahead, and the others now."""
        with self._lock:
            coming = {number: self._ahead.pop(number) for number in numbers if number in self._ahead}
        found = self._fetch([number for number in numbers if number not in coming])
        for number, future in coming.items():
            found[number] = future.result()
        return found

    def _fetch(self, numbers: list[int]) -> dict[int, bytes]:
        """Rows by themselves, verified as far as is known; neighbours with one request."""
        from fsspec.utils import merge_offset_ranges  # type: ignore[import-untyped]

        if not numbers:
            return {}
        numbers = sorted(numbers)
        files = (np.searchsorted(self.starts, numbers, "right") - 1).tolist()
        spans = [
            (self.files[file].name, *self._span(file, number)) for file, number in zip(files, numbers, strict=True)
        ]
        merged = list(
            zip(
                *merge_offset_ranges(*map(list, zip(*spans, strict=True)), _GAP_BYTES, _PART_BYTES, sort=False),
                strict=True,
            )
        )
        blocks = self._read(merged)
        found, block = {}, 0
        for number, file, (name, start, stop) in zip(numbers, files, spans, strict=True):
            while merged[block][0] != name or merged[block][2] < stop:
                block += 1
            begin = start - merged[block][1]
            found[number] = blocks[block][begin : begin + self.row_bytes]
            self._compare(file, number, found[number])
        return found

    def _read(self, ranges: Sequence[tuple[str, int, int]]) -> list[bytes]:
        try:
            return self.place.read_ranges(ranges)
        except FileNotFoundError as error:
            raise ChangedError(str(error)) from None

    def _span(self, file: int, number: int) -> tuple[int, int]:
        start = self._header(file) + (number - int(self.starts[file])) * self.row_bytes
        return start, start + self.row_bytes

    def _header(self, file: int) -> int:
        """The bytes before the rows."""
        if self._sizes is None:
            self.check()
        assert self._sizes is not None
        return self._sizes[self.files[file].name] - self.files[file].rows * self.row_bytes

    def _compare(self, file: int, number: int, row: bytes) -> None:
        """Compares a row with the file it is of, or notes it until that is known."""
        place, value = number - int(self.starts[file]), zlib.crc32(row)
        with self._lock:
            sums = self._sums.get(file)
            if sums is None and self._error is None:
                self._unverified.setdefault(file, {})[place] = value
        if sums is not None and int(sums[place]) != value:
            raise self._changed(file)

    def _changed(self, file: int) -> ChangedError:
        return ChangedError(f"{self.place / self.files[file].name} has changed since it was packed")

    # --- whole files ---

    def _obtain(self, file: int, *, wait: bool) -> None:
        """Makes a file local, or where there is no room at least verifies it; once.

        Raises:
            ChangedError: Its checksum differs.
            BusyError: Another process is storing it, and `wait` is false.
        """
        with self._whole_locks[file]:
            while file not in self._maps and file not in self._sums:
                try:
                    self._obtain_now(file)
                except BusyError:
                    if not wait:
                        raise
                    time.sleep(_PAUSE)

    def _obtain_now(self, file: int) -> None:
        record, (name, size) = self.files[file], self._copy_of(file)
        stored = self.cache.find(name, size)
        if stored is not None and not self._is_whole(file, stored):
            stored.unlink(missing_ok=True)
            stored = None
        if stored is None:
            with self.cache.store(name, size) as partial:
                if partial is not None:
                    self._settle(file, self._pass_through(file, partial))
            stored = self.cache.find(name, size) if partial is not None else None
        if stored is not None:
            shape = (record.rows, self.row_bytes)
            rows: Rows = np.memmap(stored, np.uint8, "r", self._header(file), shape).view(np.ndarray)
            with self._lock:
                self._maps[file] = rows
            return
        name, size = f"{record.sha256}.sums", 4 * record.rows + 4  # the last one is of the others
        stored = self.cache.find(name, size)
        sums = None if stored is None else np.fromfile(stored, np.uint32)
        if sums is None or zlib.crc32(sums[:-1].tobytes()) != int(sums[-1]):
            if stored is not None:
                stored.unlink(missing_ok=True)
            with self.cache.store(name, size) as partial:
                sums = self._pass_through(file, None)
                sums = np.append(sums, np.uint32(zlib.crc32(sums.tobytes())))
                if partial is not None:
                    partial.write_bytes(sums.tobytes())
        self._settle(file, sums[:-1])

    def _is_whole(self, file: int, stored: Path) -> bool:
        """Whether a copy of an earlier run has the rows that were packed: a disk may have flipped a bit since."""
        digest = sha256()
        with stored.open("rb") as content:
            content.seek(self._header(file))
            while part := content.read(_PART_BYTES):
                digest.update(part)
        return digest.hexdigest() == self.files[file].sha256

    def _copy_of(self, file: int) -> tuple[str, int]:
        """Name and size of the copy of a whole file."""
        record = self.files[file]
        return f"{record.sha256}.npy", self._header(file) + record.rows * self.row_bytes

    def _pass_through(self, file: int, copy: Path | None) -> NDArray[np.uint32]:
        """Reads a whole file into a copy, if there is one; the checksums of its rows.

        Raises:
            ChangedError: The file has another checksum than its record.
        """
        record, header = self.files[file], self._header(file)
        rows = max(1, _PART_BYTES // self.row_bytes)
        stops = [
            header,
            *(header + min(row + rows, record.rows) * self.row_bytes for row in range(0, record.rows, rows)),
        ]
        spans = [(record.name, start, stop) for start, stop in pairwise([0, *stops])]
        digest, sums = sha256(), np.empty(record.rows, np.uint32)
        row = 0
        with (copy or Path(os.devnull)).open("rb+") as target:
            for first in range(0, len(spans), _PARTS):
                for number, part in enumerate(self._read(spans[first : first + _PARTS]), first):
                    target.write(part)
                    if number == 0:
                        continue  # the header
                    digest.update(part)
                    view = memoryview(part)
                    for begin in range(0, len(part), self.row_bytes):
                        sums[row] = zlib.crc32(view[begin : begin + self.row_bytes])
                        row += 1
        if digest.hexdigest() != record.sha256:
            raise self._changed(file)
        return sums

    def _settle(self, file: int, sums: NDArray[np.uint32]) -> None:
        """Notes the checksums of a file's rows, and compares those of its rows that were read before."""
        with self._lock:
            self._sums[file] = sums
            read = self._unverified.pop(file, {})
        if any(int(sums[place]) != value for place, value in read.items()):
            raise self._changed(file)

    # --- threads; daemons, since a program ends without waiting for what is read ahead ---

    def _start(self) -> None:
        with self._lock:
            if self._threads:
                return
            for work in (self._pass_through_all, *[self._read_ahead] * _READERS):
                self._threads.append(threading.Thread(target=work, name=f"storage {self.place}", daemon=True))
        if self._sizes is None:
            self.check()
        self._announce()
        for thread in self._threads:
            thread.start()

    def _announce(self) -> None:
        total, most = self.total_bytes, self.cache.limit
        if all(self.cache.find(*self._copy_of(file)) for file in range(len(self.files))):
            return
        if total <= most:
            logger.info(
                "Images are read from %s, and copied to %s meanwhile: %s",
                self.place,
                self.cache.folder,
                in_bytes(total),
            )
            return
        logger.warning(
            "The cache of %s (storage.cache_gb) is smaller than the %s of images in %s: about %.0f %% of them are "
            "fetched one by one in every epoch, a request for each",
            in_bytes(most), in_bytes(total), self.place, 100 * (1 - most / total),
        )  # fmt: skip

    def _pass_through_all(self) -> None:
        left = deque(range(len(self.files)))
        waiting = 0
        while left and self._error is None:
            file = left.popleft()
            try:
                self._obtain(file, wait=False)
                waiting = 0
            except BusyError:
                left.append(file)
                waiting += 1
                if waiting >= len(left):  # all that is left is on its way in other processes
                    time.sleep(_PAUSE)
            except StorageError as error:  # what is local is enough perhaps; else `gather` raises it
                logger.warning("%s", error)
                return
            except Exception as error:
                self._error = error  # raised by the next `gather`

    def _read_ahead(self) -> None:
        while wanted := self._queue.get():
            running = {number: future for number, future in wanted.items() if future.set_running_or_notify_cancel()}
            try:
                if self._error is not None:
                    raise self._error
                found = self._fetch(list(running))
            except Exception as error:
                for future in running.values():
                    future.set_exception(error)
            else:
                for number, future in running.items():
                    future.set_result(found[number])
