"""How a pair of networks is made from its settings.

Every generator maps latents (batch, latent size) to images (batch, 3, size, size): in [-1, 1], or, that of `r3`, which
ends without a tanh, in no range but what training makes of it. Every discriminator maps images, real ones being in
[-1, 1], to one score per image, (batch,), without a final nonlinearity. Both take labels (batch, classes) as a second
argument where they were built with classes.
"""

from torch import nn

from celeba_gan.gan.networks.article import ArticleDiscriminator, ArticleGenerator
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from celeba_gan.gan.networks.r3 import R3Discriminator, R3Generator
from celeba_gan.gan.networks.resnet import ResNetDiscriminator, ResNetGenerator
from celeba_gan.gan.networks.spectral_norm import add_spectral_norm


def build_generator(
    network: NetworkSettings, latent: LatentSettings, size: int, classes: int | None = None
) -> nn.Module:
    """Makes the generator with fresh weights, drawn from torch's global CPU generator.

    Args:
        network: Which pair, and its widths.
        latent: Gives the latent size.
        size: Height and width of the images in pixels.
        classes: Columns of the labels; None: an unconditional network.

    Raises:
        NetworkError: The network does not exist at this size.
    """
    network.check_size(size)
    match network.name:
        case "article":
            return ArticleGenerator(network.article, latent.size, classes)
        case "dcgan":
            return DCGANGenerator(network.dcgan, latent.size, size, classes)
        case "resnet":
            return ResNetGenerator(network.resnet, latent.size, size, classes)
        case "r3":
            return R3Generator(network.r3, latent.size, size, classes)


def build_discriminator(network: NetworkSettings, size: int, classes: int | None = None) -> nn.Module:
    """Makes the discriminator with fresh weights, drawn from torch's global CPU generator.

    Args:
        network: Which pair, its widths, and whether its weights are normalised.
        size: Height and width of the images in pixels.
        classes: Columns of the labels; None: an unconditional network.

    Raises:
        NetworkError: The network does not exist at this size.
    """
    network.check_size(size)
    discriminator = _discriminator(network, size, classes)
    return add_spectral_norm(discriminator) if network.spectral_norm else discriminator


def _discriminator(network: NetworkSettings, size: int, classes: int | None) -> nn.Module:
    match network.name:
        case "article":
            return ArticleDiscriminator(classes)
        case "dcgan":
            return DCGANDiscriminator(network.dcgan, size, classes)
        case "resnet":
            return ResNetDiscriminator(network.resnet, size, classes)
        case "r3":
            return R3Discriminator(network.r3, size, classes)
