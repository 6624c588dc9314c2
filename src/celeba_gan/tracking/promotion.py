"""Registering measured models, and which of them is the champion."""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.foundation.flat import flatten
from celeba_gan.tracking.config import TrackingError

logger = logging.getLogger(__name__)

CHAMPION: Final = "champion"
_COMPARABLE: Final = (
    *(
        "data_digest",
        "split",
        "images_per_side",
        "train_images",
        "judge_network",
        "seed",
        "size",
        "centre_crop",
        "code",
    ),
    *EvaluateSettings.READ_BY_METRICS,
)
"""Parts of the protocol that have to agree; and the digest of the features, where the metric has any."""
_SHARE: Final = "Wilson"
"""Method of intervals that take for given what they were counted with; see `evaluation.metrics`."""
_STORE: Final = "MLFLOW_TRACKING_URI"
_PROTOCOL: Final = ".protocol."  # stands in the names of their tags, between the metric and the part


_NOT_LOGGED: Final = (
    "evaluate.promote: the model to measure is not in the store of mlflow.yml, and only what training has logged there "
    "can be promoted. Of a training that was made here, kedro run --pipelines train logs the model that is missing, as "
    "it is after its last tick"
)
_FORBIDDEN: Final = "/:'@"  # in a name; the first two by MLflow itself
_OWN: Final = ("evaluate.model", "evaluate.against", "evaluate.promote")


class PromotionError(TrackingError):
    """A model cannot be promoted; the message says why and what to do."""


@dataclass(frozen=True)
class Promotion:
    """What `evaluate` says about it."""

    asked: bool
    metric: str
    name: str
    """Of the registered model."""
    command: str = "kedro run --pipelines evaluate --params "
    """Measures a model as this run does; the model's name is to be added."""

    @classmethod
    def read(cls, params: Mapping[str, Any], run_params: Mapping[str, Any]) -> Self | None:
        """From flattened parameters, and what Kedro says of the run; None where the pipeline does not measure.

        Raises:
            PromotionError: The metric does not say which of two models is better, or the name cannot be one.
        """
        asked, metric, name = (params.get(f"evaluate.promote{part}") for part in ("", "_metric", "_as"))
        if metric is None or name is None:
            return None
        if asked and params.get("evaluate.which") == "best" and params.get("evaluate.model") is None:
            raise PromotionError(
                "evaluate.promote with evaluate.which=best: training logs its last networks in MLflow, and only what "
                "is there can be promoted; leave evaluate.which out"
            )
        if asked and any(character in name for character in _FORBIDDEN):
            raise PromotionError(
                f"evaluate.promote_as is {name!r}, and a registered model's name has none of {' '.join(_FORBIDDEN)}"
            )
        if asked and _direction(metric) is None:
            raise PromotionError(
                f"evaluate.promote_metric is {metric}, of which neither less nor more is better, so it makes no "
                "champion; give a distance such as frechet_attributes or kernel_distance_attributes"
            )
        return cls(bool(asked), metric, name, _command(run_params))

    def check(self, models: Iterable[str | None]) -> None:
        """Refuses to promote where none of the models that the pipeline reads is in MLflow.

        Args:
            models: The ids of those logged; None for one that is not.

        Raises:
            PromotionError: There is none.
        """
        if self.asked and not any(models):
            raise PromotionError(_NOT_LOGGED)


@dataclass(frozen=True)
class Measurement:
    """One number of one model, with what it takes to compare it."""

    metric: str
    value: float
    low: float
    high: float
    protocol: Mapping[str, str]

    @classmethod
    def of(cls, evaluation: Mapping[str, Any], metric: str) -> Self:
        """From an evaluation.

        Raises:
            PromotionError: It does not have the metric, or no interval of it.
        """
        metrics, intervals = evaluation.get("metrics", {}), evaluation.get("intervals", {})
        known = [
            name
            for name in metrics
            if name in intervals and _direction(name) is not None and intervals[name].get("method") != _SHARE
        ]
        if metric not in known:
            lacks = "has no interval that would hold for other samples" if metric in metrics else "was not measured"
            raise PromotionError(
                f"evaluate.promote_metric is {metric}, which {lacks}; there are: {', '.join(known) or 'none'}"
            )
        full = evaluation.get("protocol", {})
        protocol = {name: str(full.get(name)) for name in _COMPARABLE}
        for features, digest in full.get("features", {}).items():
            if metric.endswith(f"_{features}"):
                protocol["features"] = str(digest)
        interval = intervals[metric]
        return cls(metric, float(metrics[metric]), float(interval["low"]), float(interval["high"]), protocol)

    @classmethod
    def known(cls, tags: Mapping[str, str], metric: str) -> Self | None:
        """From a version's tags; None where they do not have it."""
        try:
            value, low, high = (float(tags[f"{metric}{part}"]) for part in ("", ".low", ".high"))
        except (KeyError, ValueError):
            return None
        begin = f"{metric}{_PROTOCOL}"
        protocol = {name.removeprefix(begin): text for name, text in tags.items() if name.startswith(begin)}
        return cls(metric, value, low, high, protocol)

    def tags(self) -> dict[str, str]:
        """As a version's tags."""
        numbers = {"": self.value, ".low": self.low, ".high": self.high}
        return {f"{self.metric}{part}": repr(number) for part, number in numbers.items()} | {
            f"{self.metric}{_PROTOCOL}{name}": text for name, text in self.protocol.items()
        }

    def differences(self, other: "Measurement") -> list[str]:
        """Where the two were measured in different ways, in words."""
        return [
            f"{name} {other.protocol.get(name, 'unknown')} there, {self.protocol.get(name, 'unknown')} here"
            for name in sorted({*self.protocol, *other.protocol})
            if self.protocol.get(name) != other.protocol.get(name)
        ]

    def beats(self, other: "Measurement") -> bool:
        """Whether the whole interval is on the better side of the other's value."""
        if _direction(self.metric) == "more":
            return self.low > other.value
        return self.high < other.value

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


