"""All that needs a CUDA device, in a few minutes: tests, speed, and two trainings on portraits drawn on the spot.

In order of worth, each step in processes of its own, with a time limit of its own; what fails stops nothing else:

1. the tests of `tests/gan/training/test_cuda.py`, while portraits are drawn, a classifier of their attributes is fitted
   and what step 3 compiles is compiled ahead: no more beside that, or nothing is done in time (seen);
2. `gpu.py`, its most important rows first;
3. the trainings of `conf/celeba` and `conf/modern` on the portraits, both for equal time;
4. their quality: distances between 4,000 samples and as many portraits that nothing was trained on, beside those
   between real portraits; and the speed of sampling and of features.

    python benchmarks/on_gpu.py --minutes 8 --output gpu-results
"""

import argparse
import contextlib
import csv
import json
import logging
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from machine import describe
from numpy.typing import NDArray
from PIL import Image
from portrait_images import PortraitImages, save_portraits
from training import RandomImages

from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.evaluation.features.classifier import AttributeClassifier, LabelledImages, fit_classifier
from celeba_gan.evaluation.metrics.frechet import Gaussian, frechet_distance
from celeba_gan.evaluation.metrics.kernel import kernel_distance
from celeba_gan.evaluation.metrics.swd import sliced_wasserstein
from celeba_gan.evaluation.metrics.two_sample import Sides, two_sample_test
from celeba_gan.evaluation.validation import ValidationDistance, choose_reals
from celeba_gan.foundation.cores import available_cores
from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.runtime.hardware import find_device
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, train
from celeba_gan.reporting.grids import make_grid

PROJECT = Path(__file__).parents[1]
HERE = Path(__file__).parent
PRESETS = ("celeba", "modern")
GRID = (8, 12)
MEASURED = 4000  # samples a side
PARTS = ("tests", "speed", "training")
LIMITS = {"tests": (125, 0.26), "speed": (165, 0.34), "quality": (45, 0.1)}
"""Seconds, or shares of the time where that is less; trainings share what is left."""
KEEP_SECONDS = 15  # between two times that networks and samples are written
KEPT_OUTPUT = 3500  # characters of each step's end that are printed
DIGEST = re.compile(r"FAILED|ERROR |=+ .*(passed|failed|error|skipped).* =+$|WARNING|training:")
"""Lines that are printed once more at the very end."""

Images = NDArray[np.uint8]


# --- steps, each in a process of its own ------------------------------------------------------------------------------


def portraits(_: str, arguments: argparse.Namespace, work: Path) -> None:
    """Draws the portraits and fits the classifier of their attributes."""
    began = time.perf_counter()
    count = 800 if arguments.small else 32_000
    save_portraits(work, count, 32 if arguments.small else 64, available_cores())
    print(f"{count} portraits drawn in {time.perf_counter() - began:.1f} s", flush=True)
    images = PortraitImages(work)
    save_png(images.gather(np.arange(GRID[0] * GRID[1])), arguments.output / "portraits.png")

    def part(split: str) -> LabelledImages:
        start, stop = images.split(split)
        return LabelledImages(lambda positions: images.gather(positions + start), images.attributes[start:stop])

    began = time.perf_counter()
    tensors, report = fit_classifier(
        part("train"), part("valid"), images.names, epochs=1 if arguments.small else 4, seed=0, device=arguments.device
    )
    card = ClassifierCard(attributes=tuple(images.names), size=images.size, report=report, made_from={})
    Checkpoint("classifier", card, tensors).save(work / "classifier.safetensors")
    seconds = time.perf_counter() - began
    print(f"classifier fitted in {seconds:.1f} s: accuracy {report.accuracy:.3f}, AUC {report.auc}")


