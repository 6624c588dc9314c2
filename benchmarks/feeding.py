"""What the training images cost on CPU: the time of a batch from shards, as a share of the step it feeds.

Random images lie in shards on disk. The first epoch brings them into the page cache; the second is timed. The steps
are those of the environment `celeba`: DCGAN of width 64 at 64x64, batch 64, five discriminator steps to one of the
generator. Batches and steps are timed in turn, so that the ratio holds while the machine's speed drifts. Figures are
medians over rounds.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from machine import describe, matrix_product_ms

from celeba_gan.gan.inputs.feed import ImageFeed
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps
from celeba_gan.images.packed import Manifest, PackedImages, ShardRecord, shard_file

IMAGES, SHARD, SIZE, PACKED, BATCH = 20_000, 4096, 64, 72, 64
TARGET = 0.02  # gather + scale, of a training step


class RandomShards(PackedImages):
    """Images of noise, written as shards and read as all packed images; every one of them is for training."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__(folder)
        folder.mkdir()
        rng, shards = np.random.default_rng(0), []
        for index, start in enumerate(range(0, IMAGES, SHARD)):
            count = min(SHARD, IMAGES - start)
            np.save(folder / shard_file(index), rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
            shards.append(ShardRecord(file=shard_file(index), images=count, sha256=""))
        known: dict[str, Any] = {"count": IMAGES, "size": size, "splits": {"train": (0, IMAGES)}, "shards": shards}
        self.written = Manifest.model_construct(**known)

    @cached_property
    def manifest(self) -> Manifest:
        """As much of a manifest as reading needs."""
        return self.written


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    """Appends how long its block took."""
    began = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - began)


def settings_for(data: Literal["stream", "resident"], random_crop: int | None, *, mirror: bool) -> TrainSettings:
    """The environment `celeba`, with these changes."""
    return TrainSettings.model_validate(
        {
            "kimg": 4000,
            "tick_kimg": 50,
            "batch_size": BATCH,
            "network": {"dcgan": {"width": 64}},
            "device": "cpu",
            "data": data,
            "random_crop": random_crop,
            "mirror": mirror,
        }
    )


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Median seconds of a batch of each kind, and of the two kinds of step."""
    whole, larger = RandomShards(folder / "whole", SIZE), RandomShards(folder / "larger", PACKED)
    plain = settings_for("stream", None, mirror=False)
    hardware = choose_hardware(plain, None)
    feeds = {
        "gather + scale": ImageFeed(plain, whole, hardware),
        "gather + mirror + scale": ImageFeed(settings_for("stream", None, mirror=True), whole, hardware),
        f"gather + crop from {PACKED} + mirror + scale": ImageFeed(
            settings_for("stream", SIZE, mirror=True), larger, hardware
        ),
        "resident: gather + scale": ImageFeed(settings_for("resident", None, mirror=False), whole, hardware),
        f"resident: gather + crop from {PACKED} + mirror + scale": ImageFeed(
            settings_for("resident", SIZE, mirror=True), larger, hardware
        ),
    }
    epoch = -(-IMAGES // BATCH)
    for feed in feeds.values():
        for step in range(epoch):
            feed.batch(feed.draw(step))
    steps = Steps(plain, hardware, Pair(plain, SIZE, hardware))
    seconds: dict[str, list[float]] = defaultdict(list)

    for turn in range(rounds):
        for step, (name, feed) in enumerate(feeds.items(), start=epoch + turn * len(feeds)):  # five, as `n_critic`
            with timed(seconds[name]):
                drawn = feed.draw(step)
                feed.batch(drawn)
            with timed(seconds["discriminator step"]):
                steps.step_discriminator(feed, drawn, step, 0)
        with timed(seconds["generator step"]):
            steps.step_generator(feed, drawn, turn, 1)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(Path(folder), arguments.rounds)
    discriminator, generator = seconds.pop("discriminator step"), seconds.pop("generator step")
    average = (5 * discriminator + generator) / 6
    print(f"Feeding batches of {BATCH} at {SIZE}x{SIZE} from {IMAGES} images ({describe()})")
    print(
        f"discriminator step {discriminator * 1000:.0f} ms, generator step {generator * 1000:.0f} ms, average training "
        f"step {average * 1000:.0f} ms; 1024^3 float32 product {matrix_product_ms():.1f} ms"
    )
    for name, batch in seconds.items():
        print(
            f"{name}: {batch * 1000:.2f} ms, {batch / discriminator:.2%} of a discriminator step, "
            f"{batch / average:.2%} of an average training step"
        )
    verdict = "met" if seconds["gather + scale"] < TARGET * min(average, discriminator) else "missed"
    print(f"target for gather + scale, under {TARGET:.0%} of either: {verdict}")


if __name__ == "__main__":
    main()
