"""Images per second and peak memory of training, against a textbook loop on the same networks.

The textbook loop: eager, float32, NCHW, plain Adam, detached fakes, separate forwards for reals and fakes, double
backward through autograd.grad, as many threads. Both run in processes of their own, in turn, so that the ratio holds
while the machine's speed drifts. Figures are medians over rounds.
"""

import argparse
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
from torch.nn.utils import parameters_to_vector

from celeba_gan.gan.config import TrainSettings
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.training import train


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


def settings_for(size: int, batch: int, width: int, iterations: int) -> TrainSettings:
    """A run without end whose ticks are `iterations` long."""
    return TrainSettings.model_validate(
        {
            "kimg": 1e6,
            "tick_kimg": iterations * batch * 5 / 1000,
            "batch_size": batch,
            "network": {"dcgan": {"width": width}},
            "device": "cpu",
            "rows_per_tick": 1,
            "grid": {"rows": 1, "columns": 1},
        }
    )


def ours(size: int, settings: TrainSettings) -> Iterator[float]:
    """Images per second of each tick of `celeba_gan`, by its own rows."""
    for tick in train(RandomImages(size), settings):
        if tick.rows:
            yield tick.rows[-1]["images_per_second"]


def textbook(size: int, settings: TrainSettings) -> Iterator[float]:
    """Images per second of the same number of iterations, written as in the papers."""
    images = torch.from_numpy(RandomImages(size).pixels).permute(0, 3, 1, 2).contiguous()
    generator = build_generator(settings.network, settings.latent, size)
    discriminator = build_discriminator(settings.network, size)
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    batch, latent = settings.batch_size, settings.latent.size
    iterations = round(settings.tick_kimg * 1000 / settings.images_per_iteration)
    while True:
        began = time.perf_counter()
        for _ in range(iterations):
            for _ in range(settings.n_critic):
                real = images[torch.randint(len(images), (batch,))].float() / 127.5 - 1
                fake = generator(torch.randn(batch, latent)).detach()
                epsilon = torch.rand(batch, 1, 1, 1)
                mixed = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
                (slopes,) = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)
                penalty = 10 * ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
                loss = discriminator(fake).mean() - discriminator(real).mean() + penalty
                adam_d.zero_grad()
                loss.backward()
                adam_d.step()
            loss = -discriminator(generator(torch.randn(batch, latent))).mean()
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
        assert torch.isfinite(parameters_to_vector(generator.parameters())).all()
        yield iterations * settings.images_per_iteration / (time.perf_counter() - began)


def serve(loop: Any, size: int, settings: TrainSettings, threads: int, pipe: Connection) -> None:
    """Runs one round whenever asked; answers with images per second and peak memory in MiB."""
    torch.set_num_threads(threads)
    for speed in loop(size, settings):
        pipe.send((speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        if pipe.recv() == "stop":
            return


def compare(size: int, batch: int, width: int, rounds: int, iterations: int) -> None:
    """Prints one line."""
    context = multiprocessing.get_context("spawn")
    settings = settings_for(size, batch, width, iterations)
    speeds: dict[str, list[float]] = {"ours": [], "textbook": []}
    memory, products, pipes, processes = {}, [], {}, []
    for name, loop in (("ours", ours), ("textbook", textbook)):
        pipes[name], theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(loop, size, settings, torch.get_num_threads(), theirs), daemon=True
        )
        process.start()
        processes.append(process)
        pipes[name].recv()  # the first round warms up
    for _ in range(rounds):
        products.append(matrix_product_ms())
        for name, pipe in pipes.items():
            pipe.send("again")
            speed, memory[name] = pipe.recv()
            speeds[name].append(speed)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send("stop")
        process.join()
    ratio = statistics.median(a / b for a, b in zip(speeds["ours"], speeds["textbook"], strict=True))
    print(
        f"{size}x{size} width {width} batch {batch}: {statistics.median(speeds['ours']):.0f} images/s, textbook "
        f"{statistics.median(speeds['textbook']):.0f}, ratio {ratio:.2f} (median of {rounds} rounds); peak memory "
        f"{memory['ours']:.0f} MiB, textbook {memory['textbook']:.0f} MiB; 1024^3 float32 product "
        f"{statistics.median(products):.1f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    print(f"Training, WGAN-GP with 5 critic steps ({describe()})")
    compare(size=32, batch=32, width=32, rounds=arguments.rounds, iterations=20)
    compare(size=64, batch=64, width=64, rounds=arguments.rounds, iterations=1)


if __name__ == "__main__":
    main()
