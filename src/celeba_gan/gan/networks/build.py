"""How a pair of networks is made from its settings.

Every generator maps latents (batch, latent size) to images (batch, 3, size, size): in [-1, 1], or, that of `r3`, which
ends without a tanh, in no range but what training makes of it. Every discriminator maps images, real ones being in
[-1, 1], to one score per image, (batch,), without a final nonlinearity. Both take labels (batch, classes) as a second
argument where they were built with classes.
"""

from importlib import import_module
from types import ModuleType

from torch import Tensor, nn

from celeba_gan.gan.networks.config import LatentSettings, NetworkError, NetworkSettings
from celeba_gan.gan.networks.layers import Generator
from celeba_gan.gan.networks.spectral_norm import add_spectral_norm


def build_generator(
    network: NetworkSettings, latent: LatentSettings, size: int, classes: int | None = None
) -> Generator:
    """Makes the generator with fresh weights, drawn from torch's global CPU generator.

    Its images are `size` pixels high and wide; `classes` are the columns of the labels, None: unconditional.

    Raises:
        NetworkError: The network does not exist at this size.
    """
    network.check_size(size)
    generator: Generator = _module(network).generator(network.family, latent.size, size, classes)
    return generator


def latent_matrix(generator: nn.Module) -> Tensor:
    """The weights of the first layer of a generator that acts on the latents: (outputs, latent size).

    The generators of this package name it by a method `latent_matrix`. The layer's output is this matrix times the
    latents, plus what does not depend on them: a bias, and an embedding of the labels.

    Raises:
        NetworkError: The generator has no such method.
    """
    method = getattr(generator, "latent_matrix", None)
    if method is None:
        raise NetworkError(
            f"{type(generator).__name__} does not name the first layer that acts on its latents: give it a method "
            "latent_matrix() that returns the layer's weights, (outputs, latent size)"
        )
    matrix: Tensor = method()
    return matrix


def build_discriminator(network: NetworkSettings, size: int, classes: int | None = None) -> nn.Module:
    """Makes the discriminator, with spectral norm where the settings have it; otherwise as `build_generator`."""
    network.check_size(size)
    discriminator: nn.Module = _module(network).discriminator(network.family, size, classes)
    return add_spectral_norm(discriminator) if network.spectral_norm else discriminator


def _module(network: NetworkSettings) -> ModuleType:
    """The module of the chosen family; what it defines, see `FamilySettings`."""
    return import_module(f"{__package__}.{network.name}")
