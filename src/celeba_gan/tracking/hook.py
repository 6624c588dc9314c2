"""The Kedro hook that tracks runs with MLflow, as configured in `mlflow.yml` and the catalog."""

import atexit
import logging
import os
import shlex
import threading
from pathlib import Path
from typing import Any

from kedro.config import AbstractConfigLoader, MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, SharedMemoryDataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from celeba_gan.foundation.paths import filepaths
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.tracking.config import RunPage, read_settings
from celeba_gan.tracking.fetch import FetchedModel, ReadsModels, fetch_generator
from celeba_gan.tracking.promotion import PromotionError, is_requested
from celeba_gan.tracking.recorder import KedroRun, Recorder

logger = logging.getLogger(__name__)

# atexit's functions run when thread pools, and with them uploads to object stores, already refuse work. This is what
# concurrent.futures itself uses to end its pools; functions registered later run earlier.
_before_threads_end = getattr(threading, "_register_atexit", atexit.register)


class MLflowTracking:
    """Opens an MLflow run with the first node that runs, logs what the catalog marks, and closes it.

    It ends as FINISHED, FAILED or, after Ctrl-C and SIGTERM, KILLED. After kill -9 it stays RUNNING until the training
    is resumed, which continues the same MLflow run. A run that ended keeps its status until its
    training continues.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # Kedro's ThreadRunner calls from several threads
        self._project = self._called_in = Path()
        self._config: AbstractConfigLoader | None = None
        self._paths: dict[str, Path] = {}
        self._recorder: Recorder | None = None
        self._page: RunPage | None = None
        self._decision: str | None = None
        self._process: int | None = None

    def page(self) -> RunPage | None:
        """Where the last run is shown, also after it is closed; None if nothing was tracked."""
        return self._page

    def decision(self) -> str | None:
        """What the last run did with the registered model, in words; None if it measured no registered one."""
        return self._decision

    def fetch_model(self, uri: str, folder: Path) -> FetchedModel:
        """Downloads a generator, and its discriminator, from the store of `mlflow.yml` into a new folder in `folder`.

        The user named it, so this also works where tracking is disabled.

        Raises:
            TrackingError: There is no such model, or the store cannot be used.
        """
        return fetch_generator(uri, read_settings(self._read("mlflow")), self._project, folder)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keeps the config loader; `mlflow.yml` is read when a pipeline runs, not by every command."""
        self._project = Path(context.project_path)
        self._called_in = Path.cwd()
        self._config = context.config_loader

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, conf_catalog: dict[str, Any]) -> None:
        """Records the paths of the entries, and passes the store to those that read models of MLflow."""
        self._paths = filepaths(conf_catalog)
        for name in ("evaluated_model", "compared_model", "experiments"):
            dataset = catalog.get(name)
            if isinstance(dataset, ReadsModels):
                dataset.store = self

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Reads `mlflow.yml` and the catalog's marks; closes what an interrupted run of this process left open.

        A pipeline without outputs, such as the plan, is not tracked.

        Raises:
            TrackingError: `mlflow.yml` or a mark is wrong, or nothing is tracked and a model is to be promoted.
        """
        self._close("KILLED")
        self._page = self._decision = None
        if not pipeline.all_outputs():
            return
        settings = read_settings(self._read("mlflow"))
        promotes = is_requested(pipeline, catalog)
        if settings.disable:
            if promotes:
                raise PromotionError(
                    "evaluate.promote registers the model in MLflow, and mlflow.yml has disable: true; "
                    "remove one of the two"
                )
            return
        if isinstance(catalog, SharedMemoryDataCatalog):
            if promotes:
                raise PromotionError("evaluate.promote does not work under ParallelRunner, which MLflow cannot track")
            logger.warning("MLflow tracks nothing under ParallelRunner, whose nodes run in other processes")
            return
        names = {name: str(value) for name, value in self._read("globals").items() if name in ("dataset", "experiment")}
        names |= {name: str(value) for name, value in (run_params.get("runtime_params") or {}).items() if name in names}
        self._recorder = Recorder(settings, KedroRun(self._project, names, run_params, pipeline, catalog, self._paths))
        self._close_on_exit()

    @hook_impl
    def before_dataset_loaded(self) -> None:
        """Opens the MLflow run before the first node's first input is loaded, which may take long."""
        self._open()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Opens the MLflow run, and logs the models that the node reads."""
        self._open()
        with self._lock:
            if self._recorder is not None:
                self._recorder.starts(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Logs the dataset as its catalog entry requests."""
        with self._lock:
            if self._recorder is not None:
                self._recorder.saved(dataset_name, data)
                self._decision = self._recorder.decision

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Closes the run as finished."""
        self._close("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Closes the run as failed. Kedro does not call it for Ctrl-C and SIGTERM."""
        self._close("FAILED")

    def _read(self, pattern: str) -> dict[str, Any]:
        try:
            return {} if self._config is None else dict(self._config[pattern])
        except MissingConfigException:
            return {}

    def _open(self) -> None:
        with self._lock:
            if self._recorder is not None and self._recorder.open():
                self._page = self._recorder.page(self._command())

    def _command(self) -> str:
        """The command that opens the store of this run: `make mlflow`, with what it has to be passed."""
        if not (self._project / "Makefile").is_file():  # the package runs in any folder
            store = read_settings(self._read("mlflow")).store_uri(self._project)
            secret = mask_secrets(store) != store
            return f"mlflow ui --backend-store-uri {'the tracking_uri of this run' if secret else shlex.quote(store)}"
        command = "make mlflow"
        if self._called_in != self._project and self._called_in.is_relative_to(self._project):
            command = f"make -C {os.path.relpath(self._project, self._called_in)} mlflow"
        if uri := os.environ.get("MLFLOW_TRACKING_URI"):
            return _with_store(command, uri, "the same MLFLOW_TRACKING_URI")
        loader: Any = self._config
        if (conf := Path(loader.conf_source)) != self._project / "conf":
            uri = read_settings(self._read("mlflow")).store_uri(self._project)
            return _with_store(command, uri, "MLFLOW_TRACKING_URI set to this run's tracking_uri")
        if loader.env is None or not any(
            file for one in (loader.env, "local") for file in (conf / one).glob("mlflow*")
        ):
            return command
        return f"KEDRO_ENV={loader.env} {command}"

    def _close(self, status: str) -> None:
        with self._lock:
            recorder, self._recorder = self._recorder, None
            if recorder is not None:
                recorder.close(status)

    def _close_on_exit(self) -> None:
        """Closes the run when the process exits; the hook `Signals` lets it exit at SIGTERM and others."""
        if self._process != os.getpid():
            self._process = os.getpid()
            _before_threads_end(self._close_at_exit)

    def _close_at_exit(self) -> None:
        if self._process != os.getpid():  # forked workers call this too
            return
        try:
            self._close("KILLED")
        except KeyboardInterrupt:
            logger.warning(
                "Interrupted while the model was logged in MLflow; it is logged when the same command runs again"
            )


def _with_store(command: str, uri: str, else_with: str) -> str:
    """The command with the store it opens; in words where the store's URI has a password, which is not for logs."""
    secret = mask_secrets(uri) != uri
    return f"{command} with {else_with}" if secret else f"MLFLOW_TRACKING_URI={shlex.quote(uri)} {command}"
