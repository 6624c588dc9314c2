"""Reading a generator out of MLflow: its weights alone, so that nothing of the model is run."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.tracking.config import TrackingError, TrackingSettings

# Within a logged model's folder; logged_model.py puts them there. Models logged earlier have no discriminator.
WEIGHTS: Final = "artifacts/generator.safetensors"
_DISCRIMINATOR: Final = "artifacts/discriminator.safetensors"
_FORMS: Final = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID or runs:/RUN/NAME"
_MOST_LISTED: Final = 20


@dataclass(frozen=True)
class FetchedModel:
    """A generator of MLflow on this machine."""

    file: Path
    label: str  # the URI, and the version that an alias points to


class ModelStore(Protocol):
    """Downloads models of MLflow: the tracking hook."""

    def fetch_model(self, uri: str, folder: Path) -> FetchedModel:
        """Downloads a generator's file."""


@runtime_checkable
class ReadsModels(Protocol):
    """A dataset that reads models of MLflow."""

    store: ModelStore | None  # set by the tracking hook when the catalog is made


def is_model_uri(name: str) -> bool:
    """Whether a name is that of a model in MLflow."""
    return name.startswith(("models:/", "runs:/"))


def fetch_generator(uri: str, settings: TrackingSettings, project: Path, folder: Path) -> FetchedModel:
    """Downloads a generator that this project has logged, and its discriminator if it was; both get a new folder.

    Raises:
        TrackingError: There is no such model, it is not of this project, or the store cannot be used.
    """
    from mlflow.artifacts import download_artifacts, list_artifacts
    from mlflow.exceptions import MlflowException

    from celeba_gan.tracking.store import open_client

    store = settings.store_uri(project)
    try:
        client = open_client(settings, project)
    except (MlflowException, ImportError) as error:
        raise TrackingError(mask_secrets(f"MLflow's store {store} cannot be used: {error}")) from error
    try:
        location, label = _locate(client, uri)
    except (MlflowException, TrackingError) as error:
        raise TrackingError(
            mask_secrets(f"There is no model {uri} in MLflow at {store}: {str(error).rstrip('.')}. {_known(client)}")
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    place = tempfile.mkdtemp(dir=folder)
    model = location.rstrip("/")
    try:
        file = download_artifacts(f"{model}/{WEIGHTS}", dst_path=place, tracking_uri=store)
        beside = list_artifacts(f"{model}/{Path(WEIGHTS).parent}", tracking_uri=store)
        if Path(_DISCRIMINATOR).name in {Path(one.path).name for one in beside}:
            download_artifacts(f"{model}/{_DISCRIMINATOR}", dst_path=place, tracking_uri=store)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            mask_secrets(
                f"{location}, where MLflow has {uri}, gave no {WEIGHTS}, as models that training logs have: {error}"
            )
        ) from error
    return FetchedModel(Path(file), label)


def _locate(client: Any, uri: str) -> tuple[str, str]:
    """Where a model's folder is kept, and its name for people."""
    if match := re.fullmatch(r"models:/(m-\w+)", uri):
        return client.get_logged_model(match[1]).artifact_location, uri
    if match := re.fullmatch(r"models:/([^/@]+)/(\d+)", uri):
        return _of_version(client, client.get_model_version(match[1], match[2])), uri
    if match := re.fullmatch(r"models:/([^/@]+)@([^/@]+)", uri):
        version = client.get_model_version_by_alias(match[1], match[2])
        return _of_version(client, version), f"{uri} (version {version.version})"
    if match := re.fullmatch(r"runs:/(\w+)/(.+)", uri):
        outputs = sorted(client.get_run(match[1]).outputs.model_outputs, key=lambda output: output.step)
        models = [client.get_logged_model(output.model_id) for output in outputs]
        if found := [model for model in models if model.name == match[2]]:
            return found[-1].artifact_location, uri
        raise TrackingError(
            f"run {match[1]} has logged {', '.join(sorted({model.name for model in models})) or 'none'}"
        )
    raise TrackingError(f"a model's URI is {_FORMS}")


def _of_version(client: Any, version: Any) -> str:
    if version.model_id:
        return str(client.get_logged_model(version.model_id).artifact_location)
    return str(client.get_model_version_download_uri(version.name, version.version))


def _known(client: Any) -> str:
    from mlflow.exceptions import MlflowException

    try:
        names = [model.name for model in client.search_registered_models(max_results=_MOST_LISTED)]
    except MlflowException:  # the store itself does not answer, which the message already states
        return f"Its form is {_FORMS}"
    return f"Registered models: {', '.join(names) or 'none'}"
