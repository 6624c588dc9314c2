"""A bounded folder of copies, shared by the processes of a machine."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from celeba_gan.foundation.locks import LockError, locked

logger = logging.getLogger(__name__)

_PARTIAL: Final = ".partial"
_LOCK, _USE = ".lock", ".use"


class BusyError(RuntimeError):
    """Another process is storing this file right now, or just did."""


class ShardCache:
    """Files of one set of images below a folder that never exceeds its size, unfinished ones included.

    Images are drawn in random order, each once an epoch, and would drive each other out. So what is there stays while
    a living process uses its set, and a file that finds no room is not stored. Of the sets that no process uses, the
    least recently used files are deleted where room is needed.
    """

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        """Stores where; nothing is opened.

        Args:
            folder: For all sets.
            name: Of this set: sets of one name have the same content.
            limit: The bytes of all files in `folder`, at most.
        """
        self.folder, self.limit = Path(folder).absolute(), limit
        self.own = self.folder / name
        self._in_use: int | None = None  # a descriptor whose shared lock marks the set as used

    def find(self, file: str, size: int) -> Path | None:
        """A stored file of that size; None if it is not there. One of another size is damaged, and deleted."""
        path = self.own / file
        if not path.exists() or not self._use():
            return None
        try:
            os.utime(path)
            if path.stat().st_size != size:
                path.unlink()
                return None
        except FileNotFoundError:  # deleted before the set was marked as used
            return None
        except PermissionError:  # of another user
            pass
        return path

    @contextmanager
    def store(self, file: str, size: int) -> Iterator[Path | None]:
        """Yields the path of a new file of `size` zeros to be filled, under a temporary name.

        At the end it gets its name; after an exception it is gone. None if there is no room, on the disk or in the
        limit. A folder that cannot be used is not used from then on, with a warning.

        Raises:
            BusyError: Another process is storing it, or just did.
        """
        partial = self.own / f"{file}{_PARTIAL}"
        descriptor = self._reserve(partial, size) if 0 < size <= self.limit and self._use() else None
        if descriptor is None:
            yield None
            return
        try:
            yield partial
            os.fsync(descriptor)
            partial.replace(self.own / file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Ends the use of the set: other processes may delete it."""
        if self._in_use is not None:
            os.close(self._in_use)
            self._in_use = None

    def _use(self) -> bool:
        """Marks the set as used by this process, which the system undoes with its end; False if that is impossible."""
        if self._in_use is None and self.limit:
            try:
                self.own.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.own / _USE, os.O_RDWR | os.O_CREAT, 0o666)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                self._in_use = descriptor
            except OSError as error:
                self._give_up(error)
        return self._in_use is not None

    def _give_up(self, error: Exception) -> None:
        logger.warning("Nothing more is stored in %s: %s", self.folder, error)
        self.limit = 0

    def _reserve(self, partial: Path, size: int) -> int | None:
        """A descriptor of a file of that size, locked; None if there is no room."""
        try:
            with locked(self.folder / _LOCK):
                with contextlib.ExitStack() as locks:
                    stored = partial.with_suffix("").exists()  # by now
                    if stored or (partial.exists() and not _is_abandoned(partial, locks)):
                        raise BusyError(str(partial))
                if not self._make_room(size):
                    return None
                descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                try:
                    _allocate(descriptor, size)
                except OSError:
                    partial.unlink()
                    os.close(descriptor)
                    raise
                return descriptor
        except (OSError, LockError) as error:  # the disk is full before the limit is reached, or read-only
            self._give_up(error)
            return None

    def _make_room(self, size: int) -> bool:
        """Deletes what no process uses, the least recently used first, until so many bytes are free in the limit.

        Nothing is deleted where that would not be enough.
        """
        with contextlib.ExitStack() as locks:
            used, free = 0, []
            for folder in self.folder.iterdir():
                if not (folder / _USE).is_file():  # nothing of a cache
                    continue
                unused = folder != self.own and _is_unused(folder / _USE, locks)
                for path in folder.iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        status = path.stat()
                        used += status.st_size
                        if path.name != _USE and (unused or _is_abandoned(path, locks)):
                            free.append((path.suffix != _PARTIAL, status.st_mtime_ns, status.st_size, path))
            if used - sum(bytes_ for _, _, bytes_, _ in free) + size > self.limit:
                return False
            for wanted, _, bytes_, path in sorted(free):
                if not wanted or used + size > self.limit:
                    path.unlink(missing_ok=True)
                    used -= bytes_
            return True


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)  # raises where the disk has less room than the limit
    else:
        os.ftruncate(descriptor, size)


def _is_unused(mark: Path, locks: contextlib.ExitStack) -> bool:
    """Whether no process uses a set; none can begin to before `locks` ends."""
    descriptor = os.open(mark, os.O_RDWR)
    locks.callback(os.close, descriptor)
    return _lock_alone(descriptor)


def _is_abandoned(path: Path, locks: contextlib.ExitStack) -> bool:
    """Whether a file was left behind by a process that ended while storing it."""
    if path.suffix != _PARTIAL:
        return False
    descriptor = os.open(path, os.O_RDWR)
    locks.callback(os.close, descriptor)
    return _lock_alone(descriptor)


def _lock_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