def settings_of(preset: str, arguments: argparse.Namespace) -> TrainSettings:
    """Of an environment, with short ticks and no end."""
    values: dict[str, Any] = {}
    for environment in ("base", preset):
        text = (PROJECT / "conf" / environment / "parameters.yml").read_text(encoding="utf-8")
        values = merged(values, yaml.safe_load(text)["train"])
    tick = {"celeba": 10, "modern": 5}[preset]
    values |= {
        "kimg": 1e6,
        "tick_kimg": tick,
        "evaluate_every_kimg": tick,
        "device": arguments.device,
        "graphs": "auto",
    }
    values["grid"] = {"rows": GRID[0], "columns": GRID[1]}
    if arguments.small:
        network = values["network"]["name"]
        values["network"] = {"name": network, network: {"width": 8, "max_width": 16}}
        values |= {"tick_kimg": 0.1, "evaluate_every_kimg": 0.1, "batch_size": 8, "evaluate_images": 16}
    return TrainSettings.model_validate(values)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Of two nested dictionaries, the upper one's values first."""
    both = {
        name: merged(below[name], value) if isinstance(value, dict) and isinstance(below.get(name), dict) else value
        for name, value in above.items()
    }
    return {**below, **both}


def compile_ahead(preset: str, arguments: argparse.Namespace, work: Path) -> None:
    """One iteration, of noise, so that all that is compiled lies in the compiler's cache."""
    settings = settings_of(preset, arguments)
    settings = settings.model_copy(update={"kimg": 2 * settings.images_per_iteration / 1000})
    for tick in train(RandomImages(32 if arguments.small else 64), settings):
        print(f"{tick.images} images", flush=True)


def training(preset: str, arguments: argparse.Namespace, work: Path) -> None:
    """Trains until the time is up; keeps the rows, the last networks and their samples."""
    images, settings = PortraitImages(work), settings_of(preset, arguments)
    reals = choose_reals(images.gather, *images.split("valid"), images.size, 2 * settings.evaluate_images)
    began = time.monotonic()
    first: list[float] = []

    def stop_in_time(shown: int, total: int) -> None:
        if not first:
            first.append(time.monotonic() - began)
            print(f"first iteration after {first[0]:.1f} s", flush=True)
        if time.monotonic() - began > arguments.seconds:
            os.kill(os.getpid(), signal.SIGTERM)  # ends as a person would end it: with a whole tick

    rows: list[dict[str, float]] = []
    kept = float("-inf")
    try:
        for tick in train(images, settings, None, stop_in_time, measure=ValidationDistance(reals)):
            passed = time.monotonic() - began
            rows += [{**row, "seconds": passed} for row in tick.rows]
            print(f"{passed:6.1f} s, {tick.images / 1000:8.1f} kimg{shown_of(tick)}", flush=True)
            if passed > min(kept + KEEP_SECONDS, arguments.seconds):
                kept = passed
                keep(preset, tick, rows, arguments.output, work)
    except SystemExit:
        print("training:", (work / f"{preset}.json").read_text())


def shown_of(tick: Tick) -> str:
    """What is worth a line."""
    row = tick.rows[-1] if tick.rows else {}
    names = (
        "images_per_second",
        "swd_absolute_valid",
        "swd_absolute_valid_floor",
        "auc",
        "gradient_norm",
        "diversity",
        "gpu_memory_gib",
    )
    return "".join(f", {name} {row[name]:.4g}" for name in names if name in row)


