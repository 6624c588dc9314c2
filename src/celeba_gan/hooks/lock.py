"""Two runs at once on one experiment or one dataset would write over each other's files: the second is refused."""

from typing import Any, Final

from filelock import FileLock, Timeout
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from celeba_gan.hooks.artifacts import path_of, shown

# What a run writes over many saves, and how to write it under another name.
_GUARDED: Final = {"training_state": "experiment", "packed_images": "dataset"}


class LockError(RuntimeError):
    """Another run is writing there; the message says what to do."""


class RunLock:
    """Locks the folders of a run's experiment and dataset while it writes to them.

    The system releases a lock with its process, however that ends.
    """

    def __init__(self) -> None:
        self._locks: list[FileLock] = []

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Takes the locks.

        Raises:
            LockError: Another run holds one.
        """
        self._release()  # an interrupted run of this process, in a notebook
        for name, kind in _GUARDED.items():
            path = path_of(catalog, name) if name in pipeline.all_outputs() else None
            if path is None:
                continue
            folder = path.parent
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(f".{folder.name}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                self._release()
                raise LockError(
                    f"Another run is writing to {shown(folder)}. Wait until it has ended, or give this one another "
                    f"name: --params {kind}=NAME"
                ) from error
            self._locks.append(lock)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Releases the locks."""
        self._release()

    @hook_impl
    def on_pipeline_error(self, error: Any) -> None:
        """Releases the locks."""
        self._release()

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()
