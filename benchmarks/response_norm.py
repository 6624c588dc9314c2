"""What a critic's step of the article's pair costs with torch's local response normalisation, and with this project's.

Both compute the same. The step is that of WGAN-GP: scores of images, the penalty on their slopes, and its gradient.

    python benchmarks/response_norm.py
"""

import copy
import statistics
import time

import torch
from machine import describe
from torch import nn

from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings
from celeba_gan.gan.networks.layers import LocalResponseNorm

BATCH, ROUNDS = 32, 5


def with_torchs(discriminator: nn.Module) -> nn.Module:
    """A copy with the layer that torch has; its window counts channels, and it divides alpha by them."""
    theirs = copy.deepcopy(discriminator)
    for module in list(theirs.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LocalResponseNorm):
                setattr(module, name, nn.LocalResponseNorm(size=11, alpha=11e-4, beta=0.75, k=2.0))
    return theirs


def step(discriminator: nn.Module, images: torch.Tensor, bfloat16: bool) -> float:
    """Milliseconds per image."""
    began = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        scores = discriminator(images).float()
    (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    penalty = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
    torch.autograd.backward(10 * penalty - scores.mean())
    return (time.perf_counter() - began) / len(images) * 1000


def main() -> None:
    torch.manual_seed(0)
    ours = build_discriminator(NetworkSettings(name="article"), 112).to(memory_format=torch.channels_last)
    theirs = with_torchs(ours)
    images = torch.rand(BATCH, 3, 112, 112).mul(2).sub(1).contiguous(memory_format=torch.channels_last)
    images.requires_grad_()
    torch.testing.assert_close(ours(images), theirs(images))
    print(describe())
    for bfloat16 in (False, True):
        times: dict[str, list[float]] = {"torch": [], "ours": []}
        for _ in range(ROUNDS + 1):  # the first is not counted
            times["torch"].append(step(theirs, images, bfloat16))
            times["ours"].append(step(ours, images, bfloat16))
        medians = {name: statistics.median(values[1:]) for name, values in times.items()}
        kind = "bfloat16" if bfloat16 else "float32"
        print(f"{kind}: " + ", ".join(f"{name} {value:.1f} ms an image" for name, value in medians.items()))


if __name__ == "__main__":
    main()
