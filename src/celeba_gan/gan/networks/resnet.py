"""The residual networks of the WGAN-GP paper (Gulrajani et al. 2017, appendix): 3x3 convolutions, ReLU first.

The paper's batch norm in the generator is pixel norm or none here, since no network may mix samples. Images double
by nearest neighbours before the second convolution of a block, and halve by mean pooling after it. (The authors' code
doubles before the first convolution and the shortcut, at twice the generator's operations, and draws its weights
uniformly, scaled by inputs and outputs both.)
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from celeba_gan.gan.networks.config import ResNetSettings
from celeba_gan.gan.networks.layers import (
    Branches,
    ClassEmbedding,
    Discriminator,
    Generator,
    LabelledSequential,
    LeakyReLU,
    MeanPool,
    Projection,
    Score,
    pixel_norm,
    widths_down_to_4,
)


class UpBlock(nn.Module):
    """Doubles the resolution. The shortcut's 1x1 convolution comes first: it commutes with copying pixels."""

    def __init__(self, wide: int, narrow: int, normed: bool, classes: int | None) -> None:
        super().__init__()
        self.residual = LabelledSequential(
            *([pixel_norm(wide, classes)] if normed else []),
            LeakyReLU(0),
            nn.Conv2d(wide, narrow, 3, padding=1),
            *([pixel_norm(narrow, classes)] if normed else []),
            LeakyReLU(0),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(narrow, narrow, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(wide, narrow, 1)
        _initialise_block(self.residual, self.shortcut)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Features (batch, wide, height, width) to (batch, narrow, 2 height, 2 width)."""
        sum_: Tensor = self.residual(features, labels) + F.interpolate(self.shortcut(features), scale_factor=2)
        return sum_


class DownBlock(Branches):
    """Halves the resolution. The shortcut pools first: it commutes with the 1x1 convolution.

    A group norm of one group is layer norm over each sample, with a gain and a shift per channel.
    """

    def __init__(self, narrow: int, wide: int, normed: bool) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *([nn.GroupNorm(1, narrow)] if normed else []),
            LeakyReLU(0),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            *([nn.GroupNorm(1, narrow)] if normed else []),
            LeakyReLU(0),
            nn.Conv2d(narrow, wide, 3, padding=1),
            MeanPool(),
        )
        self.pool = MeanPool()
        self.shortcut = nn.Conv2d(narrow, wide, 1)
        _initialise_block(self.residual, self.shortcut)

    def paths(self) -> tuple[Sequence[nn.Module], Sequence[nn.Module]]:
        """As `Branches.paths`."""
        return list(self.residual), [self.pool, self.shortcut]


class ResNetGenerator(Generator):
    """Dense layer to 4x4, residual blocks up to the images' size, ReLU, 3x3 convolution, tanh.

    With classes, the norms are conditional; without norms, the dense layer sees the labels beside the latents.
    """

    def __init__(self, settings: ResNetSettings, latent_size: int, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        normed = settings.generator_norm == "pixel"
        widths = list(widths_down_to_4(settings.width, settings.max_width, size))[::-1]
        self.dense = nn.Linear(latent_size, widths[0] * 4 * 4)
        self.blocks = nn.ModuleList(UpBlock(wide, narrow, normed, classes) for wide, narrow in pairwise(widths))
        self.to_images = LabelledSequential(
            *([pixel_norm(widths[-1], classes)] if normed else []),
            LeakyReLU(0),
            nn.Conv2d(widths[-1], 3, 3, padding=1),
            nn.Tanh(),
        )
        _initialise(self.dense, 1)
        _initialise(self.to_images[-2], 1)
        self.embedding = None if classes is None or normed else ClassEmbedding(classes, widths[0] * 4 * 4)

    def latent_matrix(self) -> Tensor:
        """The weights of the first layer that acts on the latents: (outputs, latent size), without bias and labels."""
        return self.dense.weight

    def base(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """To the features at 8x8, after the first block."""
        base = self.dense(latents)
        if self.embedding is not None:  # the sum is the dense layer of latents and labels side by side
            base = base + self.embedding(labels)
        features: Tensor = self.blocks[0](base.unflatten(1, (-1, 4, 4)), labels)
        return features

    def synthesize(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """To images in [-1, 1]."""
        for block in list(self.blocks)[1:]:
            features = block(features, labels)
        images: Tensor = self.to_images(features, labels)
        return images


class ResNetDiscriminator(Discriminator):
    """3x3 convolution, residual blocks down to 4x4, one dense score."""

    def __init__(self, settings: ResNetSettings, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        normed = settings.discriminator_norm == "layer"
        widths = list(widths_down_to_4(settings.width, settings.max_width, size))
        self.from_images = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.Sequential(*(DownBlock(narrow, wide, normed) for narrow, wide in pairwise(widths)))
        self.score = Score(widths[-1] * 4 * 4)
        _initialise(self.from_images, 1)
        _initialise(self.score, 1)
        self.projection = None if classes is None else Projection(classes, widths[-1])

    def path(self) -> Sequence[nn.Module]:
        """As `Discriminator.path`."""
        return [self.from_images, *self.blocks]


def _initialise_block(residual: nn.Sequential, shortcut: nn.Conv2d) -> None:
    """He initialisation (He et al. 2015); the two paths bring half of the sum's variance each, at any depth."""
    first, second = (layer for layer in residual if isinstance(layer, nn.Conv2d))
    _initialise(first, 2)
    _initialise(second, 1)
    _initialise(shortcut, 0.5)


def _initialise(layer: nn.Module, gain: float) -> None:
    """Normal weights that multiply the mean square of their inputs by `gain`, and no biases."""
    assert isinstance(layer, (nn.Conv2d, nn.Linear))
    nn.init.normal_(layer.weight, std=(gain / layer.weight[0].numel()) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


generator, discriminator = ResNetGenerator, ResNetDiscriminator
