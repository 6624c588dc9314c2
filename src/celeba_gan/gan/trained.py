"""Trained networks, rebuilt from a checkpoint's card and weights."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.gan.checkpoint import Checkpoint
from celeba_gan.gan.config import LatentSettings, NetworkSettings
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.randomness import draw_latents, random_generator


class TrainedGenerator:
    """A generator ready to sample from, in float32 on the CPU or wherever `device` says."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.card = checkpoint.card
        self.latent = LatentSettings.model_validate(self.card["latent"])
        network = NetworkSettings.model_validate(self.card["network"])
        self.module = build_generator(network, self.latent, self.card["size"])
        self.module.load_state_dict(checkpoint.tensors)
        self.module.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.device = device

    def sample(self, count: int, seed: int, batch_size: int = 64) -> Iterator[NDArray[np.uint8]]:
        """Yields batches of images, uint8 (up to batch_size, size, size, 3), `count` in all.

        Sample i depends on the seed, `count` and i alone, not on the batch size.
        """
        latents = draw_latents(self.latent, count, random_generator(seed, "samples", 0))
        for part in torch.split(latents, batch_size):
            yield self.images(part)

    def images(self, latents: Tensor) -> NDArray[np.uint8]:
        """Turns latents (batch, latent size) into images, uint8 (batch, size, size, 3)."""
        with torch.inference_mode():
            return as_uint8(self.module(latents.to(self.device)))


class TrainedDiscriminator:
    """A discriminator ready to score images, in float32."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.card = checkpoint.card
        self.module = build_discriminator(NetworkSettings.model_validate(self.card["network"]), self.card["size"])
        self.module.load_state_dict(checkpoint.tensors)
        self.module.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.device = device

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Scores of images, uint8 (batch, size, size, 3): float64 (batch,)."""
        with torch.inference_mode():
            scores: NDArray[np.float64] = (
                self.module(from_uint8(torch.from_numpy(images).to(self.device))).cpu().double().numpy()
            )
        return scores


def from_uint8(images: Tensor) -> Tensor:
    """Images uint8 (batch, height, width, 3) as float32 (batch, 3, height, width) in [-1, 1], channels last."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def as_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Images (batch, 3, height, width) in [-1, 1] as uint8 (batch, height, width, 3)."""
    pixels = images.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
    result: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return result
