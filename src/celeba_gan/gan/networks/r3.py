"""R3GAN's networks (Huang et al. 2024): residual blocks without normalisation, fix-up initialisation.

A block is an inverted bottleneck: 1x1 convolution to more channels, 3x3 in groups, 1x1 back, with leaky ReLUs and
their biases in between. Resampling goes through a low-pass filter. Between the blocks everything is linear.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from celeba_gan.gan.networks.config import R3Settings
from celeba_gan.gan.networks.layers import (
    Branches,
    ClassEmbedding,
    Discriminator,
    FixedLinear,
    Flatten,
    Generator,
    LabelledSequential,
    LeakyReLU,
    Projection,
    Score,
    widths_down_to_4,
)

SLOPE = 0.2  # of every leaky ReLU
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, Score)


class R3Block(Branches):
    """Adds an inverted bottleneck to its input; at first it adds nothing, since the last convolution starts at zero.

    Fix-up (Zhang et al. 2019): the other convolutions shrink by L^(-1/(2m-2)), with L blocks in the network and
    m = 3 convolutions in each.
    """

    def __init__(self, width: int, settings: R3Settings, blocks_in_all: int) -> None:
        super().__init__()
        inside = width * settings.expansion
        self.expand = nn.Conv2d(width, inside, 1)
        self.grouped = nn.Conv2d(inside, inside, 3, padding=1, groups=inside // settings.group_size)
        self.contract = nn.Conv2d(inside, width, 1, bias=False)
        self.rectify, self.rectify_again = LeakyReLU(SLOPE), LeakyReLU(SLOPE)
        gain = (2 / (1 + SLOPE**2)) ** 0.5 * blocks_in_all**-0.25
        for layer in (self.expand, self.grouped):
            _initialise(layer, gain)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # these two have one
        nn.init.zeros_(self.contract.weight)

    def paths(self) -> tuple[Sequence[nn.Module], Sequence[nn.Module]]:
        """As `Branches.paths`."""
        return [], [self.expand, self.rectify, self.grouped, self.rectify_again, self.contract]


class Resample(FixedLinear):
    """Doubles or halves the resolution through the low-pass filter [1, 2, 1] on copied or averaged pixels.

    Together that is [1, 3, 3, 1] in each direction, one convolution per channel; beyond the border there are zeros.
    """

    kernel: Tensor

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.up = up
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (4 if up else 8)
        self.register_buffer("kernel", torch.outer(line, line).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, height, width) to twice or half the height and width."""
        return self._convolve(features, self.up)

    def transposed(self, slopes: Tensor) -> Tensor:
        """As `FixedLinear.transposed`."""
        return self._convolve(slopes, not self.up)

    def _convolve(self, features: Tensor, up: bool) -> Tensor:
        convolve = F.conv_transpose2d if up else F.conv2d
        return convolve(features, self.kernel.to(features.dtype), stride=2, padding=1, groups=len(self.kernel))


class R3Generator(Generator):
    """A learned 4x4 basis weighted by the latents, blocks and doublings up to the images' size, one 1x1 convolution.

    The images are not squashed, as in the paper: training draws them into [-1, 1], and pixels are clamped to it. With
    classes, the first linear layer sees the labels beside the latents.
    """

    def __init__(self, settings: R3Settings, latent_size: int, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes, self.blocks = classes, settings.blocks
        widths = list(widths_down_to_4(settings.width, settings.max_width, size))[::-1]
        in_all = settings.blocks * len(widths)
        self.basis = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.weights = _initialise(nn.Linear(latent_size, widths[0], bias=False))
        layers: list[nn.Module] = []
        for before, width in zip([widths[0], *widths], widths, strict=False):
            if layers:
                layers += [*_change_width(before, width), Resample(width, up=True)]
            layers += [R3Block(width, settings, in_all) for _ in range(settings.blocks)]
        self.layers = LabelledSequential(*layers)
        self.to_images = _initialise(nn.Conv2d(widths[-1], 3, 1, bias=False))
        self.embedding = None if classes is None else ClassEmbedding(classes, widths[0])

    def latent_matrix(self) -> Tensor:
        """The weights of the first layer that acts on the latents: (outputs, latent size), without bias and labels."""
        return self.weights.weight

    def base(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """To the features at 4x4, after their blocks."""
        weights: Tensor = self.weights(latents)
        if self.embedding is not None:  # the sum is the linear layer of latents and labels side by side
            weights = weights + self.embedding(labels)
        features: Tensor = self.layers(weights[:, :, None, None] * self.basis, stop=self.blocks)
        return features

    def synthesize(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """To images about [-1, 1]."""
        images: Tensor = self.to_images(self.layers(features, start=self.blocks))
        return images


class R3Discriminator(Discriminator):
    """One 1x1 convolution, blocks and halvings down to 4x4, a 4x4 basis per channel, one linear score.

    With classes, a projection is added to the score; the authors' score is a projection alone.
    """

    def __init__(self, settings: R3Settings, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        widths = list(widths_down_to_4(settings.width, settings.max_width, size))
        in_all = settings.blocks * len(widths)
        self.from_images = _initialise(nn.Conv2d(3, widths[0], 1, bias=False))
        layers: list[nn.Module] = []
        for width, after in zip(widths, [*widths[1:], None], strict=True):
            layers += [R3Block(width, settings, in_all) for _ in range(settings.blocks)]
            if after is not None:
                layers += [Resample(width, up=False), *_change_width(width, after)]
        self.layers = nn.Sequential(*layers)
        self.basis = _initialise(nn.Conv2d(widths[-1], widths[-1], 4, groups=widths[-1], bias=False))
        self.flatten = Flatten()
        self.score = _initialise(Score(widths[-1], bias=False))
        self.projection = None if classes is None else Projection(classes, widths[-1])

    def path(self) -> Sequence[nn.Module]:
        """As `Discriminator.path`."""
        return [self.from_images, *self.layers, self.basis, self.flatten]


def _change_width(before: int, after: int) -> list[nn.Module]:
    return [] if before == after else [_initialise(nn.Conv2d(before, after, 1, bias=False))]


def _initialise(layer: Layer, gain: float = 1) -> Layer:
    """Normal weights that multiply the root mean square of their inputs by `gain`."""
    nn.init.normal_(layer.weight, std=gain / layer.weight[0].numel() ** 0.5)
    return layer


generator, discriminator = R3Generator, R3Discriminator
