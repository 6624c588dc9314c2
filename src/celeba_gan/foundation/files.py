"""Writing a file complete or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it to `path` at the end; after an exception it is removed.

    The name is fixed, so that what a killed process left behind is overwritten by the next save.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.partial")
    try:
        yield staging
        with staging.open("rb+") as file:
            os.fsync(file.fileno())  # before the rename, or a power cut may leave an empty file under the name
        staging.replace(path)
    except BaseException:
        staging.unlink(missing_ok=True)  # on a full disk even a part of a shard is much
        raise


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yields a new temporary folder beside `path`, which takes its place at the end; after an exception it is removed.

    A folder cannot replace another in one step: the former one has another name for an instant, and a process killed
    then leaves it there. `restore_folder` gives it its name back.
    """
    restore_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging, former = path.with_name(f".{path.name}.partial"), _former(path)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
        for file in staging.rglob("*"):
            if file.is_file():
                with file.open("rb+") as opened:
                    os.fsync(opened.fileno())
        if path.exists():
            path.replace(former)
        staging.replace(path)
        shutil.rmtree(former, ignore_errors=True)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        restore_folder(path)
        raise


def restore_folder(path: Path) -> None:
    """Undoes what a process left behind that was killed between the two renames of `staged_folder`."""
    former = _former(path)
    if not former.exists():
        return
    if path.exists():
        shutil.rmtree(former, ignore_errors=True)
    else:
        former.replace(path)


def _former(path: Path) -> Path:
    return path.with_name(f".{path.name}.former")


def unused(path: Path) -> Path:
    """The path, with -2, -3, ... where something of this name exists."""
    others = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return path if not path.exists() else next(other for other in others if not other.exists())


def source_digest(folder: Path) -> str:
    """Sixteen hexadecimal digits of the Python source in a folder and below, whatever its line ends."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]
