"""How a pair of networks is made from its settings.

Every generator maps latents (batch, latent size) to images (batch, 3, size, size): in [-1, 1], or, that of `r3`, which
ends without a tanh, in no range but what training makes of it. Every discriminator maps images, real ones being in
[-1, 1], to one score per image, (batch,), without a final nonlinearity. Both take labels (batch, classes) as a second
argument where they were built with classes.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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


def generator_shapes(
    network: NetworkSettings, latent: LatentSettings, size: int, classes: int | None = None
) -> dict[str, torch.Size]:
    """The shapes of a generator's weights by their names, without memory for them; otherwise as `build_generator`."""
    with torch.device("meta"), _NoValues():
        weights = build_generator(network, latent, size, classes).state_dict()
    return {name: tensor.shape for name, tensor in weights.items()}


class _NoValues(TorchFunctionMode):
    """Leaves out what gives tensors their values: on the meta device torch imports its compiler for that (1.3 s)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.randn:
            return torch.empty(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_uniform_", "zeros_", "zero_", "fill_"):
            return args[0] if args else next(iter((kwargs or {}).values()))
        return func(*args, **(kwargs or {}))


def build_discriminator(network: NetworkSettings, size: int, classes: int | None = None) -> nn.Module:
    """Makes the discriminator, with spectral norm where the settings have it; otherwise as `build_generator`."""
    network.check_size(size)
    discriminator: nn.Module = _module(network).discriminator(network.family, size, classes)
    return add_spectral_norm(discriminator) if network.spectral_norm else discriminator


def _module(network: NetworkSettings) -> ModuleType:
    """The module of the chosen family; what it defines, see `FamilySettings`."""
    return import_module(f"{__package__}.{network.name}")
