"""Weights of an earlier training to start a new one from: fine-tuning, on other images or with another objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import ImagesCard, ModelCard, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, read_kind
from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.runs.resume import TrainingError, label_names, list_differences
from celeba_gan.gan.runs.run import Run, read_exported
from celeba_gan.gan.runs.snapshot import SNAPSHOT, WEIGHTS, Snapshot

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights = dict[str, "Tensor"]
_INSIDE = ("state.safetensors", "generator.safetensors")


@dataclass(frozen=True)
class InitialWeights:
    """The networks of an earlier training, without its optimisers and its clock."""

    source: Path | str  # a file, or the name in a registry
    card: ModelCard
    weights: dict[str, Weights]  # of `generator`, `average` and `discriminator`

    def check(self, network: NetworkSettings, latent: LatentSettings, images: ImagesCard) -> None:
        """Raises TrainingError for weights of other networks than those requested, with each difference."""
        there = _described(self.card.network, self.card.latent, self.card.size, self.card.condition)
        here = _described(network, latent, images.size, images.condition)
        if differences := list_differences(there, here, "there", "here"):
            raise TrainingError(
                f"train.init_from: {self.source} holds other networks than those requested:\n"
                + "\n".join(differences)
                + "\nGive the values from there, or leave train.init_from out to start from fresh weights"
            )

    def load_into(self, networks: Mapping[str, "nn.Module"]) -> None:
        """Copies the weights into networks by name, or raises CheckpointError if they are not what their card says."""
        for name, network in networks.items():
            try:
                network.load_state_dict(self.weights[name])
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                raise CheckpointError(
                    f"{self.source} does not hold the {name} that its card describes: {reason}"
                ) from error


def load_initial(experiments: Experiments, source: str) -> InitialWeights:
    """Reads the weights that `train.init_from` names: all that `Experiments` finds, or a folder of snapshots.

    A snapshot gives the generator as it was trained and its average; a generator's file is the average, which then
    serves as both, and the discriminator is the file beside it. In an experiment's folder the snapshot comes first.

    Raises:
        CheckpointError: There is nothing to start from.
    """
    try:
        path = experiments.find(source)
    except CheckpointError as error:
        raise CheckpointError(f"train.init_from: {error}") from error
    if path.is_dir():
        run = Run(path)
        if (found := (Run(path.parent) if path.name == run.snapshots.name else run).newest_weights()) is not None:
            return _of_snapshot(*found)
        file = next((path / name for name in _INSIDE if (path / name).is_file()), None)
        if file is None:
            raise CheckpointError(f"train.init_from: {path} holds neither a snapshot nor generator.safetensors")
        path = file
    kind = read_kind(path)
    if kind == SNAPSHOT:
        return _of_snapshot(path, Checkpoint.load(path, SNAPSHOT, RunCard, WEIGHTS))
    if kind != "generator":
        raise CheckpointError(f"train.init_from: {path} is a {kind.replace('_', ' ')}; give a generator or a snapshot")
    pair = read_exported(path)
    if pair.discriminator is None:
        raise CheckpointError(
            f"train.init_from: {path} has no discriminator of the same training beside it "
            "(discriminator.safetensors); put it there, or give the snapshot"
        )
    average = pair.generator.tensors
    weights = {"generator": average, "average": average, "discriminator": pair.discriminator.tensors}
    return InitialWeights(source if experiments.is_elsewhere(source) else path, pair.generator.card, weights)


def _of_snapshot(path: Path, snapshot: Snapshot) -> InitialWeights:
    weights: dict[str, Weights] = {"generator": {}, "average": {}, "discriminator": {}}
    for name, tensor in snapshot.tensors.items():
        network, _, key = name.partition(".")
        weights[network][key] = tensor
    return InitialWeights(path, snapshot.card, weights)


def _described(
    network: NetworkSettings, latent: LatentSettings, size: int, condition: Condition | None
) -> dict[str, object]:
    """What decides the shapes and the meaning of all weights, by name."""
    return {
        "network": network.identity(),
        "latent": latent,
        "image size": size,
        "condition": condition.kind if condition else "none",
        "labels": label_names(condition),
    }
