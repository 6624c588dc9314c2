"""The article's own pair of networks at 112x112, corrected where it cannot work as printed.

The generator ends in tanh, so images are in [-1, 1]; batch norm trains with batch statistics; the last pooling of
the discriminator keeps one pixel.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from celeba_gan.gan.networks.config import ArticleSettings
from celeba_gan.gan.networks.layers import (
    ClassEmbedding,
    Discriminator,
    Generator,
    LabelledSequential,
    LeakyReLU,
    LocalResponseNorm,
    Projection,
    Score,
)

SLOPE = 0.2  # of every leaky ReLU


class ArticleGenerator(Generator):
    """Dense layer to 7x7, batch norm, and four 5x5 transposed convolutions of stride 2, up to 112x112.

    Batch norm mixes the samples of a batch: the one exception to this project's rule, because the article has it.
    With classes, the dense layer sees the labels beside the latents.
    """

    def __init__(self, settings: ArticleSettings, latent_size: int, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.width = settings.width
        self.dense = nn.Linear(latent_size, 7 * 7 * self.width)
        layers: list[nn.Module] = [nn.BatchNorm2d(self.width), nn.LeakyReLU(SLOPE)]
        width = self.width
        for _ in range(3):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 5, stride=2, padding=2, output_padding=1),
                nn.BatchNorm2d(width // 2),
                nn.LeakyReLU(SLOPE),
            ]
            width //= 2
        layers += [nn.ConvTranspose2d(width, 3, 5, stride=2, padding=2, output_padding=1), nn.Tanh()]
        self.layers = LabelledSequential(*layers)
        _initialise(self)
        self.embedding = None if classes is None else ClassEmbedding(classes, 7 * 7 * self.width)

    def latent_matrix(self) -> Tensor:
        """The weights of the first layer that acts on the latents: (outputs, latent size), without bias and labels."""
        return self.dense.weight

    def base(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """To the features at 7x7."""
        base = self.dense(latents)
        if self.embedding is not None:  # the sum is the dense layer of latents and labels side by side
            base = base + self.embedding(labels)
        features: Tensor = self.layers(base.unflatten(1, (self.width, 7, 7)), stop=2)
        return features

    def synthesize(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """To images (batch, 3, 112, 112) in [-1, 1]."""
        images: Tensor = self.layers(features, start=2)
        return images


class ArticleDiscriminator(Discriminator):
    """Four 5x5 convolutions of stride 2, each with local response norm and 2x2 pooling, then one score.

    Sizes: 112, 56 -> 28, 14 -> 7, 4 -> 2, 1 -> 1. The fourth pooling would shrink 1x1 below one pixel; it is an
    average pooling with `ceil_mode`, which keeps it.
    """

    def __init__(self, settings: ArticleSettings, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        widths = [3, *(settings.discriminator_width * factor for factor in (1, 2, 4, 8))]
        layers: list[nn.Module] = []
        for index, (narrow, wide) in enumerate(pairwise(widths)):
            last = index == len(widths) - 2
            layers += [
                nn.Conv2d(narrow, wide, 5, stride=2, padding=2),
                LeakyReLU(SLOPE),
                LocalResponseNorm(wide, radius=5, alpha=1e-4, beta=0.75, bias=2.0),
                nn.AvgPool2d(2, ceil_mode=True) if last else nn.MaxPool2d(2),
            ]
        self.layers = nn.Sequential(*layers)
        self.score = Score(widths[-1])
        _initialise(self)
        self.projection = None if classes is None else Projection(classes, widths[-1])

    def path(self) -> Sequence[nn.Module]:
        """As `Discriminator.path`."""
        return list(self.layers)


def _initialise(network: nn.Module) -> None:
    """Normal weights of deviation 0.02 (Radford et al. 2016), as is usual beside batch norm."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


generator, discriminator = ArticleGenerator, ArticleDiscriminator
