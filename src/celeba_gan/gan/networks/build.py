"""How a pair of networks is made from its settings.

Every generator maps latents (batch, latent size) to images (batch, 3, size, size): in [-1, 1], or, that of `r3`, which
ends without a tanh, in no range but what training makes of it. Every discriminator maps images, real ones being in
[-1, 1], to one score per image, (batch,), without a final nonlinearity. Both take labels (batch, classes) as a second
argument where they were built with classes.
"""

from importlib import import_module
from typing import Protocol, cast

from torch import nn

from celeba_gan.gan.networks.config import FamilySettings, LatentSettings, NetworkSettings
from celeba_gan.gan.networks.spectral_norm import add_spectral_norm


class Family(Protocol):
    """What the module of a family defines."""

    def generator(self, settings: FamilySettings, latent_size: int, size: int, classes: int | None) -> nn.Module:
        """The generator, with fresh weights."""

    def discriminator(self, settings: FamilySettings, size: int, classes: int | None) -> nn.Module:
        """The discriminator, with fresh weights."""


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
    return _family(network).generator(network.family, latent.size, size, classes)


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
    discriminator = _family(network).discriminator(network.family, size, classes)
    return add_spectral_norm(discriminator) if network.spectral_norm else discriminator


def _family(network: NetworkSettings) -> Family:
    return cast(Family, import_module(f"{__package__}.{network.name}"))
