"""Weights of an earlier training to start a new one from: fine-tuning, on other images or with another objective."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_gan.foundation.flat import flatten
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import ImagesCard, ModelCard, Origin, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, read_kind
from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.runs.resume import TrainingError, label_names
from celeba_gan.gan.runs.snapshot import SNAPSHOT
from celeba_gan.gan.settings import TrainSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights = dict[str, "Tensor"]
_INSIDE = ("training_state/state.safetensors", "state.safetensors", "generator.safetensors")


@dataclass(frozen=True)
class InitialWeights:
    """The networks of an earlier training, without its optimisers and its clock."""

    source: Path
    card: ModelCard
    weights: dict[str, Weights]
    """Of `generator`, `average` and `discriminator`."""

    def origin(self) -> Origin:
        """Which training the weights come from, for the new training's cards."""
        return Origin(id=self.card.id, images=self.card.images)

    def check(self, settings: TrainSettings, images: ImagesCard) -> None:
        """Refuses weights of other networks than those requested, naming both values of each difference.

        Args:
            settings: Of the new training.
            images: The training images, as the networks see them.

        Raises:
            TrainingError: There is a difference.
        """
        there = _described(self.card.network, self.card.latent, self.card.size, self.card.condition)
        here = _described(settings.network, settings.latent, images.size, images.condition)
        differences = [
            f"  {name}: {there.get(name, 'absent')} there, {here.get(name, 'absent')} here"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]
        if differences:
            raise TrainingError(
                f"train.init_from: {self.source} holds other networks than those requested:\n"
                + "\n".join(differences)
                + "\nGive the values from there, or leave train.init_from out to start from fresh weights"
            )

    def load_into(self, **networks: "nn.Module") -> None:
        """Copies the weights into networks, by the names in `weights`.

        Raises:
            CheckpointError: The file does not hold what its card says.
        """
        for name, network in networks.items():
            try:
                network.load_state_dict(self.weights[name])
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                raise CheckpointError(
                    f"{self.source} does not hold the {name} that its card describes: {reason}"
                ) from error


def load_initial(experiments: Experiments, source: str) -> InitialWeights:
    """Reads weights to start from.

    A snapshot gives the generator as it was trained and its average; a generator's file is the average, which then
    serves as both, and the discriminator is the file beside it. In an experiment's folder the snapshot comes first.

    Args:
        experiments: Where experiments are.
        source: `train.init_from`: an experiment, its folder, the folder of its snapshots, or a file.

    Raises:
        CheckpointError: There is nothing to start from.
    """
    try:
        path = experiments.find(source)
    except CheckpointError as error:
        raise CheckpointError(f"train.init_from: {error}") from error
    if path.is_dir():
        file = next((path / name for name in _INSIDE if (path / name).is_file()), None)
        if file is None:
            raise CheckpointError(f"train.init_from: {path} holds neither a snapshot nor generator.safetensors")
        path = file
    kind = read_kind(path)
    if kind == SNAPSHOT:
        snapshot = Checkpoint.load(path, SNAPSHOT, RunCard, ("generator.", "average.", "discriminator."))
        weights: dict[str, Weights] = {"generator": {}, "average": {}, "discriminator": {}}
        for name, tensor in snapshot.tensors.items():
            network, _, key = name.partition(".")
            weights[network][key] = tensor
        return InitialWeights(path, snapshot.card, weights)
    if kind == "generator":
        return _of_pair(path)
    raise CheckpointError(f"train.init_from: {path} is a {kind.replace('_', ' ')}; give a generator or a snapshot")


def _of_pair(path: Path) -> InitialWeights:
    beside = path.with_name(path.name.replace("generator", "discriminator"))
    if beside == path or not beside.is_file():
        raise CheckpointError(
            f"train.init_from: {path} has no discriminator beside it (discriminator.safetensors); "
            "put it there, or give the snapshot"
        )
    generator = Checkpoint.load(path, "generator", ModelCard)
    discriminator = Checkpoint.load(beside, "discriminator", ModelCard)
    if generator.card.id != discriminator.card.id:
        raise CheckpointError(f"train.init_from: {path} and {beside} belong to two trainings; put both of one there")
    weights = {
        "generator": generator.tensors,
        "average": generator.tensors,
        "discriminator": discriminator.tensors,
    }
    return InitialWeights(path, generator.card, weights)


def _described(
    network: NetworkSettings, latent: LatentSettings, size: int, condition: Condition | None
) -> dict[str, object]:
    """What decides the shapes and the meaning of all weights, by name."""
    return {
        **flatten({"network": network.identity(), "latent": latent}),
        "image size": size,
        "condition": condition.kind if condition else "none",
        "labels": label_names(condition),
    }
