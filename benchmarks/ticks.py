"""What training costs beside its steps: the start, the ticks, and the node as a whole, at the demo's defaults.

The node `train_gan` is run as Kedro runs it, each output of a tick saved by its dataset; MLflow, imports and reading
packed images from disk are left out. Ticks and bare step loops take turns, so that ratios hold while the machine's
speed drifts. Times are CPU time of this process, so that other programs do not count. Figures are medians over ticks.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from machine import describe, matrix_product_ms
from training import RandomImages

from celeba_gan.datasets.runs import RunDataset
from celeba_gan.datasets.ticks import MetricRowsDataset, TrainingGridsDataset
from celeba_gan.gan.inputs.feed import ImageFeed
from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps
from celeba_gan.pipelines.train.nodes import train_gan

PARAMETERS = Path(__file__).parents[1] / "conf" / "base" / "parameters.yml"


class Watch:
    """Adds up the CPU seconds of the iterations of a training, whoever runs it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.first: float | None = None
        """When the first iteration ended, on the wall clock."""
        iterate = Steps.iterate

        def watched(steps: Steps, *arguments: Any) -> Any:
            began = time.process_time()
            terms = iterate(steps, *arguments)
            self.seconds += time.process_time() - began
            self.first = self.first or time.perf_counter()
            return terms

        Steps.iterate = watched  # type: ignore[method-assign, assignment]


def node(images: Any, settings: TrainSettings, folder: Path) -> Iterator[None]:
    """Runs the node; pauses when all outputs of a tick are saved."""
    outputs: list[Any] = [
        MetricRowsDataset(str(folder / "metric_rows")),
        TrainingGridsDataset(str(folder / "training_grids")),
        RunDataset(str(folder / "run")),
    ]
    for tick in train_gan(images, None, None, settings, None, Experiments(folder)):
        for dataset, output in zip(outputs, tick, strict=True):
            dataset.save(output)
        yield


def bare(images: RandomImages, settings: TrainSettings, iterations: int) -> Iterator[None]:
    """Nothing but steps, `iterations` at a time."""
    hardware = choose_hardware(settings, None)
    feed = ImageFeed(settings, images, hardware)
    steps, iteration = Steps(settings, hardware, Pair(settings, images.size, hardware)), 0
    while True:
        for _ in range(iterations):
            steps.iterate(feed, iteration, (iteration + 1) * settings.images_per_iteration)
            iteration += 1
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=5)
    parser.add_argument("--tick-kimg", type=float, help="thousand images per tick; none: the demo's")
    parser.add_argument("--threads", type=int, help="none: all cores")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = arguments.threads or cores
    parameters = yaml.safe_load(PARAMETERS.read_text(encoding="utf-8"))
    tick_kimg = arguments.tick_kimg or parameters["train"]["tick_kimg"]
    settings = TrainSettings.model_validate(
        parameters["train"] | {"kimg": 1e6, "tick_kimg": tick_kimg, "device": "cpu", "threads": threads}
    )
    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)  # noise is learnt by heart soon, and health says so
    images, watch = RandomImages(parameters["preprocess"]["size"]), Watch()

    with tempfile.TemporaryDirectory() as folder:
        running = node(images, settings, Path(folder))
        began, cpu = time.perf_counter(), time.process_time()
        next(running)  # the snapshot before the first step
        started = time.perf_counter() - began, time.process_time() - cpu
        next(running)
        assert watch.first is not None
        to_first_step = watch.first - began
        card = RunDataset(str(Path(folder) / "run")).run.card()
        assert card is not None
        precision = card.hardware.precision
        loop = bare(images, settings, iterations := round(card.images / settings.images_per_iteration))
        next(loop)
        extra, ratios, seconds = [], [], []
        for _ in range(arguments.ticks):
            before, began = watch.seconds, time.process_time()
            next(running)
            whole = time.process_time() - began
            in_steps = watch.seconds - before
            began = time.process_time()
            next(loop)
            ratios.append((time.process_time() - began) / whole)
            extra.append((whole - in_steps) / whole)
            seconds.append(whole - in_steps)

    print(f"Training beside its steps ({describe()}); 1024^3 float32 product {matrix_product_ms():.1f} ms")
    print(
        f"start to the first saved tick {started[0]:.1f} s ({started[1]:.1f} s CPU), to the end of the first iteration "
        f"{to_first_step:.1f} s (target: under 10 s beyond imports); precision {precision}"
    )
    print(
        f"a tick of {iterations} iterations: {statistics.median(seconds):.2f} s CPU beside the steps, "
        f"{statistics.median(extra):.1%} of the tick (target: under 3 %)"
    )
    print(
        f"bare steps / node, CPU time of as many iterations: {statistics.median(ratios):.3f} (target: at least 0.95), "
        f"median of {arguments.ticks} ticks"
    )


if __name__ == "__main__":
    main()
