"""DCGAN-style networks: strided convolutions between the images and a 4x4 base."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from celeba_gan.gan.networks.config import DCGANSettings
from celeba_gan.gan.networks.layers import (
    Discriminator,
    Doubling,
    FromOnePixel,
    Generator,
    ImageScore,
    LabelledSequential,
    LeakyReLU,
    Projection,
    pixel_norm,
    widths_down_to_4,
)

SLOPE = 0.2  # of every leaky ReLU


class DCGANGenerator(Generator):
    """Transposed convolutions from a 4x4 base (Radford et al. 2016), with pixel norm in place of batch norm.

    With classes, the norms are conditional.
    """

    def __init__(self, settings: DCGANSettings, latent_size: int, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        widths = list(widths_down_to_4(settings.width, settings.max_width, size // 2))[::-1]
        layers = [FromOnePixel(latent_size, widths[0], 4), pixel_norm(widths[0], classes), LeakyReLU(SLOPE)]
        for wide, narrow in pairwise(widths):
            layers += [
                Doubling(wide, narrow),
                pixel_norm(narrow, classes),
                LeakyReLU(SLOPE),
            ]
        layers += [Doubling(widths[-1], 3), nn.Tanh()]
        self.layers = LabelledSequential(*layers)
        _initialise(self)

    def latent_matrix(self) -> Tensor:
        """The weights of the first layer that acts on the latents: (outputs, latent size), without bias."""
        first = self.layers[0]
        assert isinstance(first, FromOnePixel)
        return first.weight.flatten(1).T  # from (latent size, channels, 4, 4)

    def base(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """To the features at 4x4."""
        features: Tensor = self.layers(latents[:, :, None, None], labels, stop=3)
        return features

    def synthesize(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """To images in [-1, 1]."""
        images: Tensor = self.layers(features, labels, start=3)
        return images


class DCGANDiscriminator(Discriminator):
    """Strided convolutions down to 4x4 (Radford et al. 2016) without any norm."""

    def __init__(self, settings: DCGANSettings, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        widths = [3, *widths_down_to_4(settings.width, settings.max_width, size // 2)]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), LeakyReLU(SLOPE)]
        layers.append(ImageScore(widths[-1], 4))
        self.layers = nn.Sequential(*layers)
        _initialise(self)
        self.projection = None if classes is None else Projection(classes, widths[-1])

    def path(self) -> Sequence[nn.Module]:
        """As `Discriminator.path`."""
        return list(self.layers)[:-1]

    @property
    def score(self) -> ImageScore:  # type: ignore[override]  # it is the last of `layers`
        """As `Discriminator.score`."""
        score = self.layers[-1]
        assert isinstance(score, ImageScore)
        return score


def _initialise(network: nn.Module) -> None:
    """He initialisation: without batch norm, DCGAN's fixed 0.02 would start with vanishing activations."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            area = module.kernel_size[0] * module.kernel_size[1]
            if isinstance(module, nn.ConvTranspose2d):  # an output pixel sees only every stride-th tap
                area //= module.stride[0] * module.stride[1]
            nn.init.normal_(module.weight, std=(2 / (1 + SLOPE**2) / (module.in_channels * area)) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


generator, discriminator = DCGANGenerator, DCGANDiscriminator
