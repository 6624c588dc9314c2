"""Registers measured models, and decides which of them is the champion."""

import difflib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any, Final, Self

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.foundation.flat import flatten
from celeba_gan.foundation.params import spell_param
from celeba_gan.tracking.config import TrackingError
from celeba_gan.tracking.description import DESCRIPTION

if TYPE_CHECKING:  # imports torch
    from celeba_gan.evaluation.compare import Measurement

logger = logging.getLogger(__name__)

CHAMPION: Final = "champion"
_STORE: Final = "MLFLOW_TRACKING_URI"
_PROTOCOL: Final = ".protocol."  # in names of tags, between the metric and the part

_NOT_LOGGED: Final = (
    "evaluate.promote: the measured model is not in the store of mlflow.yml, and only models that training logged "
    "there can be promoted. If you trained it here, kedro run --pipelines train logs its last checkpoint"
)
_USUAL: Final = (
    *("frechet_attributes", "kernel_distance_attributes", "frechet_inception", "kernel_distance_inception"),
    *("frechet_infinity_attributes", "frechet_infinity_inception"),
)
_FORBIDDEN: Final = "/:'@"  # in a name; the first two by MLflow itself
_OWN: Final = ("evaluate.model", "evaluate.compare_with", "evaluate.promote")


class PromotionError(TrackingError):
    """A model cannot be promoted; the message says why and what to do."""


