"""Images per second and peak memory of training, against a textbook loop on the same networks.

The textbook loop: eager, float32, NCHW, plain Adam, detached fakes, separate forwards for reals and fakes, double
backward through autograd.grad, torch's own leaky ReLU, as many threads. With `--before CHECKOUT` a third one is what
another checkout of this repository trains with. All run in processes of their own, in turn, so that the ratios hold
while the machine's speed drifts. Figures are medians over rounds. The limit is what one large product of matrices
reaches on this machine in the same precision, measured beside each row; the share of it is our arithmetic a second.
"""

import argparse
import logging
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from arithmetic import operations, product_tflops
from machine import describe, matrix_product_ms
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from celeba_gan.foundation.precision import computes_bfloat16
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.layers import LeakyReLU
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train

NONE: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
PENALTIES: dict[str, dict[str, Any]] = {
    "gradient penalty": {},  # WGAN-GP
    "R1 + R2": {
        "objective": {"name": "rpgan"},
        "penalty": {**NONE, "r1": {"weight": 1}, "r2": {"weight": 1}},
        "n_critic": 1,
    },
    "none": {"penalty": NONE, "weight_clip": 0.1},
}


class RandomImages:
    """Packed images in memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.digest = "random"
        self.pixels = np.random.default_rng(0).integers(0, 256, (4096, size, size, 3), dtype=np.uint8)

    def split(self, name: str) -> tuple[int, int]:
        """All of them."""
        return 0, len(self.pixels)

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copies of some."""
        return self.pixels[indices]


@dataclass(frozen=True)
class Case:
    """What is trained: images of `size` pixels, in batches and networks that are as wide."""

    size: int
    penalty: str  # see PENALTIES
    precision: str


def settings_for(
    size: int, batch: int, width: int, iterations: int, precision: str = "auto", penalty: str = "gradient penalty"
) -> TrainSettings:
    """A run without end whose ticks are `iterations` long."""
    changes = PENALTIES[penalty]
    n_critic = changes.get("n_critic", 5)
    return TrainSettings.model_validate(
        {
            "kimg": 1e6,
            "tick_kimg": iterations * batch * n_critic / 1000,
            "batch_size": batch,
            "network": {"dcgan": {"width": width}},
            "device": "cpu",
            "precision": precision,
            "threads": torch.get_num_threads(),
            "rows_per_tick": 1,
            "grid": {"rows": 1, "columns": 1},
            **changes,
        }
    )


def ours(size: int, settings: TrainSettings) -> Iterator[int]:
    """Runs `celeba_gan`; yields the images of every tick."""
    for tick in train(RandomImages(size), settings):
        if tick.rows:
            yield round(settings.tick_kimg * 1000)


def textbook(size: int, settings: TrainSettings, device: str = "cpu", iterations: int | None = None) -> Iterator[int]:
    """Runs iterations, as many as a tick has unless given, written as in the papers; yields their images."""
    images = torch.from_numpy(RandomImages(size).pixels).permute(0, 3, 1, 2).contiguous().to(device)
    generator = build_generator(settings.network, settings.latent, size).to(device)
    discriminator = build_discriminator(settings.network, size).to(device)
    for network in (generator, discriminator):
        use_torchs_own_leaky_relu(network)
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    batch, latent = settings.batch_size, settings.latent.size
    iterations = iterations or round(settings.tick_kimg * 1000 / settings.images_per_iteration)
    while True:
        for _ in range(iterations):
            for _ in range(settings.n_critic):
                real = images[torch.randint(len(images), (batch,), device=device)].float() / 127.5 - 1
                fake = generator(torch.randn(batch, latent, device=device)).detach()
                loss = textbook_loss(discriminator, real, fake, settings)
                adam_d.zero_grad()
                torch.autograd.backward(loss)
                adam_d.step()
                if settings.weight_clip:
                    for parameter in discriminator.parameters():
                        parameter.data.clamp_(-settings.weight_clip, settings.weight_clip)
            on_fake = discriminator(generator(torch.randn(batch, latent, device=device)))
            loss = F.softplus(discriminator(real) - on_fake).mean() if paired(settings) else -on_fake.mean()
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
        assert torch.isfinite(parameters_to_vector(generator.parameters())).all()
        yield iterations * settings.images_per_iteration


def paired(settings: TrainSettings) -> bool:
    """Whether it trains by relativistic pairs; else it is a Wasserstein GAN."""
    return settings.objective.name == "rpgan"


def textbook_loss(discriminator: nn.Module, real: Tensor, fake: Tensor, settings: TrainSettings) -> Tensor:
    """The discriminator's loss and penalties."""
    on_fake, on_real = discriminator(fake), discriminator(real)
    loss: Tensor = F.softplus(on_fake - on_real).mean() if paired(settings) else on_fake.mean() - on_real.mean()
    penalty = settings.penalty
    if penalty.gradient_penalty.weight:
        epsilon = torch.rand(len(real), 1, 1, 1, device=real.device)
        norms = slopes(discriminator, epsilon * real + (1 - epsilon) * fake).norm(dim=1)
        loss = loss + penalty.gradient_penalty.weight * ((norms - 1) ** 2).mean()
    for weight, images in ((penalty.r1.weight, real), (penalty.r2.weight, fake)):
        if weight:
            loss = loss + weight / 2 * slopes(discriminator, images).square().sum(dim=1).mean()
    return loss


