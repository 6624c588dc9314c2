"""Old results make room for a new training, and stay."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from celeba_gan.hooks.artifacts import is_there, path_of, shown

logger = logging.getLogger(__name__)

STATE: Final = "training_state"
RESUME: Final = "params:train.resume"


class SetAsideError(RuntimeError):
    """Old results cannot be set aside; the message says why and what to do."""


class SetAside:
    """Renames an experiment's folders before a training that starts anew writes into them.

    A training starts anew when `train.resume` is false (every run then does, also where an environment says so), or
    when its state is gone while other files of the former training are still there: their ticks would mix with the
    new ones. Nothing is deleted, and the name they get is an experiment's name again: `--params
    experiment=demo.2026-11-23T05-10-00` shows them.

    With --only-missing-outputs, `train.resume=false` concerns a training that has to run; a complete one is left alone.
    That makes this hook one to call after `MissingSpreads`, and before tracking, which reads the state's card.
    """

    def __init__(self) -> None:
        self._experiment = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Notes the experiment's name."""
        loader = context.config_loader
        name = (loader.runtime_params or {}).get("experiment", loader["globals"].get("experiment", ""))
        self._experiment = str(name)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Renames the folders where a training of this run starts anew.

        Raises:
            SetAsideError: The training state does not lie in a folder of the experiment's name.
        """
        node = next((node for node in pipeline.nodes if STATE in node.outputs), None)
        state = path_of(catalog, STATE)
        if node is None or state is None:
            return
        resumes = catalog.load(RESUME) if RESUME in catalog else True
        if resumes and is_there(state):
            return
        if run_params.get("only_missing_outputs") and all(catalog.exists(name) for name in node.outputs):
            return
        old = [path for name in node.outputs if (path := path_of(catalog, name)) is not None and is_there(path)]
        if not old:
            return
        folders = self._folders(node, pipeline, catalog)
        if state.parent not in folders:
            raise SetAsideError(
                f"There are results of an earlier training ({shown(old[0])}), and a new one starts. They can be set "
                f"aside only in a folder of the experiment's name: put the filepath of {STATE} in catalog.yml below "
                "${globals:experiment}, or move them away yourself"
            )
        why = "its training state is gone" if resumes else "train.resume is false"
        logger.info("Training starts anew (%s). Set the earlier results aside: %s", why, _set_aside(folders, old))

    def _folders(self, node: Node, running: Pipeline, catalog: DataCatalog) -> list[Path]:
        """The folders named as the experiment that hold outputs of this node or of any node downstream."""
        from kedro.framework.project import pipelines

        every = dict(pipelines).get("__default__", running)  # also what this run does not make anew is of the old one
        outputs = (every if node in every.nodes else running).from_nodes(node.name).all_outputs()
        parents = {path.parent for name in outputs if (path := path_of(catalog, name)) is not None}
        return sorted(folder for folder in parents if folder.name == self._experiment and folder.is_dir())


def _set_aside(folders: Iterable[Path], old: Iterable[Path]) -> str:
    """Gives all folders the time of the former training's last file as a suffix; returns where they are now."""
    latest = max(file.stat().st_mtime for path in old for file in path.parent.glob(f"{path.name}*"))
    suffix = time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(latest))
    count, unique = 1, suffix
    while any(_aside(folder, unique).exists() for folder in folders):
        count += 1
        unique = f"{suffix}-{count}"
    return ", ".join(shown(folder.rename(_aside(folder, unique))) for folder in folders)


def _aside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")
