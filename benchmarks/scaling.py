"""A cost model of training on many GPUs, from measured single-machine figures, and how far it holds.

First the model is checked where it can be: two ranks on this machine, whose rate it predicts from one rank's, alone on
its core, and from the time of an all-reduce. Then it is extended to GPUs, with what is assumed of them printed beside.

    python benchmarks/scaling.py            # all of it
    python benchmarks/scaling.py --paper    # only the tables
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from machine import describe

import ranks as ranks_benchmark
from celeba_gan.gan.inputs.randomness import ShuffledOrder, draw_latents, random_generator
from celeba_gan.gan.networks.config import LatentSettings
from celeba_gan.ranks.group import join

GB = 1e9
# One H200, WGAN-GP with the resnet at 64x64, batch 64: benchmarks/SPEED.md.
RATE_64 = 2006.0  # images/s
PARAMETERS = {64: (8.54e6, 7.49e6), 256: (18.5e6, 17.46e6), 1024: (24e6, 23e6)}  # NETWORKS.md; 1024: as the others grow
WORK = {64: 1.0, 256: 15.44 / 0.906, 1024: (15.44 / 0.906) ** 2}  # products an image, in those at 64x64
LINK, NETWORK = 300 * GB, 40 * GB  # bytes/s of an all-reduce in a host of 8 (NVLink), and between hosts (400 Gb/s)
LATENCY = 20e-6  # s of an all-reduce for each doubling of ranks
DISK, STORE = 2 * GB, 1 * GB  # bytes/s to write a snapshot, and a host's reads from an object store
N_CRITIC = 5


@dataclass(frozen=True)
class Point:
    """A training on so many GPUs, each with the same share of the batch."""

    gpus: int
    size: int
    local: int  # images of a step on each GPU

    @property
    def compute(self) -> float:
        """Seconds of a discriminator's step on one GPU."""
        return self.local * WORK[self.size] / RATE_64

    @property
    def all_reduce(self) -> float:
        """Seconds to add up its gradients: a ring sends 2 (n - 1)/n of them, at the pace of the slowest link."""
        if self.gpus == 1:
            return 0.0
        data = 4 * PARAMETERS[self.size][1]
        return 2 * (self.gpus - 1) / self.gpus * data / (LINK if self.gpus <= 8 else NETWORK) + LATENCY * math.log2(
            self.gpus
        )

    @property
    def draws(self) -> float:
        """Seconds of the host's draws, which every rank makes for the whole batch."""
        return self.gpus * self.local * DRAW

    @property
    def step(self) -> float:
        """Seconds of a step: draws are made while the GPU computes the step before."""
        return max(self.compute + self.all_reduce, self.draws)

    @property
    def rate(self) -> float:
        """Images a second, of all GPUs."""
        return self.gpus * self.local / self.step


DRAW = 0.0  # seconds an image; measured below


def measure_draws() -> float:
    """Seconds of one image's draws: a latent, and where it is cropped and mirrored."""
    began, count = time.perf_counter(), 65536
    for step in range(5):
        draw_latents(LatentSettings(), count, random_generator(0, "latents", step))
        torch.rand(count, generator=random_generator(0, "mirror", step))
        torch.randint(9, (2, count), generator=random_generator(0, "crop", step))
    return (time.perf_counter() - began) / 5 / count


def measure_order(length: int) -> float:
    """Seconds to shuffle the images of an epoch."""
    began = time.perf_counter()
    ShuffledOrder(0, length).indices(0, 1)
    return time.perf_counter() - began


def all_reduce_seconds(megabytes: float) -> float:
    """Of two ranks on this machine, for so many MB."""
    program = [sys.executable, str(Path(__file__).resolve()), "--reduce", str(megabytes)]
    port = str(20000 + os.getpid() % 20000)
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(program, env={**os.environ, **common, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    first, _ = [process.communicate()[0] for process in started]
    return float(first.split()[-1])


def reduce(megabytes: float) -> None:
    """One of the two."""
    torch.set_num_threads(1)
    ranks, tensor = join(), torch.ones(int(megabytes * 250_000))
    seconds = []
    for _ in range(12):
        ranks.wait()
        began = time.perf_counter()
        ranks.sum_([tensor])
        seconds.append(time.perf_counter() - began)
    ranks.finish()
    print(sorted(seconds)[6])


def check() -> None:
    """Prints what the model predicts of two ranks on this machine, and what they reach."""
    print("| size | one rank, half the batch, images/s | all-reduces, s an iteration | predicted | measured | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size, iterations in ((64, 4), (32, 24)):
        arguments = [str(size), "gradient penalty", "--iterations", str(iterations)]
        together = ranks_benchmark.run(2, 1, arguments)
        batch = ranks_benchmark.CASES[size][0]
        # Two at once, which know nothing of each other: a core is slower while the other one is busy.
        alone = ranks_benchmark.run_beside([*arguments, "--batch", str(batch // 2)])
        step = together["megabytes"] / (N_CRITIC + 1)
        summed = (N_CRITIC + 1) * all_reduce_seconds(step)
        images = batch * N_CRITIC
        predicted = images / (images / 2 / alone["rate"] + summed)
        print(
            f"| {size} | {alone['rate']:.0f} | {summed:.4f} | {predicted:.0f} | {together['rate']:.0f} | "
            f"{together['rate'] / predicted:.2f} |",
            flush=True,
        )


def paper() -> None:
    """Prints the tables."""
    print("\n| pixels | GPUs | images a GPU and step | images/s | of 1 GPU's | step: compute | all-reduce | draws |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for size, local in ((64, 64), (256, 16), (1024, 4)):
        for gpus in (1, 8, 64, 512):
            point = Point(gpus, size, local)
            share = point.rate / gpus / Point(1, size, local).rate
            times = " | ".join(f"{1000 * one:.2f} ms" for one in (point.compute, point.all_reduce, point.draws))
            print(f"| {size} | {gpus} | {local} | {point.rate:,.0f} | {share:.0%} | {times} |")
    print("\n| pixels | 10^9 images | one epoch on 512 GPUs | reads of a host of 8, MB/s | snapshot | writing it |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size, local in ((64, 64), (256, 16), (1024, 4)):
        point, image = Point(512, size, local), 3 * size**2
        generator, discriminator = PARAMETERS[size]
        snapshot = 4 * (4 * generator + 3 * discriminator)  # weights, moments and the average
        print(
            f"| {size} | {1e9 * image / 1e12:,.1f} TB | {1e9 / point.rate / 3600:,.1f} h | "
            f"{point.rate / 64 * image / 1e6:,.0f} | {snapshot / 1e6:,.0f} MB | {snapshot / DISK:.2f} s |"
        )


def measure_snapshot() -> float:
    """Bytes a second to write and sync a file of 256 MB here."""
    with tempfile.NamedTemporaryFile(dir=".") as file:
        data, began = os.urandom(1 << 20), time.perf_counter()
        for _ in range(256):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return (256 << 20) / (time.perf_counter() - began)


def main() -> None:
    global DRAW
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", action="store_true", help="only the tables")
    parser.add_argument("--reduce", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reduce:
        reduce(arguments.reduce)
        return
    print(describe())
    if not arguments.paper:
        check()
    DRAW = measure_draws()
    seconds = measure_order(10_000_000)
    print(f"\ndraws: {DRAW * 1e6:.2f} us an image; shuffling 10^7 images: {seconds:.2f} s and 80 MB;")
    print(f"writing and syncing here: {measure_snapshot() / 1e6:.0f} MB/s")
    paper()


if __name__ == "__main__":
    main()
