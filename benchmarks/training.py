"""Images per second and peak memory of training, against a textbook loop on the same networks.

The textbook loop: eager, float32, NCHW, plain Adam, detached fakes, separate forwards for reals and fakes, double
backward through autograd.grad, torch's own leaky ReLU, as many threads. `our layers` is the same loop with the networks
as they are here, whose leaky ReLU spares double backward a third of its work. All run in processes of their own, in
turn, so that the ratios hold while the machine's speed drifts. Figures are medians over rounds.
"""

import argparse
import logging
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from machine import describe, matrix_product_ms
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parameters_to_vector

from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.layers import LeakyReLU
from celeba_gan.gan.runtime.hardware import computes_bfloat16
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train


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


def settings_for(size: int, batch: int, width: int, iterations: int, precision: str = "auto") -> TrainSettings:
    """A run without end whose ticks are `iterations` long."""
    return TrainSettings.model_validate(
        {
            "kimg": 1e6,
            "tick_kimg": iterations * batch * 5 / 1000,
            "batch_size": batch,
            "network": {"dcgan": {"width": width}},
            "device": "cpu",
            "precision": precision,
            "threads": torch.get_num_threads(),
            "rows_per_tick": 1,
            "grid": {"rows": 1, "columns": 1},
        }
    )


def ours(size: int, settings: TrainSettings) -> Iterator[int]:
    """Runs `celeba_gan`; yields the images of every tick."""
    for tick in train(RandomImages(size), settings):
        if tick.rows:
            yield round(settings.tick_kimg * 1000)


def textbook(
    size: int, settings: TrainSettings, device: str = "cpu", iterations: int | None = None, *, plain: bool = True
) -> Iterator[int]:
    """Runs iterations, as many as a tick has unless given, written as in the papers; yields their images.

    With `plain`, the networks have torch's own leaky ReLU.
    """
    images = torch.from_numpy(RandomImages(size).pixels).permute(0, 3, 1, 2).contiguous().to(device)
    generator = build_generator(settings.network, settings.latent, size).to(device)
    discriminator = build_discriminator(settings.network, size).to(device)
    if plain:
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
                epsilon = torch.rand(batch, 1, 1, 1, device=device)
                mixed = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
                (slopes,) = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)
                penalty = 10 * ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
                loss = discriminator(fake).mean() - discriminator(real).mean() + penalty
                adam_d.zero_grad()
                loss.backward()
                adam_d.step()
            loss = -discriminator(generator(torch.randn(batch, latent, device=device))).mean()
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
        assert torch.isfinite(parameters_to_vector(generator.parameters())).all()
        yield iterations * settings.images_per_iteration


def our_layers(size: int, settings: TrainSettings) -> Iterator[int]:
    """The textbook loop on the networks as they are."""
    return textbook(size, settings, plain=False)


def use_torchs_own_leaky_relu(network: nn.Module) -> None:
    """Puts `torch.nn.LeakyReLU` in the place of ours."""
    for layer in network.modules():
        for name, child in layer.named_children():
            if isinstance(child, LeakyReLU):
                setattr(layer, name, nn.LeakyReLU(child.slope))


def serve(loop: Any, size: int, settings: TrainSettings, threads: int, pipe: Connection) -> None:
    """Runs one round whenever asked; answers with images per second of the clock and of the CPU, and peak MiB."""
    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)  # noise is learnt by heart soon, and health says so
    running = loop(size, settings)
    next(running)  # warms up
    pipe.send("ready")
    while pipe.recv() != "stop":
        began, cpu = time.perf_counter(), time.process_time()
        images = next(running)
        speeds = images / (time.perf_counter() - began), images / (time.process_time() - cpu)
        pipe.send((*speeds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def compare(size: int, batch: int, width: int, rounds: int, iterations: int, precision: str) -> None:
    """Prints a row of the table."""
    context = multiprocessing.get_context("spawn")
    settings = settings_for(size, batch, width, iterations, precision)
    loops = {"ours": ours, "textbook": textbook, "our layers": our_layers}
    wall: dict[str, list[float]] = {name: [] for name in loops}
    cpu: dict[str, list[float]] = {name: [] for name in loops}
    memory, pipes, processes = {}, {}, []
    for name, loop in loops.items():
        pipes[name], theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(loop, size, settings, torch.get_num_threads(), theirs), daemon=True
        )
        process.start()
        processes.append(process)
        pipes[name].recv()
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send("again")
            by_clock, by_cpu, memory[name] = pipe.recv()
            wall[name].append(by_clock)
            cpu[name].append(by_cpu)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send("stop")
        process.join()

    def ratio(speeds: dict[str, list[float]], other: str) -> str:
        return f"{statistics.median(a / b for a, b in zip(speeds['ours'], speeds[other], strict=True)):.2f}"

    cells = [
        f"{size}x{size}, batch {batch}, width {width}, {precision}",
        *(f"{statistics.median(wall[name]):.0f}" for name in loops),
        *(ratio(speeds, other) for other in ("textbook", "our layers") for speeds in (wall, cpu)),
        f"{memory['ours']:.0f} / {memory['textbook']:.0f}",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="none: all cores")
    parser.add_argument("--precision", nargs="+", help="none: all that this CPU computes")
    parser.add_argument("--iterations", type=int, default=20, help="per round, at 32x32")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(arguments.threads or cores)
    print(f"Training, WGAN-GP with 5 critic steps, {arguments.rounds} rounds ({describe()})")
    print(f"1024^3 float32 product {matrix_product_ms():.1f} ms; load {os.getloadavg()[0]:.1f}")
    print(
        "| images, networks, precision | ours, images/s | textbook | with our layers | ratio to textbook, clock "
        "| CPU time | to our layers, clock | CPU time | peak MiB, ours / textbook |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    known = ["bfloat16", "float32"] if computes_bfloat16("cpu") else ["float32"]
    for precision in arguments.precision or known:
        for size, iterations in ((32, arguments.iterations), (64, 1)):
            if size in arguments.sizes:
                compare(size, size, size, arguments.rounds, iterations, precision)


if __name__ == "__main__":
    main()
