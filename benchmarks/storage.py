"""Packed images elsewhere against the local disk: what writing and training reads reach.

The S3 server is moto's, in a process of its own on loopback. It is written in Python, and slow: so what s3fs by itself
reaches of it, with nothing of this project, stands beside as the yardstick. --latency delays each of its answers, as
the way to a real one does. Training reads are batches in the shuffled order of an epoch, announced as training
announces them; --step is the time of a training step, in which what is announced arrives.

    python benchmarks/storage.py
    python benchmarks/storage.py --latency 0.03 --step 0.02
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.gan.inputs.randomness import ShuffledOrder
from celeba_gan.images.packed import (
    Journal,
    Manifest,
    PackedImages,
    Recipe,
    Shard,
    ShardRecord,
    content_digest,
    hash_pixels,
    shard_file,
)
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.places import Place

SIZE, BATCH = 64, 64
SHARD = 256  # images: for each range of a file moto copies the whole file, which a real server does not
KEYS = {"key": "benchmark", "secret": "benchmark"}

SERVER = """
import logging, sys, time
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

logging.getLogger("werkzeug").setLevel(logging.ERROR)
application = DomainDispatcherApplication(create_backend_app)

def delayed(environment, start_response):
    time.sleep(float(sys.argv[2]))
    return application(environment, start_response)

run_simple("127.0.0.1", int(sys.argv[1]), delayed, threaded=True)
"""


@contextmanager
def server(latency: float) -> Iterator[dict[str, Any]]:
    """An S3 server on loopback with a bucket `faces`; the options of its file system."""
    import s3fs  # type: ignore[import-untyped]

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port), str(latency)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        options = {**KEYS, "endpoint_url": f"http://127.0.0.1:{port}"}
        s3fs.S3FileSystem(**options).mkdir("faces")
        yield options
    finally:
        process.terminate()
        process.wait()


def parts(count: int) -> Iterator[Shard | Manifest]:
    """Packed images of noise: shards, then the manifest."""
    records = []
    for number, start in enumerate(range(0, count, SHARD)):
        length = min(SHARD, count - start)
        pixels = np.random.default_rng(number).integers(0, 256, (length, SIZE, SIZE, 3), dtype=np.uint8)
        records.append(ShardRecord(file=shard_file(number), images=length, sha256=hash_pixels(pixels)))
        empty = Journal(plan="", shard=records[-1], start=0, stop=0, unreadable=[], leaks=[], digests="")
        yield Shard(number, pixels, empty)
    splits = {"train": (0, count), "valid": (count, count), "test": (count, count)}
    yield Manifest(
        count=count,
        size=SIZE,
        recipe=Recipe(crop="none", size=SIZE, filter="box", background="#ffffff", decoder=0, pillow=""),
        shard_images=SHARD,
        source_digest="",
        images_digest="",
        splits=splits,
        shards=records,
        unreadable=[],
        leaks=[],
        duplicates=[],
        digest=content_digest(SIZE, records, splits),
    )


def write(count: int, filepath: str, options: dict[str, Any] | None = None) -> float:
    """Saves packed images as the pipeline does; MB/s, without the time of making them."""
    dataset, seconds = PackedImagesDataset(filepath, credentials=options), 0.0
    for part in parts(count):
        began = time.perf_counter()
        dataset.save(part)
        seconds += time.perf_counter() - began
    return count * SIZE**2 * 3 / 1e6 / seconds


def read_epochs(images: PackedImages, step: float, epochs: int) -> list[float]:
    """Images/s of each epoch of training reads."""
    order, rates = ShuffledOrder(0, len(images)), []
    steps = len(images) // BATCH
    for epoch in range(epochs):
        began = time.perf_counter()
        for number in range(epoch * steps, (epoch + 1) * steps):
            if images.read_ahead:
                images.expect(order.indices((number + 1) * BATCH, images.read_ahead * BATCH).numpy())
            images.gather(order.indices(number * BATCH, BATCH).numpy())
            time.sleep(step)
        rates.append(steps * BATCH / (time.perf_counter() - began))
    return rates


def s3fs_alone(options: dict[str, Any]) -> tuple[float, float]:
    """What s3fs reaches by itself: MB/s of whole shards, and images/s one by one, a batch of requests at once."""
    import s3fs

    files = s3fs.S3FileSystem(**options, config_kwargs={"max_pool_connections": 64})
    path = f"faces/packed/{shard_file(0)}"
    began = time.perf_counter()
    taken = sum(len(files.cat_file(path)) for _ in range(3))
    whole = taken / 1e6 / (time.perf_counter() - began)
    random, bytes_ = np.random.default_rng(0), SIZE**2 * 3
    began = time.perf_counter()
    for _ in range(10):
        starts = [128 + int(row) * bytes_ for row in random.integers(0, SHARD, BATCH)]
        files.cat_ranges([path] * BATCH, starts, [start + bytes_ for start in starts])
    return whole, 10 * BATCH / (time.perf_counter() - began)


def measure(count: int, rounds: int, latency: float, step: float) -> list[str]:
    """The rows of the table."""
    total = count * SIZE**2 * 3
    found: dict[str, list[float]] = {}

    def note(what: str, value: float) -> None:
        found.setdefault(what, []).append(value)
        print(f"{what}: {value:,.0f}", flush=True)

    with server(latency) as options, tempfile.TemporaryDirectory() as folder:
        disk, s3, memory = f"{folder}/packed", "s3://faces/packed", "memory://faces/packed"

        def opened(url: str, cache: str, share: float, ahead: int = 8) -> PackedImages:
            use = StorageSettings(cache=f"{folder}/{cache}", cache_gb=share * total / 1e9, read_ahead=ahead)
            return PackedImages(Place(url, options if url == s3 else {}), use)

        for turn in range(rounds):
            note("writing to the disk, MB/s", write(count, disk))
            note("writing to memory://, MB/s", write(count, memory))
            note("writing to s3://, MB/s", write(count, s3, options))
            whole, single = s3fs_alone(options)
            note("s3fs alone, whole shards, MB/s", whole)
            note("s3fs alone, images one by one, images/s", single)
            note("training from the disk, images/s", read_epochs(PackedImages(Path(disk)), step, 2)[1])
            cases: dict[str, Callable[[], PackedImages]] = {
                "s3://, cache for all": lambda: opened(s3, f"all-{turn}", 1.1),  # noqa: B023 - called in this turn
                "s3://, cache for half": lambda: opened(s3, f"half-{turn}", 0.55),  # noqa: B023
                "s3://, no cache": lambda: opened(s3, "none", 0.0),
                "s3://, no cache, nothing ahead": lambda: opened(s3, "none", 0.0, 0),
                "memory://, no cache": lambda: opened(memory, "none", 0.0),
            }
            for name, case in cases.items():
                images = case()
                first, second = read_epochs(images, step, 2)
                images.close()
                note(f"training from {name}, first epoch, images/s", first)
                note(f"training from {name}, second epoch, images/s", second)
    return [f"| {what} | {statistics.median(values):,.0f} |" for what, values in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds by which the server's answers are delayed")
    parser.add_argument("--step", type=float, default=0.0, help="seconds of a training step between two batches")
    arguments = parser.parse_args()
    rows = measure(arguments.images, arguments.rounds, arguments.latency, arguments.step)
    print(f"{describe()}; {arguments.images:,} images of {SIZE}x{SIZE}, medians of {arguments.rounds} rounds")
    print("\n".join(["| | measured |", "|---|---|", *rows]))


if __name__ == "__main__":
    main()