def slopes(discriminator: nn.Module, images: Tensor) -> Tensor:
    """The gradient of each score by its image, (batch, numbers)."""
    points = images.detach().requires_grad_()
    (found,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
    return found.flatten(1)


def use_torchs_own_leaky_relu(network: nn.Module) -> None:
    """Puts `torch.nn.LeakyReLU` in the place of ours."""
    for layer in network.modules():
        for name, child in layer.named_children():
            if isinstance(child, LeakyReLU):
                setattr(layer, name, nn.LeakyReLU(child.slope))


def serve(loop: Any, size: int, settings: TrainSettings, threads: int) -> None:
    """Runs one round for every line of the input; answers with images per second by clock and by CPU, and peak MiB."""
    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)  # noise is learnt by heart soon, and health says so
    running = loop(size, settings)
    next(running)  # warms up
    print("ready", flush=True)
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        images = next(running)
        speeds = images / (time.perf_counter() - began), images / (time.process_time() - cpu)
        print(*speeds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


class Loop:
    """A loop in a process of its own, on the code of a checkout."""

    def __init__(self, name: str, checkout: Path, arguments: Sequence[object]) -> None:
        path = os.pathsep.join([str(checkout / "src"), str(checkout / "benchmarks")])
        command = [sys.executable, __file__, "--serve", name, *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        self._read()

    def round(self) -> tuple[float, float, float]:
        """Images per second by clock and by CPU, and peak MiB."""
        assert self._process.stdin is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        by_clock, by_cpu, memory = map(float, self._read().split())
        return by_clock, by_cpu, memory

    def stop(self) -> None:
        """Ends it."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a loop broke off; see above")
        return line


def compare(case: Case, rounds: int, iterations: int, before: Path | None) -> None:
    """Prints a row of the table."""
    limit = product_tflops("cpu", getattr(torch, case.precision))
    settings = settings_for(case.size, case.size, case.size, iterations, case.precision, case.penalty)
    per_image = operations(settings, case.size) / settings.images_per_iteration
    here = Path(__file__).parents[1]
    arguments = [case.size, case.penalty, case.precision, iterations, torch.get_num_threads()]
    places = {"ours": here, "textbook": here, **({} if before is None else {"before": before})}
    loops = {
        name: Loop("textbook" if name == "textbook" else "ours", place, arguments) for name, place in places.items()
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            found[name].append(loop.round())
    for loop in loops.values():
        loop.stop()

    def ratio(other: str, kind: int) -> str:
        pairs = zip(found["ours"], found[other], strict=True)
        return f"{statistics.median(ours[kind] / theirs[kind] for ours, theirs in pairs):.2f}"

    tflops = per_image * statistics.median(speed[0] for speed in found["ours"]) / 1e12
    others = [name for name in loops if name != "ours"]
    cells = [
        f"{case.size}x{case.size}, batch {case.size}, width {case.size}, {case.precision}",
        case.penalty,
        *(f"{statistics.median(speed[0] for speed in speeds):.0f}" for speeds in found.values()),
        *(ratio(other, kind) for other in others for kind in (0, 1)),
        " / ".join(f"{speeds[-1][2]:.0f}" for speeds in found.values()),
        f"{tflops:.3f}, {tflops / limit:.0%} of {limit:.2f}",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="none: all cores")
    parser.add_argument("--precision", nargs="+", help="none: all that this CPU computes")
    parser.add_argument("--iterations", type=int, default=20, help="per round, at 32x32")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--penalties", nargs="+", choices=PENALTIES, default=["gradient penalty", "R1 + R2"])
    parser.add_argument("--before", type=Path, help="another checkout, as of `git worktree add`")
    parser.add_argument("--serve", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        name, size, penalty, precision, iterations, threads = arguments.serve
        torch.set_num_threads(int(threads))
        settings = settings_for(int(size), int(size), int(size), int(iterations), precision, penalty)
        serve({"ours": ours, "textbook": textbook}[name], int(size), settings, int(threads))
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(arguments.threads or cores)
    print(f"Training, {arguments.rounds} rounds ({describe()})")
    print(f"1024^3 float32 product {matrix_product_ms():.1f} ms; load {os.getloadavg()[0]:.1f}")
    names = ["textbook", *(["before"] if arguments.before else [])]
    ratios = [f"ratio to {name}, {kind}" for name in names for kind in ("clock", "CPU time")]
    columns = ["images, networks, precision", "penalty", "ours, images/s", *names, *ratios, "MiB", "TFLOP/s"]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    known = ["bfloat16", "float32"] if computes_bfloat16("cpu") else ["float32"]
    for precision in arguments.precision or known:
        for penalty in arguments.penalties:
            for size, iterations in ((32, arguments.iterations), (64, 1)):
                if size in arguments.sizes:
                    # R1 + R2 is trained with one step of the discriminator in an iteration, WGAN-GP with five.
                    many = iterations * (5 if PENALTIES[penalty].get("n_critic") == 1 else 1)
                    compare(Case(size, penalty, precision), arguments.rounds, many, arguments.before)


if __name__ == "__main__":
    main()
