"""Records a Kedro run in MLflow: finds or creates the MLflow run, and logs the datasets that the catalog marks."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.exporting.card_file import name_pictures, pictures_in, without_front_matter
from celeba_gan.foundation.flat import flatten
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.gan.runs.cards import ModelCard, RunCard
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.gan.runtime.signals import is_stopping
from celeba_gan.reporting.films import Film, film_files
from celeba_gan.reporting.grids import ImageGrid
from celeba_gan.tracking.config import Mark, RunPage, TrackingError, TrackingSettings, read_mark
from celeba_gan.tracking.description import (
    DESCRIPTION,
    describe_evaluation,
    describe_run,
    describe_training,
    name_work,
    with_results,
)
from celeba_gan.tracking.origin import describe_origin, versions
from celeba_gan.tracking.promotion import Promotion, PromotionError, settle

if TYPE_CHECKING:  # importing the store imports MLflow
    from celeba_gan.tracking.store import Store, TrackedImages, TrackedRun

logger = logging.getLogger(__name__)

# Sections of a run's page, which MLflow sorts by name: the curves of training come before what has one point each.
_CURVES: Final = "train/"
_MEASURED: Final = "trained/"  # the trained model
_ENVIRONMENT: Final = "environment.json"  # an artifact


@dataclass(frozen=True)
class KedroRun:
    """What is known of a Kedro run before it starts."""

    project: Path
    names: Mapping[str, str]  # `dataset` and `experiment`
    run_params: Mapping[str, Any]
    pipeline: Pipeline
    catalog: DataCatalog
    paths: Mapping[str, Path]  # of the catalog's entries


@runtime_checkable
class Ticks(Protocol):
    """A dataset with a file for each tick of training."""

    def counts(self) -> list[int]:
        """The image counts of all ticks, ascending."""

    def read(self, images: int) -> Any:
        """What was saved at one tick."""


class Recorder:
    """Records one Kedro run. The first node that runs opens the MLflow run; if none runs, there is none.

    A resumed training already has an MLflow run. Nothing is logged there before training saves a snapshot: it may be
    refused, or never be reached. A finished training that runs again saves the same state again: then what is missing
    is logged, and the run keeps its status.
    """

    def __init__(self, settings: TrackingSettings, kedro_run: KedroRun) -> None:
        self._settings = settings
        self._kedro_run = kedro_run
        self._catalog: Any = kedro_run.catalog
        self._marks = {name: read_mark(name, self._catalog.get(name)) for name in kedro_run.pipeline.datasets()}
        self._run: TrackedRun | None = None
        self._params: dict[str, Any] = {}
        self._promotion: Promotion | None = None
        self._resumed_from: int | None = None  # images of the snapshot that the pipeline resumes
        self._waiting: list[tuple[str, Any]] | None = None  # to be logged when a resumed training saves a snapshot
        self._committed = False
        self._moved_on = False  # committed a later snapshot
        self._tagged = False
        self._stopping = False  # the last commit is that of a training that received a signal
        self._unlogged: set[str] = set()  # models saved since they were last logged
        self._card: RunCard | None = None  # of the last commit
        self._last_ticks: dict[str, Any] = {}  # the last data of datasets with a file for each tick
        self._evaluation: Evaluation | None = None
        self.decision: str | None = None  # on the registered model, in words

    def open(self) -> bool:
        """Opens the MLflow run unless it is open. Returns whether it was opened.

        Raises:
            TrackingError: The store cannot be used, or no model can be promoted: raised before hours of work.
        """
        if self._run is not None:
            return False
        from celeba_gan.tracking.store import Store

        resumed, read, self._params = self._cards(resume=True), self._cards(resume=False), self._read_params()
        self._promotion = Promotion.read(self._params, self._kedro_run.run_params)
        try:
            store = Store.connect(self._settings, self._kedro_run.project)
            models = [store.find_model(card.id, card.images) for card in read]
            if self._promotion is not None and read:  # else the model is made, and logged, by this pipeline
                self._promotion.check(models)
            self._run = self._find(store, resumed) or self._start(store, read)
            for model_id in models:
                if model_id is not None:
                    self._run.link_input(model_id)
        except PromotionError:
            raise
        except Exception as error:
            uri = self._settings.store_uri(self._kedro_run.project)
            reason = mask_secrets(f"MLflow cannot be used at {uri}: {error}")
            raise TrackingError(
                f"{reason}. Check MLFLOW_TRACKING_URI and tracking_uri in mlflow.yml, "
                "or run without tracking: `disable: true` in conf/local/mlflow.yml, or with --env in that environment's"
            ) from error
        return True

    def page(self, command: str) -> RunPage | None:
        """Where the run is shown, by the command that opens its store; None before it is opened."""
        if (run := self._run) is None:
            return None
        return RunPage(run.id, run.name, run.store.experiment_id, self._settings.experiment, run.store.uri, command)

    def starts(self, node: Node) -> None:
        """Logs the models that this node reads: the node that made them has finished."""
        for name in self._unlogged & set(node.inputs):
            self._log_model(name)

    def saved(self, name: str, data: Any) -> None:
        """Logs or commits a saved dataset as its catalog entry requests."""
        run, mark = self._run, self._marks.get(name, Mark())
        if run is None:
            return
        if self._ticks(name) is not None:
            self._last_ticks[name] = data
        if mark.log == "model":
            self._unlogged.add(name)
        elif mark.log is not None and self._waiting is not None:
            self._waiting.append((name, data))
        elif mark.log is not None:
            self._log(run, name, data)
        if mark.commit:
            self._commit(run, data.card)

    def close(self, status: str) -> None:
        """Ends the MLflow run, after logging the model of a training that ended or stopped.

        The model of an aborted training is not logged: after a second Ctrl-C nobody wants to wait for an upload, and
        what the interrupt hit, such as an import, may be unusable.
        """
        run = self._run
        if run is None:
            return
        try:
            if status == "FINISHED":
                self._stop_waiting(run)
            if status != "KILLED" or self._stopping:
                for name, data in self._last_ticks.items() if run.behind else []:
                    self._log(run, name, data, only_chance=True)
                for name in sorted(self._unlogged):
                    self._log_model(name)
                if self._waiting is None and (results := self._results()):
                    run.attempt("the description", lambda: run.describe(results), only_chance=True)
        finally:
            lacks_end = run.status == "RUNNING" and status == "FINISHED"
            run.close(status if self._resumed_from is None or self._moved_on or lacks_end else None)

    def _commit(self, run: "TrackedRun", card: RunCard) -> None:
        self._committed, self._card = True, card
        self._stopping = is_stopping()
        if self._resumed_from is None or card.images > self._resumed_from:
            self._moved_on = True
            self._tagged = self._tagged or run.attempt("the training's id", lambda: self._tag_training(run, card))
        self._stop_waiting(run)

    def _stop_waiting(self, run: "TrackedRun") -> None:
        """Logs what was saved before the training was known to resume."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            run.attempt("the parameters", lambda: run.log_params(self._params))
            for name, data in waiting:
                self._log(run, name, data)

    def _find(self, store: "Store", cards: list[ModelCard]) -> "TrackedRun | None":
        """The MLflow run of the training that the pipeline resumes; it is not written to yet."""
        from celeba_gan.tracking.store import ROWS_UNTIL, TrackedRun

        for card in cards:
            training = store.find_training(card.id)
            if training is not None:
                self._resumed_from, self._waiting = card.images, []
                run = TrackedRun(store, training)
                # Rows after the snapshot are of ticks that were not committed, or of a branch that is left. Earlier
                # versions did not record how far they were.
                recorded = ROWS_UNTIL in training.data.tags
                run.rows_until = min(run.rows_until, card.images) if recorded else card.images
                return run
        return None

    def _start(self, store: "Store", cards: list[ModelCard]) -> "TrackedRun":
        """Makes a run, nested under the training's where the pipeline reads a model."""
        from celeba_gan.tracking.store import TrackedRun

        tags = {**self._origin(), DESCRIPTION: self._description()}
        for card in cards:
            training = store.find_training(card.id)
            if training is not None:
                tags["mlflow.parentRunId"] = training.info.run_id
        label = self._params.get("evaluate.model") or self._kedro_run.names.get("experiment", "")
        work = name_work(self._kedro_run.run_params, self._kedro_run.pipeline)
        run = TrackedRun.start(store, self._settings.run_name or f"{label} {work}".strip(), tags)
        run.attempt("the versions", lambda: run.log_document({"versions": versions()}, _ENVIRONMENT))
        run.log_params(self._params)
        return run

    def _cards(self, *, resume: bool) -> list[ModelCard]:
        """Cards of the pipeline's inputs: of the training it resumes, or of the models it reads."""
        marks = {name: self._marks[name] for name in sorted(self._kedro_run.pipeline.inputs())}
        names = [name for name, mark in marks.items() if (mark.resume if resume else mark.log == "model")]
        cards = {name: card for name in names if (card := self._catalog.get(name).card()) is not None}
        replaced = {marks[name].replaces for name in cards}
        return [card for name, card in cards.items() if name not in replaced]

    def _origin(self) -> dict[str, str]:
        return describe_origin(self._kedro_run.project, self._kedro_run.run_params, self._kedro_run.names)

    def _description(self) -> str:
        return describe_run(self._kedro_run.names, self._kedro_run.run_params, self._kedro_run.pipeline)

    def _results(self) -> list[str]:
        """What the description says of what the run has made."""
        trained = [] if self._card is None else [describe_training(self._card)]
        return trained if self._evaluation is None else [*trained, describe_evaluation(self._evaluation)]

    def _read_params(self) -> dict[str, Any]:
        """The parameters that the pipeline reads, flattened: `train.network.dcgan.width`."""
        flat: dict[str, Any] = {}
        for name in sorted(self._kedro_run.pipeline.inputs()):
            if name == "parameters" or name.startswith("params:"):
                value = self._catalog.get(name).load()
                flat |= flatten(value, name.removeprefix("parameters").removeprefix("params:"))
        return flat

    def _log(self, run: "TrackedRun", name: str, data: Any, *, only_chance: bool = False) -> None:
        run.attempt(
            f"the dataset {name}",
            lambda: self._upload(run, name, self._marks[name], data),
            only_chance=only_chance,
            on_disk=self._ticks(name) is not None,
        )

    def _upload(self, run: "TrackedRun", name: str, mark: Mark, data: Any) -> None:
        if mark.log == "image":
            self._log_images(run, name, mark.key or name, data)
        elif mark.log == "params":
            run.log_params(flatten(data, name))
        elif mark.log == "card":
            card = self._path(name) / (mark.file or "")
            text = card.read_text(encoding="utf-8")
            readable = name_pictures(without_front_matter(text))  # MLflow's page shows neither
            run.log_text(readable, "/".join(filter(None, [mark.folder, card.name])))
            for picture in pictures_in(text, card.parent):
                run.log_artifact(picture, mark.folder)
        elif mark.log == "artifact":
            if isinstance(data, ImageGrid) and data.is_empty:
                return  # no file was written
            if isinstance(data, Film):
                for file in film_files(self._place(name)):
                    run.log_artifact(file, mark.folder)
                return
            if name not in self._kedro_run.paths and hasattr(data, "to_csv"):  # a table that lies elsewhere
                run.log_text(data.to_csv(index=False), "/".join(filter(None, [mark.folder, f"{name}.csv"])))
                return
            run.log_artifact(self._path(name) / (mark.file or ""), mark.folder)
        elif isinstance(data, MetricRows):
            self._log_rows(run, name, data)
        else:
            self._log_evaluation(run, data)
            run.log_artifact(self._path(name), mark.folder)

    def _ticks(self, name: str) -> "Ticks | None":
        """The dataset, if it has a file for each tick."""
        dataset = self._catalog.get(name)
        return dataset if isinstance(dataset, Ticks) else None

    def _log_images(self, run: "TrackedRun", name: str, key: str, data: Any) -> None:
        """Logs the picture; of ticks, all that are on disk and not logged yet."""
        ticks = self._ticks(name)
        if ticks is None:
            run.log_image(data.pixels, key, data.images)
            return
        for images in ticks.counts():
            if not run.has_image(key, images):
                run.log_image(ticks.read(images).pixels, key, images)

    def _log_rows(self, run: "TrackedRun", name: str, data: MetricRows) -> None:
        """Logs the metric rows; of ticks, all that are on disk and not logged yet."""
        ticks = self._ticks(name)
        owed = [data]
        if ticks is not None:
            owed = [ticks.read(images) for images in ticks.counts() if run.rows_until < images <= data.images]
        points = [(key, value, int(row["images"])) for tick in owed for row in tick.rows for key, value in row.items()]
        curves = [point for point in points if point[0] != "images" and not point[0].endswith("_floor")]
        if curves:
            run.log_rows(((f"{_CURVES}{key}", value, images) for key, value, images in curves), data.images)

    def _log_evaluation(self, run: "TrackedRun", evaluation: Evaluation) -> None:
        """Logs `metrics` alone: floors, intervals and the protocol are in `evaluation.json`, an artifact."""
        self._evaluation, protocol, promotion = evaluation, evaluation.protocol, self._promotion
        model_id = run.store.find_model(protocol.training_id, protocol.images)
        images = self._images(protocol.data_digest)
        if images is not None:
            run.link_images(images, "evaluation")
        points = [(f"{_MEASURED}{name}", value, protocol.images) for name, value in evaluation.metrics.items()]
        run.log_metrics(points, model_id, images)
        if model_id is not None:
            run.describe_model(model_id, [describe_evaluation(evaluation)])
        if promotion is not None:
            run.attempt("the promotion", lambda: self._settle(run, promotion, model_id, evaluation))

    def _settle(self, run: "TrackedRun", promotion: Promotion, model_id: str | None, evaluation: Evaluation) -> None:
        self.decision = settle(run.store.client, promotion, model_id, evaluation)

    def _images(self, digest: str | None) -> "TrackedImages | None":
        from celeba_gan.tracking.store import DIGEST_LIMIT, TrackedImages

        name = self._kedro_run.names.get("dataset")
        if name is None or digest is None:
            return None
        place = self._kedro_run.paths.get("packed_images", Path(name))
        project = self._kedro_run.project
        source = place.relative_to(project) if place.is_relative_to(project) else place
        return TrackedImages(name, digest[:DIGEST_LIMIT], str(source))

    def _log_model(self, name: str) -> None:
        self._unlogged.discard(name)
        run = self._run
        if run is not None and self._committed:
            run.attempt(f"the model {name}", lambda: self._upload_model(run, name), only_chance=True)

    def _upload_model(self, run: "TrackedRun", name: str) -> None:
        from celeba_gan.tracking.logged_model import log_model

        networks = self._catalog.get(name).load().networks()
        card = networks.generator.card
        if run.store.find_model(card.id, card.images) is None:  # a finished training, run again, has its model
            description = with_results(self._description(), [describe_training(card)])
            model_id = log_model(run.store, run.id, self._marks[name].key or name, networks, description)
            run.link_output(model_id, card.images)

    def _path(self, name: str) -> Path:
        if not (path := self._place(name)).exists():
            raise ValueError(f"the dataset {name} has no file on this machine that could be uploaded ({path})")
        return path

    def _place(self, name: str) -> Path:
        path = self._kedro_run.paths.get(name)
        if path is None:
            raise ValueError(f"the dataset {name} has no file on this machine that could be uploaded")
        return path

    def _tag_training(self, run: "TrackedRun", card: RunCard) -> None:
        from celeba_gan.tracking.store import ROWS_UNTIL, TRAINING_ID

        origin = flatten(card.init_from or {}, "init_from")  # the training that gave the first weights
        hardware = card.hardware
        tags = {
            TRAINING_ID: card.id,
            ROWS_UNTIL: run.rows_until,
            "device": hardware.device,
            "precision": hardware.precision,
            **origin,
        }
        if self._resumed_from is None:
            run.set_tags(tags)
        else:
            run.resume({**self._origin(), **tags, DESCRIPTION: self._description()}, self._params)
        environment = {"versions": versions(), "hardware": hardware.model_dump(mode="json")}
        run.attempt("the hardware", lambda: run.log_document(environment, _ENVIRONMENT))
        if (images := self._images(card.data_digest)) is not None:
            run.attempt("the images", lambda: run.link_images(images, "training"))
