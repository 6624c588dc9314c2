"""Trained networks, rebuilt from a checkpoint's card and weights."""

from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from celeba_gan.foundation.pixels import from_uint8, to_uint8
from celeba_gan.foundation.precision import full_float32
from celeba_gan.foundation.wording import counted, listed
from celeba_gan.gan.inputs.conditions import conditioned, draw_grid, draw_labels, draw_samples, named_labels
from celeba_gan.gan.inputs.randomness import random_generator
from celeba_gan.gan.networks.build import build_discriminator, build_generator, generator_shapes
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import NetworkError
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.runtime.hardware import HardwareError, find_device
from celeba_gan.gan.sampling.truncation import mean_features

_DRAWN: Final = 1024  # latents in memory at a time
_MOST_MEANS: Final = 256  # combinations of labels whose means are kept


class InputError(ValueError):
    """What a generator does not take; the message says what it takes."""


class TrainedGenerator:
    """A generator ready to sample from, in float32, on any device.

    Attributes:
        module: The network as torch has it, in eval mode, without gradients; it takes latents and, where `condition` is
            not None, labels, and gives images (batch, 3, size, size) that are in [-1, 1] once they are clamped.
        card: Where it comes from, and how it is built.
        latent: The size and the distribution of its latents.
        condition: The names of its labels; None: it takes none.
        device: Where it computes.
    """

    def __init__(self, network: Network, device: str = "cpu") -> None:
        """Builds the network.

        Raises:
            CheckpointError: The weights do not belong to the card.
        """
        card = self.card = network.card
        self.latent, self.condition = card.latent, card.condition
        classes = _classes(card.condition)
        try:  # before memory is taken, whatever sizes a card claims
            expected = generator_shapes(card.network, card.latent, card.size, classes)
        except NetworkError as error:
            raise CheckpointError(f"The card is of a network that does not exist: {error}") from error
        if expected != {name: tensor.shape for name, tensor in network.tensors.items()}:
            raise CheckpointError("The weights are not those of the generator that their card describes")
        if bad := [name for name, tensor in network.tensors.items() if not torch.isfinite(tensor).all()]:
            raise CheckpointError(f"Weights are NaN or infinite: {listed(bad, 5)}")
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and overwritten at once
            self.module = build_generator(card.network, card.latent, card.size, classes)
        self.module.load_state_dict(network.tensors)
        self.module.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.to(device)

    def __repr__(self) -> str:
        size, names = self.card.size, f", labels {listed(self.names, 10)}" if self.names else ""
        trained = f"after {counted(self.card.images, 'image')} of training"
        return f"<TrainedGenerator: {self.card.network.name} {size}x{size}{names}, {trained}, on {self.device}>"

    def to(self, device: str) -> Self:
        """Moves it to a device, such as "cpu", "cuda" or "cuda:1"; returns itself.

        Raises:
            HardwareError: There is no such device on this machine; the generator stays where it is.
        """
        find_device(device.partition(":")[0], "device")
        try:
            self.module.to(device)
        except (RuntimeError, AssertionError) as error:  # as for cuda:9 where there is one
            raise HardwareError(f"device: {device} cannot be used: {str(error).splitlines()[0]}") from error
        self.device = device
        self._means: dict[tuple[float, ...], Tensor] = {}
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its labels; empty: it takes none."""
        return () if self.condition is None else self.condition.names

    def sample(
        self, count: int = 1, seed: int = 0, truncation: float = 1.0, labels: Sequence[str] | str = ()
    ) -> NDArray[np.uint8]:
        """Samples `count` images: uint8 (count, size, size, 3).

        Image i depends on the seed, the truncation, the labels and i alone; on another device, or among other images,
        it differs by one grey level at most.

        Args:
            count: How many, 0 or more; `batches` makes any number in constant memory.
            seed: 0 or more.
            truncation: In [0, 1], see `images`. Less gives more typical images, and fewer different ones.
            labels: Names of labels that all images have, as ["Male", "Smiling"] or "male+smiling"; empty: as frequent
                as among the training images.

        Raises:
            InputError: A number is out of its range.
            ConditionError: The generator knows no such label.
        """
        found = [images for images, _ in self.batches(count, seed, truncation, labels)]
        return np.concatenate(found) if found else np.zeros((0, self.card.size, self.card.size, 3), np.uint8)

    def batches(
        self,
        count: int,
        seed: int = 0,
        truncation: float = 1.0,
        labels: Sequence[str] | str = (),
        *,
        first: int = 0,
        batch_size: int = 64,
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """As `sample`, in batches: images uint8 (up to batch_size, size, size, 3) and labels float32 (..., names).

        They are images number `first` and following, `count` in all, one batch in memory at a time.
        """
        self.draw(0, seed, labels)  # what is wrong is said at once, not when the first batch is read
        _check_whole("count", count)
        _check_whole("first", first)
        _check_truncation(truncation)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size!r}; give 1 or more")
        return self._batches(count, seed, truncation, labels, first, batch_size)

    def _batches(
        self, count: int, seed: int, truncation: float, labels: Sequence[str] | str, first: int, batch_size: int
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        for start in range(first, first + count, _DRAWN):
            latents, label = self.draw(min(_DRAWN, first + count - start), seed, labels, first=start)
            for part in zip(torch.split(latents, batch_size), torch.split(label, batch_size), strict=True):
                yield self.images(*part, truncation), part[1].numpy()

    def draw(
        self, count: int, seed: int = 0, labels: Sequence[str] | str = (), *, first: int = 0
    ) -> tuple[Tensor, Tensor]:
        """What `sample` makes its images of: latents float32 (count, latent size), labels float32 (count, names)."""
        _check_whole("count", count)
        _check_whole("seed", seed)
        _check_whole("first", first)
        latents, chosen = draw_samples(self.latent, self.condition, count, seed, first)
        if names := labels.split("+") if isinstance(labels, str) and labels else list(labels):
            chosen = named_labels(self.condition, names).expand(count, -1)
        return latents, chosen

    def grid(
        self,
        rows: int = 6,
        columns: int = 10,
        seed: int = 0,
        truncation: float = 1.0,
        labels: Sequence[str] | str = (),
    ) -> NDArray[np.uint8]:
        """Samples for a grid, uint8 (rows x columns, size, size, 3): the first ones, row by row.

        Of a generator that takes labels, if none are named, each row has labels of its own, and each column the latents
        of one sample.

        Raises:
            ConditionError: The generator knows no such label.
        """
        if labels or self.condition is None:
            return self.sample(rows * columns, seed, truncation, labels)
        latents, _ = self.draw(columns, seed)
        _, label = draw_grid(self.latent, self.condition, rows, columns, random_generator(seed, "samples", 0))
        pairs = zip(torch.split(latents.repeat(rows, 1), 64), torch.split(label, 64), strict=True)
        return np.concatenate([self.images(*pair, truncation) for pair in pairs])

    def images(self, latents: ArrayLike, labels: ArrayLike | None = None, truncation: float = 1.0) -> NDArray[np.uint8]:
        """Images uint8 (batch, size, size, 3) of latents (batch, latent size) and labels (batch, names).

        Without labels, they are as frequent as among the training images, the same in every call.

        A truncation below 1 takes the features after the first nonlinear layer towards their mean, given the labels:
        f' = mean + truncation * (f - mean), as the truncation trick of Karras et al. (2019, appendix B) takes the
        output of StyleGAN's mapping network. Shorter latents would not do: what pixel norm follows, ignores length.

        Raises:
            InputError: They are no numbers, their shape is another, or one is NaN or infinite; or `truncation` is not
                in [0, 1].
        """
        _check_truncation(truncation)
        z = _as_numbers("latents", latents, self.latent.size)
        if labels is None:
            label = draw_labels(self.condition, len(z), random_generator(0, "labels", 0))
        else:
            known = ", ".join(self.names) or "it was trained without"
            label = _as_numbers(f"labels ({known})", labels, len(self.names), rows=len(z))
        if not len(z):
            return np.zeros((0, self.card.size, self.card.size, 3), np.uint8)
        with torch.inference_mode(), full_float32():
            z, label, most = z.to(self.device), label.to(self.device), self._at_once
            parts = zip(torch.split(z, most), torch.split(label, most), strict=True)
            return to_uint8(torch.cat([self._forward(*part, float(truncation)) for part in parts]))

    @property
    def _at_once(self) -> int:
        """Images that are computed together: on a CPU, few enough for its caches (benchmarks/SPEED.md, "Sampling")."""
        return 16 if self.device == "cpu" else 1024

    def _forward(self, latents: Tensor, labels: Tensor, truncation: float) -> Tensor:
        given = labels if self.names else None
        if truncation == 1:
            result: Tensor = self.module(latents, given)
            return result
        features = self.module.base(latents, given)
        mean = torch.stack([self._mean(tuple(row)) for row in labels.tolist()])
        return self.module.synthesize(mean + truncation * (features - mean), given)

    def _mean(self, label: tuple[float, ...]) -> Tensor:
        """The mean of the features of latents with a label, on the device."""
        if label not in self._means:
            if len(self._means) == _MOST_MEANS:
                self._means.pop(next(iter(self._means)))
            given = torch.tensor(label, device=self.device) if self.names else None
            self._means[label] = mean_features(self.module, self.latent, given, self.device)
        return self._means[label]


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


def _as_numbers(what: str, values: ArrayLike, columns: int, rows: int | None = None) -> Tensor:
    """As float32 (rows, columns) on the CPU, if they are finite numbers of this shape."""
    try:
        numbers = torch.as_tensor(values).detach().float().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"The generator's {what} must be numbers: {error}") from error
    if numbers.shape != (shape := (len(numbers) if rows is None and numbers.ndim else rows or 0, columns)):
        raise InputError(f"The generator's {what} have the shape {shape}, not {tuple(numbers.shape)}")
    if not torch.isfinite(numbers).all():
        row = int((~torch.isfinite(numbers)).any(dim=1).nonzero()[0])
        raise InputError(f"The generator's {what} must be finite numbers; row {row} has one that is NaN or infinite")
    return numbers


def _check_truncation(truncation: float) -> None:
    if not isinstance(truncation, Real) or isinstance(truncation, bool) or not 0 <= truncation <= 1:
        raise InputError(f"truncation is {truncation!r}; give a number in [0, 1]; 1 is no truncation")


def _check_whole(what: str, number: object) -> None:
    if not isinstance(number, Integral) or isinstance(number, bool) or number < 0:
        raise InputError(f"{what} is {number!r}; give a whole number, 0 or more")


def _classes(condition: Condition | None) -> int | None:
    return None if condition is None else len(condition.names)
