"""How much work a discriminator's step does, counted: convolutions and matrix products, in forward passes of a batch.

One unit is what the discriminator computes to score one batch. `textbook` scores reals and fakes, and differentiates
each penalty by autograd.grad(create_graph=True), with torch's own leaky ReLU; `ours` are the passes of
`gan/networks/piecewise_linear.py`. `least` is what no way of computing can do without, the first layer apart (nobody
asks for the gradient by the images of what has no penalty):

- the objective: its 2 batches forward (2), slopes from the scores back to every layer (2), and products of slopes and
  inputs for the gradient of the weights (2);
- R1 + R2: the slopes are there, so only how they change: the moves of the images along all layers (2);
- the gradient penalty, at images of its own: forward (1), back (1), moves (1), and their products (1).

With layer norm a move of the images changes the slopes, too: one more pass back for every image that moves, and
products of its own.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from training import use_torchs_own_leaky_relu

from celeba_gan.gan.losses.config import PenaltySettings
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings
from celeba_gan.gan.networks.layers import Discriminator
from celeba_gan.gan.networks.piecewise_linear import is_piecewise_linear

SIZE, BATCH = 64, 4
OFF: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
PENALTIES: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("hinge", OFF),
    "gradient penalty": ("wgan", {"gradient_penalty": {"weight": 10}}),
    "R1 + R2": ("rpgan", {**OFF, "r1": {"weight": 1}, "r2": {"weight": 1}}),
}
LEAST = {"none": (6, 6), "gradient penalty": (10, 12), "R1 + R2": (8, 12)}
NETWORKS: dict[str, dict[str, Any]] = {
    "dcgan": {},
    "r3": {},
    "resnet": {"resnet": {"discriminator_norm": "none"}},
    "resnet with layer norm": {},
}


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class is not typed
    """Counts multiplications of convolutions and products (torch's FlopCounterMode forgets groups)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        aten = torch.ops.aten
        if func is aten.convolution.default:
            inputs, weight, transposed = args[0], args[1], args[6]
            self.count += (inputs if transposed else result).numel() * weight[0].numel()
        elif func is aten.convolution_backward.default:
            slopes, inputs, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
            self.count += (inputs if transposed else slopes).numel() * weight[0].numel() * sum(wanted[:2])
        elif func is aten.mm.default:
            self.count += args[0].numel() * args[1].shape[1]
        elif func is aten.addmm.default:
            self.count += args[1].numel() * args[2].shape[1]
        return result


def ours(discriminator: nn.Module, loss: DiscriminatorLoss, real: Tensor, fake: Tensor, epsilon: Tensor) -> None:
    if is_piecewise_linear(discriminator):
        assert isinstance(discriminator, Discriminator)
        with torch.no_grad():
            loss.gradients(discriminator, None, real, fake, epsilon, torch.ones(()), True, torch.float32)
    else:
        terms = loss.terms(discriminator, real, fake, epsilon, penalised=True)
        torch.autograd.grad(terms["loss"] + terms.get("penalty", 0), list(discriminator.parameters()))


def textbook(discriminator: nn.Module, loss: DiscriminatorLoss, real: Tensor, fake: Tensor, epsilon: Tensor) -> None:
    total = loss.objective.discriminator_loss(discriminator(real), discriminator(fake))
    mixed = torch.lerp(fake, real, epsilon[:, None, None, None])
    for name, images in {"r1": real, "r2": fake, "gradient_penalty": mixed}.items():
        if name in loss.penalty.of_gradients:
            points = images.clone().requires_grad_()
            (slopes,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
            total = total + slopes.square().sum()
    torch.autograd.grad(total, list(discriminator.parameters()))


def count(work: Callable[..., None], network: str, values: tuple[str, dict[str, Any]]) -> float:
    """Units of one step."""
    objective, penalties = values
    family = network.split()[0]
    settings = NetworkSettings.model_validate({"name": family, **NETWORKS[network]})
    discriminator = build_discriminator(settings, SIZE)
    if work is textbook:
        use_torchs_own_leaky_relu(discriminator)
    loss = DiscriminatorLoss(make_objective(objective), Penalty(PenaltySettings.model_validate(penalties)))
    real, fake = torch.randn(2, BATCH, 3, SIZE, SIZE)
    with Operations() as unit, torch.no_grad():
        discriminator(real)
    with Operations() as step:
        work(discriminator, loss, real, fake, torch.rand(BATCH))
    return float(step.count / unit.count)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"Forward passes of a batch that a discriminator's step costs, {SIZE}x{SIZE}")
    print("| network | penalty | ours | textbook | least |\n|---|---|---|---|---|")
    for network in NETWORKS:
        for name, values in PENALTIES.items():
            found = [f"{count(work, network, values):.2f}" for work in (ours, textbook)]
            print(f"| {network} | {name} | {' | '.join(found)} | {LEAST[name]['norm' in network]} |", flush=True)


if __name__ == "__main__":
    main()
