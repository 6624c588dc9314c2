"""Truncation: the features after a generator's first nonlinear layer are taken towards their mean."""

from typing import Final

import torch
from torch import Tensor, nn

from celeba_gan.foundation.precision import full_float32
from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
from celeba_gan.gan.networks.config import LatentSettings
from celeba_gan.gan.networks.layers import Generator, check_labels

_MEAN_OF: Final = 256  # latents


def mean_features(
    generator: Generator, latent: LatentSettings, label: Tensor | None = None, device: str = "cpu"
) -> Tensor:
    """The mean of the features of `Generator.base` over 256 latents, the same latents in every call.

    Args:
        generator: In eval mode, on the device.
        latent: The size and the distribution of its latents.
        label: Of a generator that takes labels: the label of all latents, float32 (names,), on the device.
        device: Where it computes.

    Returns:
        float32, the shape of the features of one image.
    """
    latents = draw_latents(latent, _MEAN_OF, random_generator(0, "truncation", 0)).to(device)
    given = None if label is None else label.expand(_MEAN_OF, -1)
    return generator.base(latents, given).mean(dim=0)


class TruncatedGenerator(nn.Module):
    """A generator without labels whose truncation is an input, for programs that run without this project.

    Of a generator with labels the mean depends on the labels, so that one stored mean would not do.
    """

    mean: Tensor

    def __init__(self, generator: Generator, latent: LatentSettings) -> None:
        """Stores the mean of the features.

        Args:
            generator: Takes no labels; in eval mode, on the CPU.
            latent: The size and the distribution of its latents.

        Raises:
            NetworkError: The generator takes labels.
        """
        check_labels(None, generator.classes)
        super().__init__()
        self.generator = generator
        with torch.no_grad(), full_float32():
            self.register_buffer("mean", mean_features(generator, latent).contiguous())

    def forward(self, latents: Tensor, truncation: Tensor) -> Tensor:
        """Latents (batch, latent size) and truncation (1,) in [0, 1] to images (batch, 3, size, size).

        The features become mean + truncation * (features - mean), written so that 1 changes nothing, not even by
        rounding; see `TrainedGenerator.images`.
        """
        features = self.generator.base(latents, None)
        return self.generator.synthesize(features + (1 - truncation) * (self.mean - features), None)
