"""Models by name: `evaluate.model` and the one it is compared with."""

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any, Final

from celeba_gan.datasets.file_dataset import Loaded, Metadata, ReadOnlyDataset
from celeba_gan.foundation.settings import is_none
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.models import Experiments, NamedModel
from celeba_gan.gan.runs.run import Which
from celeba_gan.tracking.config import TrackingError
from celeba_gan.tracking.fetch import FetchedModel, ModelStore, is_model_uri

_DISCRIMINATOR: Final = "discriminator.safetensors"  # beside the generator's file
_LONGEST: Final = 100  # characters of a folder's name


class NamedModelError(ValueError):
    """A model that cannot be found; the message says why and what to do."""


class _Downloading(ReadOnlyDataset[Loaded]):
    """Reads models of MLflow, each downloaded once."""

    store: ModelStore | None = None  # set by the tracking hook before anything is loaded

    def __init__(self, filepath: str, metadata: Metadata | None = None) -> None:
        super().__init__(filepath, metadata)
        self._fetched: dict[str, FetchedModel] = {}
        # Of downloaded models; deleted when the process ends.
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def _fetch(self, uri: str) -> FetchedModel:
        if uri not in self._fetched:
            if self.store is None:
                raise TrackingError(
                    f"{uri} is a model of MLflow, and no store is configured in this session. The processes of "
                    "ParallelRunner have none: train without --runner"
                )
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="celeba_gan-", ignore_cleanup_errors=True)
            self._fetched[uri] = self.store.fetch_model(uri, Path(self._folder.name))
        return self._fetched[uri]

    def __getstate__(self) -> dict[str, Any]:
        """For ParallelRunner's processes, which read a model that was found before."""
        return {**self.__dict__, "store": None, "_folder": None}


class NamedModelDataset(_Downloading[NamedModel | None]):
    """The model that a parameter names: an experiment, its folder, a generator's file, or an MLflow model's URI.

    `filepath` is the folder of all experiments; messages name the `parameter`. Without a `name`, None is loaded. Of an
    experiment it is the model of the `last` tick, or of the `best` one.
    """

    reason = "a named model is only read"

    def __init__(
        self,
        filepath: str,
        parameter: str,
        name: object = None,
        which: Which = "last",
        metadata: Metadata | None = None,
    ) -> None:
        super().__init__(filepath, metadata)
        self._parameter = parameter
        self._name = None if is_none(name) else str(name)
        self._which = which
        self._found: NamedModel | None = None

    def card(self) -> ModelCard | None:
        """The card of its generator; None if no model is named."""
        model = self.load()
        return None if model is None else model.card

    def load(self) -> NamedModel | None:
        """Finds the model, and reads its card; the weights are read when they are needed.

        Raises:
            NamedModelError: There is no such model; the message lists those there are.
        """
        if self._name is not None and self._found is None:
            try:
                self._found = self._find(self._name)
            except (CheckpointError, TrackingError) as error:
                raise NamedModelError(f"{self._parameter}: {error}") from error
        return self._found

    def _find(self, name: str) -> NamedModel:
        if not is_model_uri(name):
            return NamedModel.at(Experiments(self._filepath).find(name), name, self._which)
        fetched = self._fetch(name)
        return NamedModel.at(fetched.file, fetched.label)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> Metadata:
        return {"name": self._name}


class ExperimentsDataset(_Downloading[Experiments]):
    """The folder of all experiments, where `train.init_from` finds networks; it finds models of MLflow, too."""

    reason = "trainings fill this folder by themselves"

    def load(self) -> Experiments:
        """The folder; nothing is read yet."""
        return Experiments(self._filepath, self)

    def holds(self, name: str) -> bool:
        """Whether a name is that of a model of MLflow."""
        return is_model_uri(name)

    def fetch(self, name: str) -> Path:
        """The generator's file of a model of MLflow, with its discriminator beside it.

        Raises:
            CheckpointError: There is no such model, or it has no discriminator.
        """
        try:
            file = self._fetch(name).file
        except TrackingError as error:
            raise CheckpointError(str(error)) from error
        if not file.with_name(_DISCRIMINATOR).is_file():
            raise CheckpointError(
                f"{name} was logged without its discriminator, as models of earlier versions are, and training needs "
                "both; give the experiment that it comes from, or its snapshot"
            )
        return file


def reporting_folder(experiment: object, model: object = None) -> str:
    """The folder of evaluations in data/08_reporting: the experiment's, and inside it one for each other model.

    The catalog calls it as `${reporting_folder:...}`; `model` is `evaluate.model`, if given.
    """
    return str(experiment) if is_none(model) else f"{experiment}/{slug(str(model))}"


def slug(model: str) -> str:
    """A folder's name for a model's; if characters had to be replaced, it ends with a digest, so that it is unique.

    "modern_demo" has its results in modern_demo, and "models:/faces@champion" in models-faces-champion-, followed by
    eight hexadecimal digits.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[: _LONGEST - 9]
    if name == model:
        return name
    digest = hashlib.blake2b(model.encode(), digest_size=4).hexdigest()
    return f"{name}-{digest}" if name else digest
