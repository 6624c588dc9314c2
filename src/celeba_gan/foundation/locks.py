"""Lock files: of several processes one writes at a time. Where the file system has no locks, that is said."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from celeba_gan.foundation.paths import shown

logger = logging.getLogger(__name__)

_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # as on some network file systems
_NO_RIGHTS: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class LockError(RuntimeError):
    """A folder cannot be locked, or another run is writing there; the message says why and what to do."""


def acquire(file: Path, timeout: float = -1) -> FileLock | None:
    """Locks a file, which is made where it is missing. The system releases the lock with the process, however it ends.

    Returns None, and logs a warning, where the file system has no locks.

    Args:
        file: In the folder that is written to, or beside it.
        timeout: Seconds to wait for another process; -1: without end.

    Raises:
        Timeout: Another process has it still.
        LockError: The file cannot be written.
    """
    lock = FileLock(file, fallback_to_soft=False)  # which would be a file that a killed process leaves behind
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    except Timeout:  # an OSError itself
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise LockError(_why_not_written(error, file)) from error
        logger.warning(
            "The file system of %s has no locks (%s): a second run that writes there at the same time would not be "
            "noticed, and both would overwrite each other's files",
            shown(file.parent),
            error.strerror,
        )
        return None
    return lock


@contextmanager
def locked(file: Path, timeout: float = -1) -> Iterator[None]:
    """Holds the lock of `acquire`."""
    lock = acquire(file, timeout)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _why_not_written(error: OSError, file: Path) -> str:
    """What the system's error means, and what to do."""
    what = f"A run needs the lock file {shown(file)}, which cannot be written: {error.strerror or error}. "
    if error.errno in _NO_RIGHTS:
        return f"{what}Change the owner or the mode of {shown(file.parent)}, or work in a copy of the project"
    if error.errno == errno.ENAMETOOLONG:
        return f"A run needs the lock file {file.name}, and this name is too long here: give a shorter one"
    if error.errno in _FULL:
        return f"{what}Free some space on the disk, then run the same command again"
    return f"{what}Check {shown(file.parent)}: it must be a folder on a disk that can be written"
