"""Snapshots: everything a tick of training saves, in one checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_gan.gan.runs.cards import ModelCard, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.ranks.group import Ranks

if TYPE_CHECKING:
    from torch import Tensor

Snapshot = Checkpoint[RunCard]
"""Both networks, the generator's average, both optimisers and the augmentation's strength, by name."""
Network = Checkpoint[ModelCard]

SNAPSHOT, BEST = "training_state", "best_networks"  # kinds of files
_NETWORKS = {"generator": "average.", "discriminator": "discriminator."}  # of a snapshot, by prefix
WEIGHTS = ("generator.", "average.", "discriminator.")
"""The prefixes of what fine-tuning reads of a snapshot."""


@dataclass(frozen=True)
class Networks:
    """A trained pair."""

    generator: Network  # the average of the generator's weights
    discriminator: Network | None  # None where there is only a generator's file


def networks_of(card: ModelCard, tensors: "dict[str, Tensor]") -> Networks:
    """The pair inside a snapshot's tensors, both with this card."""

    def network(kind: str, prefix: str) -> Network:
        mine = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        return Network(kind, card, mine)

    return Networks(*(network(kind, prefix) for kind, prefix in _NETWORKS.items()))


def networks_from_leader(ranks: Ranks, networks: Networks | None = None) -> Networks:
    """Rank 0's pair, on all ranks; others give none."""
    found: list[Network | None] = []
    for kind in _NETWORKS:
        mine = getattr(networks, kind, None)
        card = ranks.from_leader(mine.card.to_json() if mine else None)
        if card is None:
            found.append(None)
            continue
        tensors = ranks.tensors_from_leader(mine.tensors if mine else {})
        found.append(mine or Network(kind, ModelCard.from_json(card, "rank 0's networks"), tensors))
    generator, discriminator = found
    assert generator is not None
    return Networks(generator, discriminator)


def read_networks(snapshot: Path) -> Networks:
    """Reads the pair of a snapshot's file, and nothing else of it."""
    loaded = Checkpoint.load(snapshot, SNAPSHOT, RunCard, tuple(_NETWORKS.values()))
    return networks_of(loaded.card.of_networks(), loaded.tensors)


def save_best(snapshot: Snapshot, path: Path) -> None:
    """Writes the pair of a snapshot into one file."""
    tensors = {name: tensor for name, tensor in snapshot.tensors.items() if name.startswith(tuple(_NETWORKS.values()))}
    Checkpoint(BEST, snapshot.card.of_networks(), tensors).save(path)


def read_best(path: Path) -> Networks:
    """Reads what `save_best` wrote."""
    loaded = Checkpoint.load(path, BEST, ModelCard)
    return networks_of(loaded.card, loaded.tensors)
