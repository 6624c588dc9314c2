"""Spectral norm (Miyato et al. 2018): every weight divided by its largest singular value.

The singular value comes from a power iteration whose vector u is part of the state. A forward pass only reads u, so
it stays a pure function, of which a penalty may take the gradient and whose value does not depend on how a batch is
split. `power_iterate` moves u, once per optimiser step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

WARM_UP = 20  # power iterations on the first weights


class SpectralNorm(nn.Module):
    """Divides a weight, seen as a matrix (outputs, all else), by |u W|, which approaches its largest singular value."""

    u: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(len(weight)), dim=0).to(weight))
        for _ in range(WARM_UP):
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """The normalised weight. The gradient of |u W| is that of the singular value at (u, v), v = u W / |u W|."""
        normalised: Tensor = weight / _times(self.u, weight).norm()
        return normalised

    @torch.no_grad()
    def iterate(self, weight: Tensor, broken: Tensor | None = None) -> None:
        """One step of the power iteration; none where `broken` is not zero."""
        v = F.normalize(_times(self.u, weight), dim=0)
        u = F.normalize((weight.flatten(1) * v).sum(dim=1), dim=0)
        self.u.copy_(u if broken is None else torch.where(broken > 0, self.u, u))


def add_spectral_norm(network: nn.Module) -> nn.Module:
    """Normalises the weights of all convolutions and linear layers, in place; class embeddings stay as they are.

    Draws from torch's global CPU generator. A weight of zeros, with which fix-up starts, has no norm to divide by: it
    is drawn anew (He et al. 2015), since what fix-up guards against cannot happen to normalised weights.

    Returns:
        The same network.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            if not layer.weight.any():
                nn.init.kaiming_normal_(layer.weight, a=0.2)
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight.detach()))
    return network


def power_iterate(network: nn.Module, broken: Tensor | None = None) -> None:
    """Makes one power iteration for each normalised weight of `network`; none where the scalar `broken` is not zero."""
    for layer in network.modules():
        if isinstance(layer, parametrize.ParametrizationList) and isinstance(layer[0], SpectralNorm):
            layer[0].iterate(layer.original, broken)


def _times(u: Tensor, weight: Tensor) -> Tensor:
    """The row u W, (all else,). Not a matrix product, which autocast would make in bfloat16."""
    return (u[:, None] * weight.flatten(1)).sum(dim=0)