def keep(preset: str, tick: Tick, rows: list[dict[str, float]], output: Path, work: Path) -> None:
    """The newest of everything."""
    summary: dict[str, float] = {"kimg": tick.images / 1000}
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        with (output / f"{preset}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        summary["seconds"] = rows[-1]["seconds"]
        summary["images_per_second"] = statistics.median(row["images_per_second"] for row in rows[len(rows) // 4 :])
        summary["gpu_memory_gib"] = max(row.get("gpu_memory_gib", 0.0) for row in rows)
    (work / f"{preset}.json").write_text(json.dumps(summary))
    save_png(tick.samples, output / f"{preset}.png")
    for network in (tick.networks.generator, tick.networks.discriminator):
        if network is not None:
            network.save(work / f"{preset}.{network.kind}.safetensors")


def save_png(images: Images, path: Path) -> None:
    Image.fromarray(make_grid(images, 0, GRID[1], tile=64).pixels).save(path, optimize=True)


def quality(preset: str, arguments: argparse.Namespace, work: Path) -> None:
    """Distances of samples to unseen portraits, and of portraits to each other; the speed of measuring."""
    images, device = PortraitImages(work), find_device(arguments.device)
    found: dict[str, Any] = {"training": json.loads((work / f"{preset}.json").read_text())}
    trained: dict[str, Network] = {
        kind: Checkpoint.load(work / f"{preset}.{kind}.safetensors", kind, ModelCard)
        for kind in ("generator", "discriminator")
    }
    generator = TrainedGenerator(trained["generator"], device)
    fitted = Checkpoint.load(work / "classifier.safetensors", "classifier", ClassifierCard)
    classifier = AttributeClassifier(images.names, fitted.tensors, device)
    count = min(MEASURED, images.held_out)
    list(generator.batches(256, seed=1, batch_size=256))  # warms up
    began = time.perf_counter()
    samples = np.concatenate([images for images, _ in generator.batches(2 * count, seed=0, batch_size=256)])
    found["samples_per_second"] = len(samples) / (time.perf_counter() - began)
    classifier(samples[:256])
    began = time.perf_counter()
    classifier(samples)
    found["features_per_second"] = len(samples) / (time.perf_counter() - began)
    print(json.dumps(found), flush=True)
    starts = {split: images.split(split)[0] for split in ("train", "valid", "test")}
    sets = {split: images.gather(np.arange(start, start + count)) for split, start in starts.items()}
    sets["samples"] = samples[:count]
    features = {name: classifier(pixels) for name, pixels in sets.items()}
    for name in ("samples", "valid", "train"):
        began = time.perf_counter()
        found[f"{name} against test"] = {
            "frechet_attributes": frechet_distance(Gaussian.of([features["test"]]), Gaussian.of([features[name]])),
            "kernel_distance_attributes": kernel_distance(features["test"], features[name]).value,
            **sliced_wasserstein(sets["test"], sets[name], projections=128, patches=32, seed=0),
            "seconds": time.perf_counter() - began,
        }
        print(name, json.dumps(found[f"{name} against test"]), flush=True)
        (arguments.output / f"{preset}.json").write_text(json.dumps(found, indent=1))
    began = time.perf_counter()
    card = trained["discriminator"].card
    judge = build_discriminator(card.network, card.size).to(device)
    part = min(1000, count)
    learn, judged = (
        Sides(sets[name][:part], samples[first:][:part]) for name, first in (("valid", 0), ("test", count))
    )
    chosen = Sides(learn.real[: part // 5], learn.fake[: part // 5])
    rest = Sides(learn.real[part // 5 :], learn.fake[part // 5 :])
    found["two_samples"] = two_sample_test(judge, rest, chosen, judged, seed=0)
    found["two_samples"]["seconds"] = time.perf_counter() - began
    print("two samples", json.dumps(found["two_samples"]))
    (arguments.output / f"{preset}.json").write_text(json.dumps(found, indent=1))


STEPS: dict[str, Callable[[str, argparse.Namespace, Path], None]] = {
    "portraits": portraits,
    "compile": compile_ahead,
    "train": training,
    "quality": quality,
}


# --- running them -----------------------------------------------------------------------------------------------------


class Runner:
    """Starts steps, waits for them, ends those that take too long, and gathers what they say in `report.txt`."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.arguments, self.work = arguments, work
        self.began: float = time.monotonic()
        self.until: float = self.began + arguments.minutes * 60
        self.digest: list[str] = []
        self.report = (arguments.output / "report.txt").open("w", encoding="utf-8")
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(HERE), os.environ.get("PYTHONPATH", "")]),
            "PYTHONUNBUFFERED": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(work / "compiled"),
            "TORCHINDUCTOR_COMPILE_THREADS": "4",  # for each of many processes
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        }

    def say(self, text: str) -> None:
        """Prints, and keeps."""
        print(text, flush=True)
        print(text, file=self.report, flush=True)

    def own(self, step: str, seconds: float = 0.0) -> list[str]:
        """The command of a step of this script."""
        options = ["--step", step, "--work", str(self.work), "--seconds", f"{seconds:.0f}"]
        options += ["--output", str(self.arguments.output), "--device", self.arguments.device]
        return [sys.executable, __file__, *options, *(["--small"] if self.arguments.small else [])]

    def run(self, commands: dict[str, list[str]], limit: float, needed: str = "") -> None:
        """Runs commands beside each other, for so many seconds at most; then prints the end of what each said.

        Args:
            commands: By name.
            limit: In seconds.
            needed: The name of one without which nothing goes on: it has twice the time.
        """
        processes, logs = {}, {}
        start = time.monotonic()
        for name, command in commands.items():
            logs[name] = self.work / f"{name.replace(' ', '-')}.log"
            with logs[name].open("w") as log:
                processes[name] = subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, env=self.environment, cwd=PROJECT,
                    start_new_session=True,
                )  # fmt: skip
        ended: dict[str, float] = {}
        try:
            while len(ended) < len(commands):
                passed = time.monotonic() - start
                if passed > limit and (needed not in set(commands) - set(ended) or passed > 2 * limit):
                    break
                time.sleep(0.2)
                for name, process in processes.items():
                    if name not in ended and process.poll() is not None:
                        ended[name] = time.monotonic() - start
        finally:
            for process in processes.values():
                kill(process)
        for name, process in processes.items():
            said = logs[name].read_text(errors="replace").strip()
            outcome = f"exit code {process.returncode}, {ended[name]:.0f} s" if name in ended else "ended: out of time"
            heading = f"\n=== {name}: {outcome} (at {time.monotonic() - self.began:.0f} s)"
            print(heading, f"... {said[-KEPT_OUTPUT:]}" if len(said) > KEPT_OUTPUT else said, sep="\n", flush=True)
            print(heading, said, sep="\n", file=self.report, flush=True)
            self.digest += [line for line in said.splitlines() if DIGEST.match(line)]

    def left(self) -> float:
        """Seconds."""
        return max(5.0, self.until - time.monotonic())


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Ends a step and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_all(runner: Runner, arguments: argparse.Namespace) -> None:
    limits = {name: min(most, share * arguments.minutes * 60) for name, (most, share) in LIMITS.items()}
    gpu = [sys.executable, str(HERE / "gpu.py"), "--device", arguments.device]
    gpu += ["--small", "--iterations", "1"] if arguments.small else []
    first = {"portraits": runner.own("portraits")} if "training" in arguments.only else {}
    if "tests" in arguments.only:
        first |= tests()
    if "training" in arguments.only:
        first |= {f"compile {preset}": runner.own(f"compile {preset}") for preset in PRESETS}
    runner.run(first, limits["tests"], needed="portraits")
    if "speed" in arguments.only:
        runner.run({"speed": [*gpu, "--seconds", str(limits["speed"] - 15)]}, limits["speed"])
    if "training" in arguments.only:
        each = (runner.left() - limits["quality"]) / len(PRESETS)
        for preset in PRESETS:
            runner.run({f"train {preset}": runner.own(f"train {preset}", each - 15)}, each)
        runner.run({f"quality {preset}": runner.own(f"quality {preset}") for preset in PRESETS}, runner.left())


def tests() -> dict[str, list[str]]:
    """Four parts, since those that compile take longest."""
    pytest = [sys.executable, "-m", "pytest", "-v", "--tb=short", "--durations=5", "-p", "no:cacheprovider"]
    pytest += ["--noconftest", str(PROJECT / "tests" / "gan" / "training" / "test_cuda.py"), "-k"]
    return {
        "tests of bits": [*pytest, "(identical or compiled_one) and not graphs"],
        "tests of graphs": [*pytest, "graphs"],
        "tests of compiled gradients": [*pytest, "compiled_gradients or two_processes"],
        "tests of all else": [*pytest, "not identical and not compiled_ and not two_processes and not graphs"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything")
    parser.add_argument("--output", type=Path, default=Path("gpu-results"), help="folder for at most eight files")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: only to try the script itself")
    parser.add_argument("--small", action="store_true", help="tiny networks, to try the script itself")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS, help="some of the steps")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here")
    arguments.output = arguments.output.resolve()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.step:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        step, _, preset = arguments.step.partition(" ")
        STEPS[step](preset, arguments, arguments.work)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that steps end with this process
    with tempfile.TemporaryDirectory() as work:
        runner = Runner(arguments, Path(work))
        device = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU, not for its figures"
        runner.say(f"{device} ({describe()})")
        run_all(runner, arguments)
        runner.say("\n".join(["", *runner.digest]))
        runner.say(f"\ndone after {time.monotonic() - runner.began:.0f} s")


if __name__ == "__main__":
    main()