@dataclass(frozen=True)
class Promotion:
    """What the parameters of `evaluate` request."""

    requested: bool
    metric: str
    name: str  # of the registered model
    command: str = "kedro run --pipelines evaluate --params "  # measures a model as this run does; append its name

    @classmethod
    def read(cls, params: Mapping[str, Any], run_params: Mapping[str, Any]) -> Self | None:
        """From flattened parameters and Kedro's run parameters; None where the pipeline does not measure.

        Raises:
            PromotionError: The metric ranks no models, or the name is not valid.
        """
        requested, metric, name = (params.get(f"evaluate.promote{part}") for part in ("", "_metric", "_as"))
        if metric is None or name is None:
            return None
        best = params.get("evaluate.checkpoint") == "best"
        if requested and best and params.get("evaluate.model") is None:
            raise PromotionError(
                "evaluate.promote with evaluate.checkpoint=best: training logs its last networks in MLflow, and only "
                "logged models can be promoted. Remove evaluate.checkpoint"
            )
        if requested and any(character in name for character in _FORBIDDEN):
            raise PromotionError(
                f"evaluate.promote_as is {name!r}: a registered model's name has none of {' '.join(_FORBIDDEN)}"
            )
        if requested and not _ranks_models(metric):
            near = difflib.get_close_matches(metric, _USUAL, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"Use a distance such as {' or '.join(_USUAL[:2])}"
            raise PromotionError(f"evaluate.promote_metric is {metric}, which ranks no models. {hint}")
        return cls(bool(requested), metric, name, _command(run_params))

    def check_features(self, features: Sequence[str], lacking: str | None) -> None:
        """Checks that the metric which decides can be measured.

        Args:
            features: That the evaluation will have: `attributes`, `inception`, or the name of the user's file.
            lacking: Why these images get no classifier of attributes; None if they get one.

        Raises:
            PromotionError: A promotion is requested, and the metric needs others, or none: it has no interval then.
        """
        needed = _features_of(self.metric)
        if not self.requested or needed in features:
            return
        if needed is None:
            why = "which has no interval that holds for other samples"
        else:
            reason = f": the images {lacking}" if needed == "attributes" and lacking else ""
            why = f"and there are no features called {needed!r}{reason}"
        names = " or ".join(f"frechet_{name}" for name in features)
        way = f"Set it to {names}" if features else "Give the images attributes, or the evaluation Inception's weights"
        raise PromotionError(f"evaluate.promote_metric is {self.metric}, {why}. {way}, or leave evaluate.promote out")

    def check(self, models: Iterable[str | None]) -> None:
        """Checks the MLflow ids of the models that the pipeline reads, None for a model that is not logged.

        Raises:
            PromotionError: No model is logged, and a promotion is requested.
        """
        if self.requested and not any(models):
            raise PromotionError(_NOT_LOGGED)


def measurement_of(evaluation: Evaluation, metric: str) -> "Measurement":
    """The number that decides.

    Raises:
        PromotionError: The evaluation does not have the metric, or no interval that holds for other samples.
    """
    from celeba_gan.evaluation.compare import Measurement

    known = {
        name: found
        for name in evaluation.metrics
        if _ranks_models(name) and (found := Measurement.of(evaluation, name)).interval is not None
    }
    if metric not in known:
        lacks = "has no interval that holds for other samples" if metric in evaluation.metrics else "was not measured"
        way = f"Use one of: {', '.join(known)}" if known else "No metric of these images has one"
        raise PromotionError(f"evaluate.promote_metric is {metric}, which {lacks}. {way}")
    return known[metric]


def to_tags(measured: "Measurement") -> dict[str, str]:
    """A measurement as a version's tags."""
    low, high = measured.interval or (None, None)
    numbers = {"": measured.value, ".low": low, ".high": high}
    return {f"{measured.metric}{part}": repr(number) for part, number in numbers.items()} | {
        f"{measured.metric}{_PROTOCOL}{name}": text for name, text in measured.protocol.items()
    }


def from_tags(tags: Mapping[str, str], metric: str) -> "Measurement | None":
    """The measurement in a version's tags; None without one."""
    from celeba_gan.evaluation.compare import Measurement

    try:
        value, low, high = (float(tags[f"{metric}{part}"]) for part in ("", ".low", ".high"))
    except (KeyError, ValueError):
        return None
    begin = f"{metric}{_PROTOCOL}"
    protocol = {name.removeprefix(begin): text for name, text in tags.items() if name.startswith(begin)}
    return Measurement(metric, value, (low, high), protocol)


def is_requested(pipeline: Pipeline, catalog: DataCatalog) -> bool:
    """Whether a run is to promote what it measures."""
    entry = catalog.get("params:evaluate") if "params:evaluate" in pipeline.inputs() else None
    return entry is not None and bool(flatten(entry.load(), "evaluate").get("evaluate.promote"))


def settle(client: Any, promotion: Promotion, model_id: str | None, evaluation: Evaluation) -> str | None:
    """Promotes, and logs the decision; a model that cannot be promoted only gives a warning.

    Returns:
        What was logged; None if there was nothing to do.
    """
    try:
        if model_id is None:
            raise PromotionError(_NOT_LOGGED)
        decision = promote(client, promotion, model_id, evaluation)
    except PromotionError as error:
        if not promotion.requested:
            return None
        logger.warning("Not promoted. %s", error)
        return f"Not promoted. {error}"
    if decision is not None:
        logger.info(decision)
    return decision


def promote(client: Any, promotion: Promotion, model_id: str, evaluation: Evaluation) -> str | None:
    """Registers a measured model if requested, tags it with its numbers, and makes it champion if it is better.

    A model has one version, however often it is measured; its tags are from the last time, even if no promotion is
    requested.

    Returns:
        The decision and its reason; None if there was nothing to do.

    Raises:
        PromotionError: The metric was not measured.
    """
    name = promotion.name
    model = client.get_logged_model(model_id)
    version = _find_version(client, name, model)
    if version is None and not promotion.requested:
        return None
    measured = measurement_of(evaluation, promotion.metric)
    if version is None:
        version = _register(client, name, model)
    for tag, text in to_tags(measured).items():
        client.set_model_version_tag(name, version.version, tag, text)
    here = f"{promotion.metric} {_in_words(measured)}"
    champion = client.get_registered_model(name).aliases.get(CHAMPION)
    if str(champion) == str(version.version):
        return f"{name} version {version.version}, the {CHAMPION}, was measured again: {here}"
    if not promotion.requested:
        return f"{name} version {version.version} was measured again: {here}"
    if champion is None:
        client.set_registered_model_alias(name, CHAMPION, version.version)
        return f"{name} version {version.version} is the first {CHAMPION}: {here}"
    known = from_tags(client.get_model_version(name, champion).tags, promotion.metric)
    command = f"{promotion.command}evaluate.model=models:/{name}@{CHAMPION}"
    wins, why = _decide(measured, known, f"version {champion}", command)
    if wins:
        client.set_registered_model_alias(name, CHAMPION, version.version)
        return f"{name} version {version.version} is the new {CHAMPION}: {here} {why}"
    return f"{name} version {champion} stays {CHAMPION}: version {version.version} has {here}, {why}"


def _decide(measured: "Measurement", champion: "Measurement | None", name: str, command: str) -> tuple[bool, str]:
    """Whether a model is better than the champion, and why."""
    again = f"Measure {name} in this way, and then this model again: {command}"
    if champion is None:
        return False, f"and {name} was not measured by this metric. {again}"
    if different := measured.differences(champion):
        return False, f"and {name} was measured in a different way (here and there {'; '.join(different)}). {again}"
    low, high = measured.interval_of_difference(champion) or (nan, nan)
    reason = f"against {_in_words(champion)} of {name}"
    if measured.winner(champion) == "model":
        return True, reason
    return False, f"{reason}; the interval of the difference, {low:.4g} to {high:.4g}, does not show that it is better"


def _in_words(measured: "Measurement") -> str:
    low, high = measured.interval or (nan, nan)
    return f"{measured.value:.4g} ({low:.4g} to {high:.4g})"


def _register(client: Any, name: str, model: Any) -> Any:
    """Makes a version of the logged model, and the registered model where it is missing."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    try:
        client.create_registered_model(name)
    except MlflowException as error:  # made earlier, or by another run just now
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    source, before = f"models:/{model.model_id}", os.environ.get(_STORE)
    os.environ[_STORE] = client.tracking_uri  # a database's registry looks for logged models there, wherever it is
    try:
        version = client.create_model_version(
            name,
            source,
            run_id=model.source_run_id,
            model_id=model.model_id,
            description=model.tags.get(DESCRIPTION),
        )
    finally:
        del os.environ[_STORE]
        if before is not None:
            os.environ[_STORE] = before
    # As `mlflow.register_model` does: the page of the logged model links to its versions by this.
    versions = json.loads(model.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    versions.append({"name": name, "version": version.version})
    client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(versions)})
    return version


def _find_version(client: Any, name: str, model: Any) -> Any:
    """The logged model's version, also one made by hand; None if there is none."""
    sources = (f"models:/{model.model_id}", model.artifact_location)
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found = next((one for one in page if one.model_id == model.model_id or one.source in sources), None)
        token = page.token
        if found is not None or not token:
            return found


def _command(run_params: Mapping[str, Any]) -> str:
    given = flatten(run_params.get("runtime_params") or {}, "")
    same = [
        f"{spell_param(name, value)},"
        for name, value in given.items()
        if name in ("dataset", "experiment") or (name.startswith("evaluate.") and name not in _OWN)
    ]
    environment = f" --env {run_params['env']}" if run_params.get("env") else ""
    return f"kedro run{environment} --pipelines evaluate --params {''.join(same)}"


def _features_of(metric: str) -> str | None:
    from celeba_gan.evaluation.metrics.registry import read_name  # imports torch

    return read_name(metric).features


def _ranks_models(metric: str) -> bool:
    from celeba_gan.evaluation.metrics.registry import read_name  # imports torch

    return read_name(metric).direction is not None
