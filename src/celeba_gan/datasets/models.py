"""Models by name: `evaluate.model` and the one it is compared with."""

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any, Final

from celeba_gan.datasets.file_dataset import Metadata, ReadOnlyDataset
from celeba_gan.foundation.settings import is_none
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.models import Experiments, NamedModel
from celeba_gan.gan.runs.run import Which
from celeba_gan.tracking.config import TrackingError
from celeba_gan.tracking.fetch import ModelStore, is_model_uri

_LONGEST: Final = 100  # characters of a folder's name


class NamedModelError(ValueError):
    """A model that cannot be found; the message says why and what to do."""


class NamedModelDataset(ReadOnlyDataset[NamedModel | None]):
    """The model that a parameter names: an experiment, its folder, a generator's file, or an MLflow model's URI.

    `filepath` is the folder of all experiments; messages name the `parameter`. Without a `name`, None is loaded. Of an
    experiment it is the model of the `last` tick, or of the `best` one.
    """

    reason = "a named model is only read"
    store: ModelStore | None = None  # set by the tracking hook before anything is loaded

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
        # Of a downloaded model; deleted when the process ends.
        self._folder: tempfile.TemporaryDirectory[str] | None = None

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
        if self.store is None:
            raise TrackingError(f"{name} is a model of MLflow, and no store is configured in this session")
        self._folder = tempfile.TemporaryDirectory(prefix="celeba_gan-", ignore_cleanup_errors=True)
        fetched = self.store.fetch_model(name, Path(self._folder.name))
        return NamedModel.at(fetched.file, fetched.label)

    def __getstate__(self) -> dict[str, Any]:
        """For ParallelRunner's processes, which read a model that was found before."""
        return {**self.__dict__, "store": None, "_folder": None}

    def _exists(self) -> bool:
        return True

    def _describe(self) -> Metadata:
        return {"name": self._name}


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