def is_asked(pipeline: Pipeline, catalog: DataCatalog) -> bool:
    """Whether a run is to promote what it measures."""
    entry = catalog.get("params:evaluate") if "params:evaluate" in pipeline.inputs() else None
    return entry is not None and bool(flatten(entry.load(), "evaluate").get("evaluate.promote"))


def settle(client: Any, promotion: Promotion, model_id: str | None, evaluation: Mapping[str, Any]) -> None:
    """Promotes as `promote`, and says what came of it; a model that cannot be promoted costs no numbers."""
    try:
        if model_id is None:
            raise PromotionError(_NOT_LOGGED)
        decision = promote(client, promotion, model_id, evaluation)
    except PromotionError as error:
        if promotion.asked:
            logger.warning("Not promoted. %s", error)
        return
    if decision is not None:
        logger.info(decision)


def promote(client: Any, promotion: Promotion, model_id: str, evaluation: Mapping[str, Any]) -> str | None:
    """Registers a measured model if that is asked for, notes its numbers, and makes it champion if it beats the other.

    A model has one version, however often it is measured; its tags are those of the last time, also where no promotion
    is asked for.

    Args:
        client: MLflow's.
        promotion: What is asked for.
        model_id: The logged model.
        evaluation: What was measured, as in `evaluation.json`.

    Returns:
        What was decided, and why; None where there was nothing to do.

    Raises:
        PromotionError: The metric was not measured.
    """
    name = promotion.name
    model = client.get_logged_model(model_id)
    version = _find_version(client, name, model)
    if version is None and not promotion.asked:
        return None
    measured = Measurement.of(evaluation, promotion.metric)
    if version is None:
        version = _register(client, name, model)
    for tag, text in measured.tags().items():
        client.set_model_version_tag(name, version.version, tag, text)
    here = f"{promotion.metric} {measured}"
    champion = client.get_registered_model(name).aliases.get(CHAMPION)
    if str(champion) == str(version.version):
        return f"{name} version {version.version}, the {CHAMPION}, is measured anew: {here}"
    if not promotion.asked:
        return f"{name} version {version.version} is measured anew: {here}"
    if champion is None:
        client.set_registered_model_alias(name, CHAMPION, version.version)
        return f"{name} version {version.version} is the first {CHAMPION}: {here}"
    known = Measurement.known(client.get_model_version(name, champion).tags, promotion.metric)
    command = f"{promotion.command}evaluate.model=models:/{name}@{CHAMPION}"
    wins, why = _decide(measured, known, f"version {champion}", command)
    if wins:
        client.set_registered_model_alias(name, CHAMPION, version.version)
        return f"{name} version {version.version} is the {CHAMPION} now: {here} {why}"
    return f"{name} version {champion} stays {CHAMPION}: version {version.version} has {here}, {why}"


def _decide(measured: Measurement, champion: Measurement | None, name: str, command: str) -> tuple[bool, str]:
    """Whether a model beats the champion, and why."""
    again = f"Measure {name} in this way, and then this model again: {command}"
    if champion is None:
        return False, f"and of {name} this is not known. {again}"
    if different := measured.differences(champion):
        return False, f"and {name} was measured in another way ({'; '.join(different)}). {again}"
    if measured.beats(champion):
        return True, f"against {champion.value:.4g} of {name}"
    side = "above" if _direction(measured.metric) == "more" else "below"
    return False, f"which is not wholly {side} its {champion.value:.4g}"


def _register(client: Any, name: str, model: Any) -> Any:
    """Makes a version of the logged model, and the registered model where it is missing."""
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    with _as_default_store(client.tracking_uri):
        version = client.create_model_version(
            name, f"models:/{model.model_id}", run_id=model.source_run_id, model_id=model.model_id
        )
    # As `mlflow.register_model` does: the page of the logged model links to its versions by this.
    versions = json.loads(model.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    versions.append({"name": name, "version": version.version})
    client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(versions)})
    return version


def _find_version(client: Any, name: str, model: Any) -> Any:
    """The logged model's version, also one made by hand; None where there is none."""
    sources = (f"models:/{model.model_id}", model.artifact_location)
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found = next((one for one in page if one.model_id == model.model_id or one.source in sources), None)
        token = page.token
        if found is not None or not token:
            return found


@contextmanager
def _as_default_store(uri: str) -> Iterator[None]:
    """Makes a store that of the whole process: a database's registry looks there for logged models, wherever it is."""
    before = os.environ.get(_STORE)
    os.environ[_STORE] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ[_STORE]
        else:
            os.environ[_STORE] = before


def _command(run_params: Mapping[str, Any]) -> str:
    """What measures a model as this run does; the model's name is to be added."""
    given = flatten(run_params.get("runtime_params") or {}, "")
    same = [
        f"{name}={value},"
        for name, value in given.items()
        if name in ("dataset", "experiment") or (name.startswith("evaluate.") and name not in _OWN)
    ]
    environment = f" --env {run_params['env']}" if run_params.get("env") else ""
    return f"kedro run{environment} --pipelines evaluate --params {''.join(same)}"


def _direction(metric: str) -> Literal["less", "more"] | None:
    from celeba_gan.evaluation.metrics.registry import which_is_better  # imports torch

    return which_is_better(metric)
