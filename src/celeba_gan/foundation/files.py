"""Writing a file complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
