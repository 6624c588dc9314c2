"""What a penalty costs a discriminator's step: the loss and its gradient, without the generator and the optimiser.

`passes` are those of `gan/networks/piecewise_linear.py`, `autograd` differentiates the same loss twice, with our leaky
ReLU; both in turn, medians of rounds. With `--plain-memory` the C library returns freed memory to the system.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from machine import describe, matrix_product_ms
from passes import NETWORKS, PENALTIES

from celeba_gan.foundation.precision import computes_bfloat16
from celeba_gan.gan.losses.config import PenaltySettings
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings
from celeba_gan.gan.networks.layers import Discriminator
from celeba_gan.gan.runtime.allocator import keep_freed_memory


def steps(name: str, penalty: str, size: int, batch: int, width: int, bfloat16: bool) -> list[Callable[[], object]]:
    """By passes, and by autograd."""
    objective, penalties = PENALTIES[penalty]
    family = {"width": width, **NETWORKS[name].get(name, {})}
    discriminator = build_discriminator(NetworkSettings.model_validate({"name": name, name: family}), size)
    discriminator.to(memory_format=torch.channels_last)
    assert isinstance(discriminator, Discriminator)
    weights = list(discriminator.parameters())
    loss = DiscriminatorLoss(make_objective(objective), Penalty(PenaltySettings.model_validate(penalties)))
    real, fake = torch.randn(2, batch, size, size, 3).permute(0, 1, 4, 2, 3)
    epsilon, dtype = torch.rand(batch), torch.bfloat16 if bfloat16 else torch.float32

    @torch.no_grad()
    def passes() -> object:
        return loss.gradients(discriminator, None, real, fake, epsilon, torch.ones(()), True, dtype)

    def autograd() -> object:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            terms = loss.terms(discriminator, real, fake, epsilon, penalised=True)
        return torch.autograd.grad(terms["loss"] + terms.get("penalty", 0), weights)

    return [passes, autograd]


def compare(name: str, size: int, batch: int, width: int, rounds: int, bfloat16: bool) -> None:
    """Prints a row for each penalty."""
    without = [1.0, 1.0]
    for penalty in PENALTIES:
        calls = steps(name, penalty, size, batch, width, bfloat16)
        times: list[list[float]] = [[], []]
        for _ in range(rounds + 2):
            for call, found in zip(calls, times, strict=True):
                began = time.perf_counter()
                call()
                found.append(time.perf_counter() - began)
        passes, autograd = (1000 * statistics.median(found[2:]) for found in times)
        if penalty == "none":
            without = [passes, autograd]
        cells = (f"{passes:.1f}", f"{autograd:.1f}", f"{autograd / passes:.2f}", f"{passes / without[0]:.2f}")
        print(f"| {name}, {size}x{size}, batch {batch} | {penalty} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plain-memory", action="store_true")
    arguments = parser.parse_args()
    if not arguments.plain_memory:
        keep_freed_memory()
    bfloat16 = computes_bfloat16("cpu")
    print(f"A discriminator's step, {'bfloat16' if bfloat16 else 'float32'} ({describe()})")
    print(f"1024^3 float32 product {matrix_product_ms():.1f} ms")
    print(
        "| network | penalty | passes, ms | autograd, ms | autograd / passes | penalised / not |\n" + "|---" * 6 + "|"
    )
    for name, size, batch, width in (("dcgan", 32, 32, 32), ("dcgan", 64, 64, 64), ("r3", 32, 16, 32)):
        rounds = arguments.rounds * (10 if size == 32 and name == "dcgan" else 1)
        compare(name, size, batch, width, rounds, bfloat16)


if __name__ == "__main__":
    main()
