"""Trained networks by the names that people give them: an experiment, its folder, or a generator's file."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from celeba_gan.gan.runs.checkpoint import CheckpointError, read_card
from celeba_gan.gan.runs.experiments import Experiments

logger = logging.getLogger(__name__)

GENERATOR, BEST_GENERATOR = "generator.safetensors", "best_generator.safetensors"


@dataclass(frozen=True)
class NamedModel:
    """Where a trained pair of networks lies; nothing but cards has been read."""

    label: str
    """For people."""
    generator: Path
    discriminator: Path | None
    """Of the same training; None where there is none."""
    card: dict[str, Any]
    """The generator's."""

    @classmethod
    def of_file(cls, path: Path, label: str) -> Self:
        """A generator's file, and the discriminator beside it if it is of the same training.

        Raises:
            CheckpointError: It is damaged, or no generator.
        """
        card = read_card(path, "generator")
        beside = path.with_name(path.name.replace("generator", "discriminator"))
        why = f"there is no {beside.name} beside {path}"
        if beside != path and beside.is_file():
            if read_card(beside, "discriminator")["id"] == card["id"]:
                return cls(label, path, beside, card)
            why = f"{beside} is of another training"
        logger.info("%s comes without its discriminator: %s", label, why)
        return cls(label, path, None, card)


def find_named_model(name: str, experiments: Experiments, *, best: bool) -> NamedModel:
    """The networks that a name means; it is first looked for among the experiments.

    Args:
        name: An experiment, a folder with networks, or a generator's file.
        experiments: Where experiments lie.
        best: Of a folder, the networks that measured best in training, where there are any.

    Raises:
        CheckpointError: There is nothing of this name, or no generator in it; the message says what there is.
    """
    path = experiments.find(name)
    if path.is_dir():
        names = (BEST_GENERATOR, GENERATOR) if best else (GENERATOR,)
        file = next((path / one for one in names if (path / one).is_file()), None)
        if file is None:
            raise CheckpointError(f"there is no {GENERATOR} in {path}; a training that has saved a tick leaves one")
        if best and file.name != BEST_GENERATOR:
            logger.info("%s has no %s: the networks of its last tick stand for it", name, BEST_GENERATOR)
        path = file
    return NamedModel.of_file(path, name)
