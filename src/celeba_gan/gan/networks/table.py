"""What a network consists of: its layers with output shapes, parameters and multiply-accumulate operations."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings


@dataclass(frozen=True)
class Layer:
    """A layer, or a block of layers that belong together."""

    name: str  # as in the names of the weights: `blocks.0`
    kind: str  # what it is: `Conv2d 4x4, stride 2`
    shape: tuple[int, ...]  # of its output, for one image
    parameters: int
    macs: int  # multiply-accumulate operations of convolutions and linear layers for one image, forwards


@dataclass(frozen=True)
class NetworkTable:
    """A network, layer by layer."""

    kind: str
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of convolutions and linear layers for one image, forwards."""
        return sum(layer.macs for layer in self.layers)


@torch.no_grad()
def tabulate(network: nn.Module, *inputs: Tensor) -> NetworkTable:
    """Runs a network once, on any device, `meta` included, and records what its layers are and do.

    Layers that neither have weights nor change the shape (activations, most norms) are left out. Only convolutions and
    linear layers count as operations: the others' are a small share, and papers leave them out, too. The inputs are
    what `forward` takes, each with a batch of one.
    """
    layers: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    hooks = [layer.register_forward_hook(partial(_note, layers, name)) for name, layer in _layers(network)]
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    for hook in hooks:
        hook.remove()
    operations = counter.get_flop_counts()  # a multiplication and an addition count as two
    kind = type(network).__name__
    rows = [
        Layer(name, "learned constant", tuple(parameter.shape), parameter.numel(), 0)
        for name, parameter in network.named_parameters(recurse=False)
    ]
    for name, layer, shape in layers:
        parameters = sum(parameter.numel() for parameter in layer.parameters())
        macs = sum(operations.get(f"{kind}.{name}", {}).values()) // 2
        rows.append(Layer(name, _describe(layer), shape, parameters, macs))
    return NetworkTable(kind, tuple(rows))


def tabulate_pair(
    network: NetworkSettings, latent: LatentSettings, size: int, classes: int | None = None
) -> tuple[NetworkTable, NetworkTable]:
    """The networks of `build_generator` and `build_discriminator`, for the same arguments; nothing is computed."""
    # Spectral norm looks at the weights when it is added, so those are needed for once.
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if network.spectral_norm else "meta"):
        generator = build_generator(network, latent, size, classes).to("meta")
        discriminator = build_discriminator(network, size, classes).to("meta")
    labels = () if classes is None else (torch.zeros(1, classes, device="meta"),)
    return (
        tabulate(generator, torch.zeros(1, latent.size, device="meta"), *labels),
        tabulate(discriminator, torch.zeros(1, 3, size, size, device="meta"), *labels),
    )


def _layers(network: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers and blocks by name; containers are replaced by what they hold."""
    for name, layer in network.named_children():
        if isinstance(layer, (nn.Sequential, nn.ModuleList)):
            yield from _layers(layer, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", layer


def _note(
    layers: list[tuple[str, nn.Module, tuple[int, ...]]], name: str, layer: nn.Module, inputs: Any, output: Tensor
) -> None:
    if any(True for _ in layer.parameters()) or inputs[0].shape != output.shape:
        layers.append((name, layer, tuple(output.shape[1:])))


def _describe(layer: nn.Module) -> str:
    kind = type(layer).__name__.removeprefix("Parametrized")  # spectral norm makes a class of its own
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        height, width = layer.kernel_size
        kind += f" {height}x{width}"
        kind += f", stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
        kind += f", {layer.groups} groups" if layer.groups > 1 else ""
    return kind
