"""The models that can be explored: experiments on disk, and models of MLflow's registry."""

import logging
import os
import re
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from celeba_gan.explorer.recipe import ExplorerError, Recipe
from celeba_gan.explorer.training_images import TrainingImages, find_training_images
from celeba_gan.foundation.documents import DocumentError
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.models import NamedModel
from celeba_gan.gan.runs.run import Run, Which
from celeba_gan.gan.sampling.control_documents import Directions
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.tracking.config import TrackingError, TrackingSettings, sqlite_file
from celeba_gan.tracking.fetch import fetch_generator

logger = logging.getLogger(__name__)

MOST_LOADED: Final = 2
_MOST_REGISTERED: Final = 50
_MODELS: Final = "data/06_models"
_OUTPUT: Final = "data/07_model_output"


@dataclass(frozen=True)
class Offer:
    """A model that can be picked; nothing but its card has been read."""

    name: str
    """For people, and how the page names it: `demo`, `demo (best)`, `models:/faces@champion`."""
    training_id: str | None
    """None: known once it is loaded."""
    images: int | None
    path: Path | None = None
    """The folder of a run; None: it is in MLflow, and `name` is its URI."""
    which: Which = "last"
    finished: bool = True
    """False: its training goes on, or was stopped."""


@dataclass(frozen=True)
class LoadedModel:
    """A generator, and what is known about it."""

    name: str
    generator: TrainedGenerator
    directions: Directions | None
    """None: there is no directions.json of this generator."""
    training_images: TrainingImages | None
    """None: the packed images that it was trained on are not in this project."""

    def owns(self, recipe: Recipe) -> bool:
        """Whether this generator made a face."""
        card = self.generator.card
        return (recipe.training_id, recipe.images) == (card.id, card.images)


