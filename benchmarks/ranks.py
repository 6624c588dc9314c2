"""What several ranks cost: two processes on two cores against one with two threads, and the share of the all-reduce.

Both train the same batches, in turn, in processes of their own; figures are medians over rounds. Start-up is the time
from the start of the processes to their first iteration. With `--device cuda`: torchrun with one rank against none.

    python benchmarks/ranks.py --rounds 5
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from machine import describe, matrix_product_ms
from training import RandomImages, settings_for

from celeba_gan.gan.inputs.feed import ImageFeed
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps
from celeba_gan.ranks.group import Ranks, join

CASES = {32: (32, 32), 64: (64, 64)}  # size: batch, width
PENALTIES = ("gradient penalty", "R1 + R2")


def work(
    size: int, penalty: str, iterations: int, device: str, started: float, batch_size: int | None
) -> dict[str, float]:
    """Trains; what this rank measures."""
    ranks = join()
    batch, width = CASES[size]
    batch = batch_size or batch
    settings = settings_for(size, batch, width, iterations, penalty=penalty)
    threads = int(os.environ["THREADS"])
    settings = settings.model_copy(update={"threads": threads, "device": device})
    images = RandomImages(size)
    hardware = choose_hardware(settings, None)
    pair = Pair(settings, size, hardware, ranks=ranks)
    steps, feed = Steps(settings, hardware, pair, ranks=ranks), ImageFeed(settings, images, hardware, ranks=ranks)
    seconds = _timed(ranks)
    count = settings.images_per_iteration
    for iteration in range(2):
        steps.iterate(feed, iteration, count)
    _wait(device)
    ready, seconds[0] = time.time() - started, 0.0
    began = time.perf_counter()
    for iteration in range(2, 2 + iterations):
        steps.iterate(feed, iteration, count)
    _wait(device)
    took = time.perf_counter() - began
    gradients = sum(parameter.numel() for parameter in pair.discriminator.parameters()) * settings.n_critic
    gradients += sum(parameter.numel() for parameter in pair.generator.parameters())
    found = {"rate": iterations * count / took, "share": seconds[0] / took, "ready": ready}
    ranks.finish()
    return found | {"megabytes": 4 * gradients / 1e6}


def _timed(ranks: Ranks) -> list[float]:
    """Has a rank add up the seconds that it spends in all-reduces, waiting included."""
    seconds, plain = [0.0], ranks.sum_

    def timed(tensors: Any) -> None:
        began = time.perf_counter()
        plain(tensors)
        seconds[0] += time.perf_counter() - began

    ranks.sum_ = timed  # type: ignore[method-assign]
    return seconds


def _wait(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def run_beside(arguments: list[str]) -> dict[str, float]:
    """As `run`, of two processes with a thread each that know nothing of each other."""
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: run(1, 1, arguments), range(2))
    return {name: (first[name] + second[name]) / 2 for name in first}


def run(world: int, threads: int, arguments: list[str], torchrun: bool = False) -> dict[str, float]:
    """Starts the ranks; what rank 0 measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = [sys.executable, str(Path(__file__).resolve()), "--work", *arguments, "--started", str(time.time())]
    if torchrun:
        program = [sys.executable, "-m", "torch.distributed.run", "--standalone", *program[1:]]
    common = {"THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = []
    for rank in range(world):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
        environment = {**os.environ, **common, **({} if torchrun else place)}
        started.append(subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True))
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit("a process failed")
    found: dict[str, float] = json.loads(printed[0].splitlines()[-1])
    return found


def compare(size: int, penalty: str, rounds: int, iterations: int) -> None:
    """Prints a row of the table."""
    arguments = [str(size), penalty, "--iterations", str(iterations)]
    cores = len(os.sched_getaffinity(0))
    one, two = [], []
    for _ in range(rounds):
        one.append(run(1, cores, arguments))
        two.append(run(cores, 1, arguments))
    middle = [{name: statistics.median(found[name] for found in some) for name in some[0]} for some in (one, two)]
    ratios = sorted(b["rate"] / a["rate"] for a, b in zip(one, two, strict=True))
    print(
        f"| {size} | {CASES[size][0]} | {penalty} | {middle[0]['rate']:.0f} | {middle[1]['rate']:.0f} | "
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {middle[1]['share']:.1%} | "
        f"{middle[1]['megabytes']:.1f} | {middle[0]['ready']:.1f} | {middle[1]['ready']:.1f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", nargs="?", type=int)
    parser.add_argument("penalty", nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=0, help="0: about ten seconds of them")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, help="images of a step; as in the table unless given")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        found = work(
            arguments.size,
            arguments.penalty,
            arguments.iterations,
            arguments.device,
            arguments.started,
            arguments.batch,
        )
        print(json.dumps(found), flush=True)
        return
    print(f"{describe()}; a 1024 x 1024 product takes {matrix_product_ms():.1f} ms")
    if arguments.device == "cuda":
        for size in CASES:
            options = [str(size), PENALTIES[0], "--iterations", "50", "--device", "cuda"]
            pairs = [(run(1, 1, options), run(1, 1, options, torchrun=True)) for _ in range(arguments.rounds)]
            ratio = statistics.median(launched["rate"] / plain["rate"] for plain, launched in pairs)
            print(f"{size}x{size}: torchrun with one rank is {ratio:.3f} of plain")
        return
    print(
        "| size | batch | penalty | images/s: 1 process | a process a core | ratio | of it in all-reduce, with waiting "
        "| MB summed an iteration | s to the first iteration: 1 process | several |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for size, iterations in ((64, 4), (32, 24)):
        for penalty in PENALTIES:
            each = arguments.iterations or iterations * (1 if penalty == PENALTIES[0] else 3)
            compare(size, penalty, arguments.rounds, each)


if __name__ == "__main__":
    main()
