"""The MLflow store and one run in it. Importing this module imports MLflow."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric, Param, Run, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from celeba_gan.tracking.config import TrackingError, TrackingSettings
from celeba_gan.tracking.flat import as_text

logger = logging.getLogger(__name__)

TRAINING_ID = "celeba_gan.training_id"
RESUMED = "celeba_gan.resumed"
# MLflow's own patience with a server that does not answer is minutes per call.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_METRICS_PER_BATCH = 1000  # MLflow's limits
_PARAMS_PER_BATCH = 100
_PAUSE = 10  # a store that fails is left alone for this many times as long as the failure took


@dataclass(frozen=True)
class Store:
    """An experiment in an MLflow store."""

    client: Any
    uri: str
    experiment_id: str

    @classmethod
    def connect(cls, settings: TrackingSettings, project: Path) -> Self:
        """Finds the store and the experiment, which is made when missing."""
        uri = settings.store_uri(project)
        if uri.startswith("http"):
            for name, value in _PATIENCE.items():
                os.environ.setdefault(name, value)
        for chatty in ("mlflow.store.db.utils", "mlflow.system_metrics", "mlflow.pyfunc"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(settings.experiment)
        if experiment is None:
            return cls(client, uri, client.create_experiment(settings.experiment, settings.artifact_uri(project)))
        if experiment.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the experiment {settings.experiment!r} is deleted there; bring it back with `mlflow experiments "
                f"restore --experiment-id {experiment.experiment_id}`, or name another one in mlflow.yml"
            )
        return cls(client, uri, experiment.experiment_id)

    def find_training(self, training_id: str) -> Run | None:
        """The run that trains, or trained, under this id."""
        found = self.client.search_runs([self.experiment_id], f"tags.`{TRAINING_ID}` = '{training_id}'", max_results=1)
        return found[0] if found else None

    def find_model(self, training_id: str, images: int) -> str | None:
        """Id of the logged model of this training at this image count."""
        query = f"tags.`{TRAINING_ID}` = '{training_id}' AND params.images = '{images}'"
        found = self.client.search_logged_models([self.experiment_id], query)
        return next((model.model_id for model in found if model.status == LoggedModelStatus.READY), None)


class TrackedRun:
    """One MLflow run, written to by its id.

    A store that fails while nodes work must not cost them their time: `attempt` warns once, counts what is lost, and
    leaves the store alone for a while, so that waiting for it takes a tenth of the time at most.
    """

    def __init__(self, store: Store, run: Run, *, resumed: bool = False) -> None:
        self.store = store
        self.id: str = run.info.run_id
        self.name: str = run.info.run_name
        self.lost = 0
        self._before = run.data
        self._client = store.client
        self._paused_until = 0.0
        # Its own way of recording is MLflow's fluent API; this is the same thread with explicit ids.
        self._monitor = SystemMetricsMonitor(self.id, resume_logging=resumed, tracking_uri=store.uri)
        self._monitor.start()

    @classmethod
    def start(cls, store: Store, name: str, tags: Mapping[str, str]) -> Self:
        """Makes a run."""
        tags = {key: as_text(value) for key, value in tags.items()}
        return cls(store, store.client.create_run(store.experiment_id, tags=tags, run_name=name))

    @classmethod
    def carry_on(cls, store: Store, run: Run) -> Self:
        """Continues a run."""
        store.client.update_run(run.info.run_id, status="RUNNING")
        carried_on = cls(store, run, resumed=True)
        carried_on.set_tags({RESUMED: int(run.data.tags.get(RESUMED, 0)) + 1})
        return carried_on

    def attempt(self, what: str, action: Callable[[], Any], *, only_chance: bool = False) -> bool:
        """Does something with the store, and says whether it worked; a failure is told and counted, not raised.

        Args:
            what: Named in the warning.
            action: What to do.
            only_chance: Try even if the store failed a moment ago.
        """
        began = time.monotonic()
        if began < self._paused_until and not only_chance:
            self.lost += 1
            return False
        try:
            action()
            return True
        except Exception as error:  # whatever a store, a network or an artifact service comes up with
            ended = time.monotonic()
            self._paused_until = ended + _PAUSE * (ended - began)
            self.lost += 1
            if self.lost == 1:
                logger.warning(
                    "MLflow (%s) did not take %s: %s. The run goes on and keeps trying", self.store.uri, what, error
                )
            return False

    def log_metrics(self, points: Iterable[tuple[str, float, int]], model_id: str | None = None) -> None:
        """Logs points (name, value, step), also as those of a logged model."""
        now = int(time.time() * 1000)
        metrics = (
            Metric(name, float(value), now, step, model_id=model_id, run_id=self.id) for name, value, step in points
        )
        for batch in _batches(metrics, _METRICS_PER_BATCH):
            self._client.log_batch(self.id, metrics=batch)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters. MLflow's cannot change: what a resumed run changed becomes a tag `resumed.<name>`."""
        before = self._before.params
        new = [Param(name, as_text(value)) for name, value in params.items() if name not in before]
        for batch in _batches(new, _PARAMS_PER_BATCH):
            self._client.log_batch(self.id, params=batch)
        changed = {f"resumed.{name}": as_text(value) for name, value in params.items() if name in before}
        self.set_tags(
            {
                tag: value
                for tag, value in changed.items()
                if tag in self._before.tags or value != before[tag.removeprefix("resumed.")]
            }
        )

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Sets tags."""
        for batch in _batches((RunTag(name, as_text(value)) for name, value in tags.items()), _PARAMS_PER_BATCH):
            self._client.log_batch(self.id, tags=batch)

    def log_image(self, pixels: Any, key: str, images: int) -> None:
        """Adds a picture, uint8 (height, width, 3), to a series the UI shows with a slider."""
        self._client.log_image(self.id, pixels, key=key, step=images)

    def log_artifact(self, path: Path, folder: str | None) -> None:
        """Uploads a file, or a folder's content."""
        upload = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        upload(self.id, str(path), folder)

    def link_input(self, model_id: str) -> None:
        """Says that the run works with this logged model."""
        self._client.log_inputs(self.id, models=[LoggedModelInput(model_id)])

    def link_output(self, model_id: str, images: int) -> None:
        """Says that the run made this logged model."""
        self._client.log_outputs(self.id, [LoggedModelOutput(model_id, images)])

    def close(self, status: str) -> None:
        """Ends the run, and says what was lost."""
        self._monitor.finish()
        try:
            self._client.set_terminated(self.id, status)
        except Exception as error:
            logger.warning("MLflow (%s) could not be told that the run is %s: %s", self.store.uri, status, error)
        if self.lost:
            logger.warning(
                "Lost for MLflow: %d pieces of this run (batches of metrics, pictures, files, models). What lies in "
                "data/ is complete; the model comes when the same command runs again",
                self.lost,
            )


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch
