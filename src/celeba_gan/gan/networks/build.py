"""How a pair of networks is made from its settings.

Every generator maps latents (batch, latent size) to images (batch, 3, size, size) in [-1, 1]; every discriminator
maps such images to one score per image, (batch,), without a final nonlinearity.
"""

from torch import nn

from celeba_gan.gan.config import LatentSettings
from celeba_gan.gan.network_settings import NetworkSettings
from celeba_gan.gan.networks.article import ArticleDiscriminator, ArticleGenerator
from celeba_gan.gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator


def build_generator(network: NetworkSettings, latent: LatentSettings, size: int) -> nn.Module:
    """Makes the generator with fresh weights, drawn from torch's global CPU generator.

    Args:
        network: Which pair, and its widths.
        latent: Gives the latent size.
        size: Height and width of the images in pixels.

    Raises:
        NetworkError: The network does not exist at this size.
    """
    network.check_size(size)
    if network.name == "article":
        return ArticleGenerator(network.article, latent.size)
    return DCGANGenerator(network.dcgan, latent.size, size)


def build_discriminator(network: NetworkSettings, size: int) -> nn.Module:
    """Makes the discriminator with fresh weights, drawn from torch's global CPU generator.

    Args:
        network: Which pair, and its widths.
        size: Height and width of the images in pixels.

    Raises:
        NetworkError: The network does not exist at this size.
    """
    network.check_size(size)
    if network.name == "article":
        return ArticleDiscriminator()
    return DCGANDiscriminator(network.dcgan, size)
