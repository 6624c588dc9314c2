"""The MLflow store and one run in it. Importing this module imports MLflow."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from mlflow import entities
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from celeba_gan.foundation.safety.secrets import is_secret, mask_secrets, mask_values
from celeba_gan.foundation.wording import counted
from celeba_gan.tracking.config import TrackingError, TrackingSettings
from celeba_gan.tracking.database import prepare
from celeba_gan.tracking.description import DESCRIPTION, is_generated, with_results

logger = logging.getLogger(__name__)

TRAINING_ID = "celeba_gan.training_id"
RESUMED = "celeba_gan.resumed"
ROWS_UNTIL = "celeba_gan.metric_rows_until"  # images of the last tick whose metric rows are logged
LIMIT = 6000  # MLflow's limits: characters of a parameter's value,
DIGEST_LIMIT = 36  # characters of a dataset's digest,
_METRICS_PER_BATCH = 1000  # and items of one request
_PARAMS_PER_BATCH = 100
_PAUSE = 10  # after a failure, the store is not used for this many times as long as the failure took


def open_client(settings: TrackingSettings, project: Path) -> Any:
    """MLflow's client of a store, with fewer log messages and shorter timeouts than MLflow's own.

    Raises:
        TrackingError: An SQLite store cannot be used; see `prepare`.
    """
    uri = settings.store_uri(project)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # dozens of lines for each model
    if uri.startswith("http"):  # MLflow would wait minutes per call for a server that does not answer
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for chatty in ("mlflow.system_metrics", "mlflow.pyfunc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback of each error that it raises
    logging.getLogger("mlflow.system_metrics.system_metrics_monitor").addFilter(_in_one_line)
    prepare(settings, project)
    return MlflowClient(uri)


def _in_one_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = reason_of(record.getMessage()), ()
    return True


def reason_of(error: object) -> str:
    """What went wrong, on one line: without the query that SQLAlchemy adds, and without passwords."""
    return mask_secrets(" ".join(str(error).partition("\n[SQL")[0].split()))


def as_text(value: Any, name: str = "") -> str:
    """A value as text that MLflow accepts, without secrets; its end states how many characters there were if cut.

    `name` is that of its parameter or tag, which may say that it is a secret.
    """
    text = "***" if is_secret(name) and value not in (None, "") else mask_secrets(str(value))
    if len(text) <= LIMIT:
        return text
    end = f"... ({len(text)} characters)"
    return text[: LIMIT - len(end)] + end


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
        client = open_client(settings, project)
        experiment = client.get_experiment_by_name(settings.experiment)
        if experiment is None:
            try:
                return cls(client, uri, client.create_experiment(settings.experiment, settings.artifact_uri(project)))
            except MlflowException as error:  # another run has just made it
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise
            experiment = client.get_experiment_by_name(settings.experiment)
        if experiment.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the experiment {settings.experiment!r} is deleted there; bring it back with `mlflow experiments "
                f"restore --experiment-id {experiment.experiment_id}`, or name another one in mlflow.yml"
            )
        return cls(client, uri, experiment.experiment_id)

    def find_training(self, training_id: str) -> entities.Run | None:
        """The run that trains, or trained, under this id."""
        found = self.client.search_runs([self.experiment_id], f"tags.`{TRAINING_ID}` = '{training_id}'", max_results=1)
        return found[0] if found else None

    def find_model(self, training_id: str, images: int) -> str | None:
        """Id of the logged model of this training at this image count."""
        query = f"tags.`{TRAINING_ID}` = '{training_id}' AND params.images = '{images}'"
        found = self.client.search_logged_models([self.experiment_id], query)
        return next((model.model_id for model in found if model.status == entities.LoggedModelStatus.READY), None)


@dataclass(frozen=True)
class TrackedImages:
    """Packed images as a dataset of MLflow."""

    name: str
    digest: str  # at most DIGEST_LIMIT characters of it
    source: str  # their folder


class TrackedRun:
    """One MLflow run, written to by its id.

    A store that fails while nodes work must not cost them their time: `attempt` warns once, counts what is lost, and
    does not use the store for a while, so that waiting for it takes a tenth of the time at most. What ticks have left
    on disk is not lost: it is logged with the next tick, or by the next run.
    """

    def __init__(self, store: Store, run: entities.Run) -> None:
        self.store = store
        self.id: str = run.info.run_id
        self.name: str = run.info.run_name
        self.status: str = run.info.status  # when this object was made
        self.rows_until = int(run.data.tags.get(ROWS_UNTIL, -1))  # -1: no rows are logged
        self.lost = 0
        self.behind: set[str] = set()  # of what is on disk, and not logged yet
        self._failed = self._given_up = False
        self._before = run.data
        self._client = store.client
        self._paused_until = 0.0
        self._monitor: SystemMetricsMonitor | None = None
        self._pictures: set[str] | None = None  # names of those that the run has already, once read

    @classmethod
    def start(cls, store: Store, name: str, tags: Mapping[str, str]) -> Self:
        """Creates a run."""
        tags = {key: as_text(value, key) for key, value in tags.items()}
        started = cls(store, store.client.create_run(store.experiment_id, tags=tags, run_name=mask_secrets(name)))
        started._start_monitor(resumed=False)
        started._pictures = set()
        return started

    def resume(self, tags: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """Sets an ended run to running again, with these tags, and records which parameters changed.

        A parameter of MLflow cannot change, so a tag `resumed.<name>` holds the new value.
        """
        before = self._before
        changed = {
            f"resumed.{name}": value
            for name, value in params.items()
            if name in before.params
            and (f"resumed.{name}" in before.tags or as_text(value, name) != before.params[name])
        }
        if not is_generated(before.tags.get(DESCRIPTION, "")):
            tags = {name: value for name, value in tags.items() if name != DESCRIPTION}
        self._client.update_run(self.id, status="RUNNING")
        self.set_tags({**tags, **changed, RESUMED: int(before.tags.get(RESUMED, 0)) + 1})
        self._start_monitor(resumed=True)

    def attempt(
        self, what: str, action: Callable[[], Any], *, only_chance: bool = False, on_disk: bool = False
    ) -> bool:
        """Calls the action, and returns whether it worked; the first failure is logged as that of `what`.

        Args:
            what: For the log.
            action: Uses the store.
            only_chance: It is called even if the store failed a moment ago, unless another only chance was in vain.
            on_disk: It logs what is on disk, and is called again later; otherwise a failure is counted as a loss.
        """
        began = time.monotonic()
        if began < self._paused_until and (self._given_up or not only_chance):
            self._miss(what, on_disk)
            return False
        try:
            action()
        except Exception as error:  # whatever a store, a network or an artifact service raises
            ended = time.monotonic()
            self._paused_until = ended + _PAUSE * (ended - began)
            self._given_up = self._given_up or only_chance
            self._miss(what, on_disk)
            if not self._failed:
                self._failed = True
                ahead = "" if only_chance else ". The run continues and keeps trying"
                uri = mask_secrets(self.store.uri)
                logger.warning("MLflow (%s) failed to log %s: %s%s", uri, what, reason_of(error), ahead)
            return False
        self.behind.discard(what)
        return True

    def _miss(self, what: str, on_disk: bool) -> None:
        if on_disk:
            self.behind.add(what)
        else:
            self.lost += 1

    def log_metrics(
        self, points: Iterable[tuple[str, float, int]], model_id: str | None = None, images: TrackedImages | None = None
    ) -> None:
        """Logs points (name, value, step), also as those of a logged model and of images that the run is linked to."""
        now = int(time.time() * 1000)
        of = {"model_id": model_id, "run_id": self.id}
        if images is not None:
            of |= {"dataset_name": images.name, "dataset_digest": images.digest}
        metrics = (entities.Metric(name, float(value), now, step, **of) for name, value, step in points)
        for batch in _batches(metrics, _METRICS_PER_BATCH):
            self._client.log_batch(self.id, metrics=batch)

    def log_rows(self, points: Iterable[tuple[str, float, int]], until: int) -> None:
        """Logs points (name, value, step) of all ticks up to that at `until` images, and records that they are."""
        self.log_metrics(points)
        self.set_tags({ROWS_UNTIL: until})
        self.rows_until = until

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Logs the parameters that the run does not have yet: those of MLflow cannot change."""
        new = [
            entities.Param(key, as_text(value, key)) for key, value in params.items() if key not in self._before.params
        ]
        for batch in _batches(new, _PARAMS_PER_BATCH):
            self._client.log_batch(self.id, params=batch)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Sets tags."""
        texts = (entities.RunTag(name, as_text(value, name)) for name, value in tags.items())
        for batch in _batches(texts, _PARAMS_PER_BATCH):
            self._client.log_batch(self.id, tags=batch)

    def has_image(self, key: str, images: int) -> bool:
        """Whether a picture is in a series already."""
        if self._pictures is None:
            self._pictures = {Path(file.path).name for file in self._client.list_artifacts(self.id, "images")}
        return any(picture.startswith(_picture(key, images)) for picture in self._pictures)

    def log_image(self, pixels: Any, key: str, images: int) -> None:
        """Adds a picture, uint8 (height, width, 3), to a series the UI shows with a slider; not one it has already."""
        if not self.has_image(key, images):
            self._client.log_image(self.id, pixels, key=key, step=images)
            assert self._pictures is not None
            self._pictures.add(_picture(key, images))

    def log_artifact(self, path: Path, folder: str | None) -> None:
        """Uploads a file, or a folder's content."""
        upload = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        upload(self.id, str(path), folder)

    def log_text(self, text: str, name: str) -> None:
        """Uploads a text as a file; it replaces one of this name."""
        self._client.log_text(self.id, mask_secrets(text), name)

    def log_document(self, content: Mapping[str, Any], name: str) -> None:
        """Uploads JSON values as a file; it replaces one of this name."""
        self._client.log_dict(self.id, mask_values(dict(content)), name)

    def describe(self, results: Iterable[str]) -> None:
        """Puts results into the description of the run."""
        before = self._client.get_run(self.id).data.tags.get(DESCRIPTION, "")
        self.set_tags({DESCRIPTION: with_results(before, results)})

    def describe_model(self, model_id: str, results: Iterable[str]) -> None:
        """Puts results into the description of a logged model."""
        before = self._client.get_logged_model(model_id).tags.get(DESCRIPTION, "")
        self._client.set_logged_model_tags(model_id, {DESCRIPTION: as_text(with_results(before, results))})

    def link_input(self, model_id: str) -> None:
        """Records that the run reads this logged model."""
        self._client.log_inputs(self.id, models=[entities.LoggedModelInput(model_id)])

    def link_images(self, images: TrackedImages, context: str) -> None:
        """Records that the run reads these images for `training` or `evaluation`; MLflow shows their first context."""
        source = json.dumps({"uri": mask_secrets(images.source)})
        dataset = entities.Dataset(images.name, images.digest, source_type="local", source=source)
        tag = entities.InputTag(MLFLOW_DATASET_CONTEXT, context)
        self._client.log_inputs(self.id, datasets=[entities.DatasetInput(dataset, [tag])])

    def link_output(self, model_id: str, images: int) -> None:
        """Records that the run made this logged model."""
        self._client.log_outputs(self.id, [entities.LoggedModelOutput(model_id, images)])

    def close(self, status: str | None) -> None:
        """Ends the run, unless `status` is None, and logs what was lost."""
        if self._monitor is not None:
            self._monitor.finish()
        try:
            if status is not None:
                self._client.set_terminated(self.id, status)
        except Exception as error:
            uri = mask_secrets(self.store.uri)
            logger.warning("MLflow (%s) failed to set the status %s of the run: %s", uri, status, reason_of(error))
        if self.behind:
            logger.warning(
                "MLflow lacks %s of the last ticks, which are in data/: the same command, run again, logs them",
                " and ".join(sorted(self.behind)),
            )
        if self.lost:
            logger.warning(
                "Lost for MLflow: %s of this run (batches of metrics, pictures, files, models). What is in "
                "data/ is complete; the model is logged when the same command runs again",
                counted(self.lost, "piece"),
            )

    def _start_monitor(self, *, resumed: bool) -> None:
        # Its own way of recording is MLflow's fluent API; this is the same thread with explicit ids.
        self._monitor = SystemMetricsMonitor(self.id, resume_logging=resumed, tracking_uri=self.store.uri)
        self._monitor.start()


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _picture(key: str, images: int) -> str:
    """MLflow's name of a picture, up to the time."""
    return f"{key.replace('/', '~')}+step+{images}+"
