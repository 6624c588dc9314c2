"""Which networks are measured: `evaluate.model` and `evaluate.compare_with`."""

import hashlib
import logging
import re
import tempfile
from pathlib import Path
from typing import Any, Final, Protocol

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from celeba_gan.datasets.named_models import ComparedNetworksDataset, NamedNetworkDataset
from celeba_gan.foundation.settings import is_none
from celeba_gan.gan.runs.checkpoint import CheckpointError, read_card
from celeba_gan.gan.runs.experiments import Experiments
from celeba_gan.gan.runs.named_models import NamedModel, find_named_model
from celeba_gan.hooks.artifacts import path_of
from celeba_gan.tracking.config import TrackingError
from celeba_gan.tracking.fetch import FetchedModel, is_model_uri

logger = logging.getLogger(__name__)
_kedros_logger = logging.getLogger("kedro.io.data_catalog")

COMPARED: Final = "compared_networks"
_MEASURED: Final = {"generator", "discriminator", "best_measured"}
_STAGE: Final = "evaluate"
_LONGEST: Final = 100  # characters of a folder's name


class MeasuredModelError(ValueError):
    """A model that cannot be measured here; the message says why and what to do."""


class ModelStore(Protocol):
    """The tracking hook, which knows the MLflow store."""

    def fetch_model(self, uri: str, folder: Path) -> FetchedModel:
        """Brings a generator's file onto this machine."""


def reporting_folder(experiment: object, model: object = None) -> str:
    """The folder of evaluations in data/08_reporting: the experiment's, and for another model one of its own in there.

    The catalog calls it as `${reporting_folder:...}`.

    Args:
        experiment: The experiment's name.
        model: `evaluate.model`, if it is given.
    """
    return str(experiment) if is_none(model) else f"{experiment}/{slug(str(model))}"


def slug(model: str) -> str:
    """A folder's name for a model's; where it had to be changed a digest tells it from others that become the same.

    "modern_demo" has its results in modern_demo, and "models:/faces@champion" in models-faces-champion-, followed by
    eight hexadecimal digits.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[: _LONGEST - 9]
    if name == model:
        return name
    digest = hashlib.blake2b(model.encode(), digest_size=4).hexdigest()
    return f"{name}-{digest}" if name else digest


class MeasuredModels:
    """Puts the networks that `evaluate.model` and `evaluate.compare_with` name into the catalog of this run.

    Tracking reads their cards, so it comes after this one.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # of what MLflow gave, as long as the process

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Finds the networks before any node runs; their weights are read when a node needs them.

        Raises:
            MeasuredModelError: There is no such model, or the pipeline would also change or use the experiment's own.
        """
        name = _setting("model", catalog)
        if name is not None and _MEASURED & pipeline.datasets():
            _check_stages(pipeline)
            model = self._find("model", str(name), catalog)
            logger.info("Measuring %s, %s images into its training", model.label, f"{model.card['images']:,}")
            _replace("generator", NamedNetworkDataset(model.generator, "generator"), catalog)
            _replace("discriminator", NamedNetworkDataset(model.discriminator, "discriminator"), catalog)
            _replace("best_measured", NamedNetworkDataset(None, "generator"), catalog)
        name = _setting("compare_with", catalog)
        if name is not None and COMPARED in pipeline.inputs():
            model = self._find("compare_with", str(name), catalog)
            compared = ComparedNetworksDataset(model.label, model.generator, model.discriminator)
            _replace(COMPARED, compared, catalog)

    def _find(self, setting: str, name: str, catalog: DataCatalog) -> NamedModel:
        """The networks that a setting names."""
        experiments = Experiments(path_of(catalog, "experiments") or Path("data/06_models"))
        try:
            if is_model_uri(name):
                fetched = self._store.fetch_model(name, self._temporary())
                logger.info("%s comes without its discriminator, which MLflow does not have", fetched.label)
                return NamedModel(fetched.label, fetched.file, None, read_card(fetched.file, "generator"))
            return find_named_model(name, experiments, best=_setting("checkpoint", catalog) == "best")
        except (CheckpointError, TrackingError) as error:
            raise MeasuredModelError(f"evaluate.{setting}: {error}") from error

    def _temporary(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="celeba_gan-", ignore_cleanup_errors=True)
        return Path(self._folder.name)


def _setting(name: str, catalog: DataCatalog) -> Any:
    entry = catalog.get(f"params:{_STAGE}.{name}")
    value = None if entry is None else entry.load()
    return None if is_none(value) else value


def _replace(name: str, dataset: NamedNetworkDataset | ComparedNetworksDataset, catalog: DataCatalog) -> None:
    """Puts another dataset into the catalog, with what the entry says to tracking and kedro-viz."""
    dataset.metadata = getattr(catalog.get(name), "metadata", None)
    level = _kedros_logger.level
    _kedros_logger.setLevel(logging.ERROR)  # it warns of entries that are replaced, and this is meant
    try:
        catalog[name] = dataset
    finally:
        _kedros_logger.setLevel(level)


def _check_stages(pipeline: Pipeline) -> None:
    """Refuses stages that make or use the experiment's own networks.

    Raises:
        MeasuredModelError: There are any.
    """
    others = [
        node.name for node in pipeline.nodes if _STAGE not in node.tags and _MEASURED & {*node.inputs, *node.outputs}
    ]
    if others:
        raise MeasuredModelError(
            f"evaluate.model names the networks to measure, and this run also has {', '.join(sorted(others))}, which "
            "works with the experiment's own; measure with kedro run --pipelines evaluate --params evaluate.model=..."
        )
