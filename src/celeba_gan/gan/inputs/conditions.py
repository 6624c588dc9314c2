"""Labels of conditional networks: the class or the attributes of each image, as zeros and ones."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.foundation.params import params_option
from celeba_gan.foundation.wording import listed
from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings

MOST_SETS = 4096  # combinations of labels that a card lists
_BLOCK = 1024  # samples that are drawn together


class ConditionError(ValueError):
    """A generator does not know a requested label; the message lists those it knows."""


@dataclass(frozen=True)
class Conditions:
    """Names of the labels, and those of every packed image; no names: unconditional networks."""

    kind: Literal["none", "class", "attributes"]
    names: Sequence[str]
    values: NDArray[np.integer[Any]]  # numbers of classes (images,), or zeros and ones (images, names)

    @classmethod
    def none(cls) -> Self:
        """No labels."""
        return cls("none", (), np.zeros((0, 0), np.int8))

    def labels(self, indices: Tensor) -> Tensor:
        """Labels of images, by their indices int64 (batch,): float32 (batch, names), zeros and ones."""
        if not self.names:
            return torch.zeros(len(indices), 0)
        values = torch.from_numpy(self.values[indices.numpy()].astype(np.int64))
        return (F.one_hot(values, len(self.names)) if values.ndim == 1 else values).float()

    def of(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """As `labels`, with arrays."""
        result: NDArray[np.float32] = self.labels(torch.from_numpy(indices)).numpy()
        return result

    def card(self, start: int, stop: int) -> Condition | None:
        """For the cards of networks: the names, and how often images [start, stop) have each combination of them.

        Where there are more than `MOST_SETS` combinations, as many images drawn at random represent all. None where
        there are no names.
        """
        if not self.names or self.kind == "none":
            return None
        values = self.values[start:stop]
        digest = hashlib.blake2b(np.ascontiguousarray(values).astype("<i4").tobytes(), digest_size=16).hexdigest()
        sets, counts = _combinations(values)
        if len(sets) > MOST_SETS:
            chosen = torch.randperm(len(values), generator=random_generator(0, "label sets", 0))[:MOST_SETS]
            sets, counts = _combinations(values[chosen.numpy()])
        columns = tuple((int(row),) if values.ndim == 1 else tuple(np.flatnonzero(row).tolist()) for row in sets)
        return Condition(kind=self.kind, names=tuple(self.names), sets=columns, counts=counts.tolist(), digest=digest)


def _combinations(values: NDArray[np.integer[Any]]) -> tuple[NDArray[np.integer[Any]], NDArray[np.int64]]:
    """The different rows, in order, and how often each is there; rows of bits sort as bytes, many times faster."""
    if values.ndim == 1:
        return np.unique(values, return_counts=True)
    bits = np.ascontiguousarray(np.packbits(values != 0, axis=1))
    _, first, counts = np.unique(bits.view(f"V{bits.shape[1]}").ravel(), return_index=True, return_counts=True)
    return values[first], counts


def draw_labels(condition: Condition | None, count: int, generator: torch.Generator) -> Tensor:
    """Labels as frequent as in training: float32 (count, names), (count, 0) without a condition."""
    if condition is None or count == 0:
        return torch.zeros(count, len(condition.names) if condition else 0)
    weights = torch.tensor(condition.counts, dtype=torch.float64)
    chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
    numbers, places = torch.unique(chosen, return_inverse=True)
    return torch.stack([_label(condition, number) for number in numbers.tolist()])[places]


def draw_samples(
    latent: LatentSettings, condition: Condition | None, count: int, seed: int, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Latents (count, latent size) and labels (count, names) of samples number `first` and following.

    Sample i is a function of the seed and i alone. Samples are drawn in blocks, each with a generator of its own. (One
    for each sample would repeat itself: of 65,000 CPU generators, whose seeds have 32 bits, two are likely the same.)
    """
    latents, labels = [torch.zeros(0, latent.size)], [torch.zeros(0, len(condition.names) if condition else 0)]
    for block in range(first // _BLOCK, -(-(first + count) // _BLOCK)):
        part = slice(max(first - block * _BLOCK, 0), min(first + count - block * _BLOCK, _BLOCK))
        latents.append(draw_latents(latent, _BLOCK, random_generator(seed, "samples", block))[part])
        labels.append(draw_labels(condition, _BLOCK, random_generator(seed, "labels", block))[part])
    return torch.cat(latents), torch.cat(labels)


def grid_names(condition: Condition | None, rows: int) -> list[str]:
    """What the rows of `draw_grid` show: the names that are 1 in each; empty without a condition."""
    if condition is None:
        return []
    sets = [condition.sets[number] for number in _chosen(condition, rows)]
    return [" + ".join(condition.names[column] for column in columns) or "none" for columns in sets]


def draw_grid(
    latent: LatentSettings, condition: Condition | None, rows: int, columns: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Latents (rows x columns, latent size) and labels (rows x columns, names) of a grid, row by row.

    With a condition each row has one combination of labels, in turn, or evenly chosen where there are more of them
    than rows, and the latents of a column are the same in all rows: only the labels differ.
    """
    if condition is None:
        return draw_latents(latent, rows * columns, generator), torch.zeros(rows * columns, 0)
    labels = torch.stack([_label(condition, number) for number in _chosen(condition, rows)])
    return draw_latents(latent, columns, generator).repeat(rows, 1), labels.repeat_interleave(columns, dim=0)


def named_labels(condition: Condition | None, requested: Sequence[str], setting: str = "labels") -> Tensor:
    """A label, float32 (names,), with the requested attributes, or parts of one class's name, at 1 and others at 0.

    Names may differ in case, and have blanks for underscores, where that leaves one. Messages name the `setting` that
    requested them.

    Raises:
        ConditionError: The network knows no such name, or several, or takes no labels.
    """
    if condition is None:
        raise ConditionError(
            f"{setting}={'+'.join(requested)}: this generator takes no labels; leave it "
            "empty, or train one that does (train.condition.name is class or attributes)"
        )
    names = condition.names
    wanted = [requested] if condition.kind == "class" else [[name] for name in requested]
    label = torch.zeros(len(names))
    label[[names.index(_find(parts, names, setting)) for parts in wanted]] = 1
    return label


def _find(parts: Sequence[str], names: Sequence[str], setting: str) -> str:
    """The name with these parts: the exact one, or else the only one with the same parts in any order, or alike."""
    exact = {"+".join(parts), " + ".join(parts)} & set(names)  # `R+B` on a command line arrives as R and B
    if len(exact) == 1:
        return exact.pop()
    key = _parts("+".join(parts))
    alike = [name for name in names if _parts(name) == key]
    alike = alike or [name for name in names if _folded(name) == _folded("+".join(parts))]
    if not alike:
        raise ConditionError(f"{setting}: this generator knows no {' + '.join(key)!r}. There are: {listed(names, 50)}")
    if len(alike) > 1:
        exactly = f"labels={alike[:1]}" if setting == "labels" else params_option({setting: alike[:1]})
        raise ConditionError(
            f"{setting}: {' + '.join(parts)!r} can be {' or '.join(map(repr, alike))}. Give the exact name in "
            f"brackets, as in {exactly}"
        )
    return alike[0]


def conditioned(network: Callable[..., Tensor], labels: Tensor) -> Callable[[Tensor], Tensor]:
    """A network as a function of its first argument alone: of latents, or of images.

    Labels are (batch, names), or (batch, 0) for a network that takes none. They are repeated for inputs that are
    several batches after each other.
    """
    if not labels.shape[1]:
        return network
    return lambda inputs: network(inputs, labels.repeat(len(inputs) // len(labels), 1))


def _chosen(condition: Condition, rows: int) -> list[int]:
    """Which combination each row of a grid has."""
    known = len(condition.sets)
    return [row * known // rows if known > rows else row % known for row in range(rows)]


def _label(condition: Condition, number: int) -> Tensor:
    """A combination, float32 (names,)."""
    label = torch.zeros(len(condition.names))
    label[list(condition.sets[number])] = 1  # a tuple would index dimensions
    return label


def _parts(name: str) -> tuple[str, ...]:
    """A class's name is its attributes with plus signs between; neither their order nor blanks matter."""
    return tuple(sorted(part.strip() for part in name.split("+")))


def _folded(name: str) -> tuple[str, ...]:
    """As `_parts`, without case, and with underscores for blanks."""
    return tuple(sorted("_".join(part.casefold().split()) for part in _parts(name)))
