"""Trained networks, rebuilt from a checkpoint's card and weights."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.foundation.pixels import from_uint8, to_uint8
from celeba_gan.foundation.precision import full_float32
from celeba_gan.gan.inputs.conditions import conditioned, draw_grid, draw_labels, draw_samples, named_labels
from celeba_gan.gan.inputs.randomness import random_generator
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.runs.snapshot import Network


class InputError(ValueError):
    """Latents or labels that a generator does not take; the message says what it takes."""


class TrainedGenerator:
    """A generator ready to sample from, in float32, on any device."""

    def __init__(self, network: Network, device: str = "cpu") -> None:
        card = self.card = network.card
        self.latent, self.condition = card.latent, card.condition
        self.module = build_generator(card.network, card.latent, card.size, _classes(card.condition))
        self.module.load_state_dict(network.tensors)
        self.module.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.device = device

    def sample(
        self, count: int, seed: int, batch_size: int = 64, labels: Sequence[str] = ()
    ) -> Iterator[NDArray[np.uint8]]:
        """Yields batches of images, uint8 (up to batch_size, size, size, 3), `count` in all.

        Sample i depends on the seed, `count`, the labels and i alone, not on the batch size. All samples have the named
        labels; with none, labels are as frequent as among the training images.

        Raises:
            ConditionError: The generator knows no such label.
        """
        for images, _ in self.sample_labelled(count, seed, batch_size, labels):
            yield images

    def sample_labelled(
        self, count: int, seed: int, batch_size: int = 64, labels: Sequence[str] = ()
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """As `sample`, with the labels of each batch, float32 (up to batch_size, names): zeros and ones."""
        latents, chosen = draw_samples(self.latent, self.condition, count, seed)
        if labels:
            chosen = named_labels(self.condition, labels).expand(count, -1)
        for z, label in zip(torch.split(latents, batch_size), torch.split(chosen, batch_size), strict=True):
            yield self.images(z, label), label.numpy()

    def grid(self, rows: int, columns: int, seed: int, labels: Sequence[str] = ()) -> NDArray[np.uint8]:
        """Samples for a grid, uint8 (rows x columns, size, size, 3): with labels, each row has its own.

        Raises:
            ConditionError: The generator knows no such label.
        """
        if labels or self.condition is None:
            return np.concatenate(list(self.sample(rows * columns, seed, labels=labels)))
        latents, label = draw_grid(self.latent, self.condition, rows, columns, random_generator(seed, "samples", 0))
        pairs = zip(torch.split(latents, 64), torch.split(label, 64), strict=True)
        return np.concatenate([self.images(*pair) for pair in pairs])

    def images(self, latents: Tensor, labels: Tensor | None = None) -> NDArray[np.uint8]:
        """Images uint8 (batch, size, size, 3) of latents (batch, latent size) and labels (batch, names), both float32.

        Without labels, they are as frequent as among the training images, the same in every call.

        Raises:
            InputError: Their shape is another, or a number is NaN or infinite.
        """
        names = [] if self.condition is None else self.condition.names
        _check("latents", latents, (len(latents), self.latent.size))
        if labels is not None:
            _check(f"labels ({', '.join(names) or 'it was trained without'})", labels, (len(latents), len(names)))
        if labels is None:
            labels = draw_labels(self.condition, len(latents), random_generator(0, "labels", 0))
        with torch.inference_mode(), full_float32():
            return to_uint8(conditioned(self.module, labels.to(self.device))(latents.to(self.device)))


class TrainedDiscriminator:
    """A discriminator ready to score images, in float32."""

    def __init__(self, network: Network, device: str = "cpu") -> None:
        card = self.card = network.card
        self.module = build_discriminator(card.network, card.size, _classes(card.condition))
        self.module.load_state_dict(network.tensors)
        self.module.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.device = device

    def scores(self, images: NDArray[np.uint8], labels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores float64 (batch,) of images uint8 (batch, size, size, 3) with labels float32 (batch, names or 0)."""
        with torch.inference_mode(), full_float32():
            discriminator = conditioned(self.module, torch.from_numpy(labels).to(self.device))
            scores = discriminator(from_uint8(torch.from_numpy(images).to(self.device)))
        result: NDArray[np.float64] = scores.cpu().double().numpy()
        return result


def _check(what: str, numbers: Tensor, shape: tuple[int, int]) -> None:
    if numbers.shape != shape:
        raise InputError(f"The generator's {what} have the shape {shape}, not {tuple(numbers.shape)}")
    if not torch.isfinite(numbers).all():
        row = int((~torch.isfinite(numbers)).any(dim=1).nonzero()[0])
        raise InputError(f"The generator's {what} must be finite numbers; row {row} has one that is NaN or infinite")


def _classes(condition: Condition | None) -> int | None:
    return None if condition is None else len(condition.names)
