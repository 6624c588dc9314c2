"""Weights of an earlier training to start a new one from: fine-tuning, on other images or with another objective."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from celeba_gan.foundation.flat import flatten
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, read_kind
from celeba_gan.gan.runs.experiments import Experiments
from celeba_gan.gan.runs.same_run import TrainingError, label_names
from celeba_gan.gan.settings import TrainSettings

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class InitialWeights:
    """The networks of an earlier training, without its optimisers and its clock."""

    source: Path
    card: dict[str, Any]
    """Of the generator, or of the training state."""
    generator: Weights
    average: Weights
    discriminator: Weights

    def origin(self) -> dict[str, Any]:
        """For the new training's cards: which training the weights come from, and how many images it had seen."""
        return {"id": self.card["id"], "images": self.card["images"]}

    def check(self, settings: TrainSettings, seen: dict[str, Any]) -> None:
        """Refuses weights of other networks than those that are asked for, naming both values of each difference.

        Args:
            settings: What is asked for.
            seen: What the cards would say of the images.

        Raises:
            TrainingError: There is a difference.
        """
        there = _described(self.card.get("identity", self.card), self.card)
        here = _described({"network": settings.network.model_dump(), "latent": settings.latent.model_dump()}, seen)
        differences = [
            f"  {name}: {there.get(name, 'absent')} there, {here.get(name, 'absent')} here"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]
        if differences:
            raise TrainingError(
                f"train.init_from: {self.source} holds other networks than those asked for:\n"
                + "\n".join(differences)
                + "\nGive the values from there, or leave train.init_from out to start from fresh weights"
            )

    def load_into(self, generator: nn.Module, average: nn.Module, discriminator: nn.Module) -> None:
        """Copies the weights into networks.

        Raises:
            CheckpointError: The file does not hold what its card says.
        """
        networks = {"generator": generator, "average": average, "discriminator": discriminator}
        for name, network in networks.items():
            try:
                network.load_state_dict(getattr(self, name))
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                raise CheckpointError(
                    f"{self.source} does not hold the {name} that its card names: {reason}"
                ) from error


def find_initial(experiments: Experiments, source: str) -> Path:
    """What `train.init_from` names.

    Raises:
        CheckpointError: There is nothing of this name.
    """
    try:
        return experiments.find(source)
    except CheckpointError as error:
        raise CheckpointError(f"train.init_from: {error}") from error


def load_initial(path: Path) -> InitialWeights:
    """Reads weights to start from.

    A training state gives the generator as it was trained and its average; a generator's file is the average, which
    then stands for both, and the discriminator is the file beside it. In an experiment's folder the state comes first.

    Args:
        path: A file, an experiment's folder, or the folder of a training state.

    Raises:
        CheckpointError: There is nothing to start from.
    """
    if path.is_dir():
        inside = ("training_state/state.safetensors", "state.safetensors", "generator.safetensors")
        file = next((path / name for name in inside if (path / name).is_file()), None)
        if file is None:
            raise CheckpointError(f"train.init_from: {path} holds neither a training state nor generator.safetensors")
        path = file
    kind = read_kind(path)
    if kind == "training_state":
        return _of_state(path)
    if kind == "generator":
        return _of_pair(path)
    raise CheckpointError(
        f"train.init_from: {path} is a {kind.replace('_', ' ')}; give a generator or a training state"
    )


def _of_state(path: Path) -> InitialWeights:
    state = Checkpoint.load(path, "training_state")
    generator, average, discriminator = (
        {name.removeprefix(f"{who}."): tensor for name, tensor in state.tensors.items() if name.startswith(f"{who}.")}
        for who in ("generator", "average", "discriminator")
    )
    return InitialWeights(path, state.card, generator, average, discriminator)


def _of_pair(path: Path) -> InitialWeights:
    beside = path.with_name(path.name.replace("generator", "discriminator"))
    if beside == path or not beside.is_file():
        raise CheckpointError(
            f"train.init_from: {path} has no discriminator beside it (discriminator.safetensors); "
            "put it there, or give the training state"
        )
    generator, discriminator = Checkpoint.load(path, "generator"), Checkpoint.load(beside, "discriminator")
    if generator.card["id"] != discriminator.card["id"]:
        raise CheckpointError(f"train.init_from: {path} and {beside} are of two trainings; put both of one there")
    return InitialWeights(path, generator.card, generator.tensors, generator.tensors, discriminator.tensors)


def _described(networks: dict[str, Any], images: dict[str, Any]) -> dict[str, Any]:
    """What decides the shapes and the meaning of all weights, by name. Fields that a card lacks had their default."""
    network = NetworkSettings.model_validate(networks["network"]).identity()
    latent = LatentSettings.model_validate(networks["latent"]).model_dump()
    kind = images["condition"]["kind"] if images.get("condition") else "none"
    return {
        **flatten({"network": network, "latent": latent}),
        "image size": images["size"],
        "condition": kind,
        "labels": label_names(images),
    }
