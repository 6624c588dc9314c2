"""Trained models by the names that people give them: an experiment, its folder, or a generator's file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from celeba_gan.foundation.paths import start_of
from celeba_gan.foundation.wording import listed
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import CheckpointError, read_card
from celeba_gan.gan.runs.run import Run, Which, read_exported
from celeba_gan.gan.runs.snapshot import Networks


class Registry(Protocol):
    """Models that are kept elsewhere, and downloaded by their names there."""

    def holds(self, name: str) -> bool:
        """Whether a name is of the registry's form."""

    def fetch(self, name: str) -> Path:
        """Downloads a model: its generator's file, with the discriminator beside it, or a CheckpointError."""


@dataclass(frozen=True)
class Experiments:
    """A folder of experiments, each a folder with its networks and its snapshots; and perhaps a registry."""

    folder: Path
    registry: Registry | None = None

    def is_elsewhere(self, source: str) -> bool:
        """Whether a name is that of a model in the registry."""
        return self.registry is not None and self.registry.holds(source)

    def find(self, source: str) -> Path:
        """An experiment by its name, any other file or folder, or a model of a registry, which is downloaded.

        Raises:
            CheckpointError: There is nothing of this name.
        """
        if self.registry is not None and self.registry.holds(source):
            return self.registry.fetch(source)
        # `.` in the folder of experiments would be all of them.
        places = [] if source in ("", ".", "..") else [self.folder / source]
        places += [Path(source).expanduser()] if source else []
        for path in places:
            if path.exists():
                return path
        files = [*self.folder.glob("*/generator.safetensors"), *self.folder.glob("*/training_state")]
        names = sorted({file.parent.name for file in files})
        raise CheckpointError(
            f"there is no experiment, file or folder {source!r}.{start_of(source)} "
            f"Experiments in {self.folder}: {listed(names, 20) or 'none'}"
        )


@dataclass(frozen=True)
class NamedModel:
    """A model that was found; only its card has been read."""

    label: str  # for people
    path: Path  # the folder of a run, or a generator's file
    card: ModelCard  # the generator's
    which: Which = "last"  # of a run's ticks

    @classmethod
    def at(cls, path: Path, label: str, which: Which = "last") -> "NamedModel":
        """The model in a folder with networks, of its last or best tick, or in a generator's file.

        Raises:
            CheckpointError: There is no generator.
        """
        if path.is_file():
            return cls(label, path, read_card(path, "generator", ModelCard))
        card = Run(path).networks_card(which)
        if card is None:
            raise CheckpointError(
                f"there is no generator.safetensors in {path}; a training writes one at its first tick"
            )
        return cls(label, path, card, which)

    def networks(self) -> Networks:
        """Reads the networks.

        Raises:
            CheckpointError: A file is damaged.
        """
        return read_exported(self.path) if self.path.is_file() else Run(self.path).networks(self.which)
