"""Locks the folders a run writes to, marks stale results, and sets old ones aside when a new training starts."""

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from celeba_gan.datasets.catalog import StaleAwareCatalog
from celeba_gan.foundation.locks import LockError, acquire
from celeba_gan.foundation.paths import filepaths, shown
from celeba_gan.gan.runs.run import Run

logger = logging.getLogger(__name__)

RUN: Final = "training_run"
RESUME: Final = "params:train.resume"
# What a run writes over many saves, and how to write it under another name.
_LOCKED: Final = {
    RUN: "experiment",
    "packed_images": "dataset",
    "samples": "experiment",
    "exported_folder": "experiment",
}


class SetAsideError(RuntimeError):
    """Old results cannot be set aside; the message says why and what to do."""


class StaleOutputsError(RuntimeError):
    """Results are older than what they are made from, and this runner would keep them; the message says what to do."""


class RunFolders:
    """Prepares the folders before the first node runs, in this order.

    1. Locks the experiment's and the dataset's folder, where this run writes to them: two runs at once would write over
       each other's files. The system releases a lock with its process, however that ends.
    2. With `--only-missing-outputs`, marks what is older than what it is made from: see `StaleAwareCatalog`.
    3. Renames an experiment's folders before a new training writes into them. A new training starts when `train.resume`
       is false (in every run, also if an environment sets it), or when the snapshot is gone while other files of the
       earlier training are still there: their ticks would mix with the new ones. Nothing is deleted, and the new name
       is an experiment's name again: `--params experiment=demo.2026-11-23T05-10-00` shows it. With
       `--only-missing-outputs`, `train.resume=false` applies to a training that has to run; a complete one is kept.
    """

    def __init__(self) -> None:
        self._experiment = ""
        self._paths: Mapping[str, Path] = {}
        self._locks: list[FileLock] = []

    @hook_impl(trylast=True)  # the guard reports a wrong configuration first
    def after_context_created(self, context: KedroContext) -> None:
        """Records the experiment's name."""
        loader = context.config_loader
        name = (loader.runtime_params or {}).get("experiment", loader["globals"].get("experiment", ""))
        self._experiment = str(name)

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        """Records where the catalog's entries are."""
        self._paths = filepaths(conf_catalog)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Prepares the folders.

        Raises:
            LockError: Another run holds a lock, or there cannot be one.
            StaleOutputsError: The runner cannot make stale results again.
            SetAsideError: The training is not in a folder of the experiment's name.
        """
        self._release()  # an interrupted run of this process, in a notebook
        self._lock(pipeline)
        try:
            only_missing = bool(run_params.get("only_missing_outputs"))
            if only_missing:
                _mark_stale(stale_outputs(pipeline, catalog), catalog)
            node = next((node for node in pipeline.nodes if RUN in node.outputs), None)
            complete = only_missing and node is not None and all(catalog.exists(name) for name in node.outputs)
            if node is not None and RUN in self._paths and not complete:
                self._set_aside(node, pipeline, catalog)
        except BaseException:
            self._release()
            raise

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Releases the locks."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Releases the locks."""
        self._release()

    def _lock(self, pipeline: Pipeline) -> None:
        for name, kind in _LOCKED.items():
            if name not in pipeline.all_outputs() or name not in self._paths:
                continue
            path = self._paths[name]
            folder = path.parent if name == "packed_images" else path
            try:
                lock = acquire(folder.with_name(f".{folder.name}.lock"), timeout=0)
            except Timeout as error:
                self._release()
                raise LockError(
                    f"Another run is writing to {shown(folder)}. Wait until it has ended, or give this one another "
                    f"name: --params {kind}=NAME"
                ) from error
            except LockError:
                self._release()
                raise
            if lock is not None:
                self._locks.append(lock)

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _set_aside(self, node: Node, pipeline: Pipeline, catalog: DataCatalog) -> None:
        resumes = catalog.load(RESUME) if RESUME in catalog else True
        run = Run(self._paths[RUN])
        if resumes and run.has_snapshot():
            return
        old = [path for name in node.outputs if (path := self._paths.get(name)) is not None and _is_there(path)]
        if not old:
            return
        folders = self._folders(node, pipeline)
        if run.folder.name != self._experiment:
            raise SetAsideError(
                f"There are results of an earlier training ({shown(old[0])}), and a new one starts. They can be set "
                f"aside only in a folder of the experiment's name: make the filepath of {RUN} in catalog.yml end with "
                "${globals:experiment}, or move them away yourself"
            )
        why = "its snapshot is gone" if resumes else "train.resume is false"
        logger.info("Starting a new training (%s). Set the earlier results aside: %s", why, _rename(folders, old))

    def _folders(self, node: Node, running: Pipeline) -> list[Path]:
        """The folders named as the experiment that hold outputs of this node or of any node downstream."""
        from kedro.framework.project import pipelines

        every = dict(pipelines).get("__default__", running)  # this run may not replace all old results
        outputs = (every if node in every.nodes else running).from_nodes(node.name).all_outputs()
        paths = [self._paths[name] for name in outputs if name in self._paths]
        named = {folder for path in paths for folder in (path, path.parent) if folder.name == self._experiment}
        return sorted(folder for folder in named if folder.is_dir())


def stale_outputs(pipeline: Pipeline, catalog: DataCatalog) -> set[str]:
    """The outputs of nodes that have to run: one of their outputs is missing, or one of their inputs is stale."""
    stale: set[str] = set()
    for node in pipeline.nodes:  # parents first
        if stale.intersection(node.inputs) or any(_is_missing(catalog, name) for name in node.outputs):
            stale.update(node.outputs)
    return stale


def _mark_stale(names: set[str], catalog: DataCatalog) -> None:
    if isinstance(catalog, StaleAwareCatalog):
        catalog.mark_stale(names)
        return
    kept = sorted(name for name in names if name in catalog and catalog.exists(name))
    if kept:  # ParallelRunner has a catalog of its own
        raise StaleOutputsError(
            f"--only-missing-outputs would keep {', '.join(kept)}, older than what they are made from: ParallelRunner "
            "cannot make them again. Leave out --runner, or --only-missing-outputs"
        )


def _is_missing(catalog: DataCatalog, name: str) -> bool:
    """As Kedro's runner sees it: what is only in memory is never missing, it is made when a child needs it."""
    return name in catalog and not isinstance(catalog.get(name), MemoryDataset) and not catalog.exists(name)


def _is_there(path: Path) -> bool:
    """Whether there is a file, or a folder with anything in it; names that begin with a dot are half written."""
    if path.is_dir():
        return any(not child.name.startswith(".") for child in path.iterdir())
    return path.exists()


def _rename(folders: Iterable[Path], old: Iterable[Path]) -> str:
    """Gives all folders the time of the earlier training's last file as a suffix; returns where they are now."""
    latest = max(path.stat().st_mtime for path in old)
    suffix = time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(latest))
    count, unique = 1, suffix
    while any(_aside(folder, unique).exists() for folder in folders):
        count += 1
        unique = f"{suffix}-{count}"
    return ", ".join(shown(folder.rename(_aside(folder, unique))) for folder in folders)


def _aside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")