@dataclass
class Models:
    """What a project offers, and the models loaded last.

    Attributes:
        project: The folder with `data`.
        tracking: Where MLflow's registry is.
        device: Where generators compute.
        offers: By their names, experiments first; `refresh` finds them.
        trouble: Why MLflow's registry is not listed; None: it is, or there is none.
    """

    project: Path
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    device: str = "cpu"
    offers: dict[str, Offer] = field(default_factory=dict)
    trouble: str | None = None
    _loaded: "OrderedDict[str, LoadedModel]" = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def refresh(self) -> list[str]:
        """Lists the models anew: their names. Damaged ones are left out, with a warning in the log."""
        found = _on_disk(self.project / _MODELS)
        try:
            found += _registered(self.tracking, self.project)
            self.trouble = None
        except Exception as error:  # MLflow, its database and the network have no common error
            self.trouble = mask_secrets(f"MLflow's models are not listed: {str(error).splitlines()[0]}")
            logger.warning("%s", self.trouble)
        with self._lock:
            self.offers = {offer.name: offer for offer in found}
        return list(self.offers)

    def load(self, name: str) -> LoadedModel:
        """The model of a name that is offered; the last two stay in memory.

        Raises:
            ExplorerError: It is not offered, or cannot be read.
        """
        offer = self.offers.get(name) if isinstance(name, str) else None
        if offer is None:
            raise ExplorerError(f"There is no model {str(name)[:100]!r} here. There are: {self.named()}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._read(offer)
                while len(self._loaded) > MOST_LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(name)
            return self._loaded[name]

    def owner(self, recipe: Recipe) -> str:
        """The name of the offered model that made a face; the one that the recipe names, if it did or that is unknown.

        Raises:
            ExplorerError: None did.
        """
        made = (recipe.training_id, recipe.images)
        names = [name for name, offer in self.offers.items() if (offer.training_id, offer.images) == made]
        named = self.offers.get(recipe.model)
        if named is not None and (recipe.model in names or named.training_id is None):
            return recipe.model
        if names:
            return names[0]
        raise ExplorerError(
            f"This face is by {recipe.model}, training {recipe.training_id[:8]} after {recipe.images:,} images, which "
            f"is not among the models here: {self.named()}"
        )

    def newest(self) -> str:
        """The experiment trained last, of finished ones if there are any; or else the first model of MLflow."""
        times = {
            name: (offer.finished, offer.path.stat().st_mtime)
            for name, offer in self.offers.items()
            if offer.path is not None and offer.which == "last"
        }
        return max(times, key=lambda name: times[name]) if times else next(iter(self.offers))

    def named(self) -> str:
        """The names, for messages."""
        return ", ".join(list(self.offers)[:20]) or "none"

    def _read(self, offer: Offer) -> LoadedModel:
        try:
            with tempfile.TemporaryDirectory(prefix="celeba_gan-") as folder:
                if offer.path is not None:
                    model = NamedModel.at(offer.path, offer.name, offer.which)
                else:
                    fetched = fetch_generator(offer.name, self.tracking, self.project, Path(folder))
                    model = NamedModel.at(fetched.file, offer.name)
                generator = TrainedGenerator(model.networks().generator, self.device)
        except (CheckpointError, TrackingError, OSError) as error:
            raise ExplorerError(f"{offer.name} cannot be loaded: {error}") from error
        directions = _find_directions(self.project / _OUTPUT, generator)
        return LoadedModel(offer.name, generator, directions, find_training_images(self.project, generator))


def _on_disk(folder: Path) -> list[Offer]:
    """The experiments; that of the best tick where it is another one."""
    found = []
    for path in sorted(folder.glob("*/")):
        try:
            cards = {which: Run(path).networks_card(which) for which in ("last", "best")}
        except (CheckpointError, OSError) as error:
            logger.warning("Ignoring %s: %s", path.name, error)
            continue
        last, best = cards["last"], cards["best"]
        if last is None:
            continue
        found.append(Offer(path.name, last.id, last.images, path, finished=last.finished))
        if best is not None and best.images != last.images:
            found.append(Offer(f"{path.name} (best)", best.id, best.images, path, "best"))
    return found


def _registered(tracking: TrackingSettings, project: Path) -> list[Offer]:
    """Models of MLflow's registry, each alias, or the newest version of a model without; nothing without a store."""
    file = sqlite_file(tracking.store_uri(project))
    if file is not None and not file.is_file():
        return []
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")  # a person waits
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # the page sends nothing anywhere
    from celeba_gan.tracking.store import TRAINING_ID, open_client

    client = open_client(tracking, project)
    found = []
    for model in client.search_registered_models(max_results=_MOST_REGISTERED):
        known = client.get_registered_model(model.name)
        versions = {f"{model.name}@{alias}": version for alias, version in sorted(known.aliases.items())}
        if not versions and known.latest_versions:
            newest = max(int(one.version) for one in known.latest_versions)
            versions = {f"{model.name}/{newest}": str(newest)}
        for name, version in versions.items():
            found.append(Offer(f"models:/{name}", *_made_by(client, model.name, version, TRAINING_ID)))
    return found


def _made_by(client: Any, name: str, version: str, training_id: str) -> tuple[str | None, int | None]:
    """The training of a registered version, and the images seen; None where it was logged by something else."""
    registered = client.get_model_version(name, version)
    match = re.fullmatch(r"models:/(m-\w+)", registered.source or "")
    model_id = registered.model_id or (match and match[1])  # a database keeps it in the source alone
    if not model_id:
        return None, None
    logged = client.get_logged_model(model_id)
    images = str(logged.params.get("images", ""))
    return logged.tags.get(training_id), int(images) if images.isdecimal() else None


def _find_directions(folder: Path, generator: TrainedGenerator) -> Directions | None:
    """The directions found for this generator; those of an earlier tick do not fit."""
    card = generator.card
    for file in sorted(folder.glob("*/directions.json")):
        try:
            found = Directions.read(file)
        except (DocumentError, OSError) as error:
            logger.warning("Ignoring %s: %s", file, error)
            continue
        if (found.training_id, found.images, found.latent_size) == (card.id, card.images, card.latent.size):
            return found
    return None
