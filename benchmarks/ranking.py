"""Which of three presets is the best, by one protocol: `base`, `modern_demo` and `article`, trained for equal time.

All three train on the same drawn portraits, `base` and `modern_demo` at 32x32, `article` at its own 112x112. All are
measured at 32x32, with one classifier of attributes and the same unseen portraits: `article`'s samples are brought to
32x32 by the very resizing that made the others' portraits of its own. A fresh DCGAN is the judge of the two-sample
test. There is no AGE: it takes each training's own discriminator, and so compares no generators.

Writes to `--output`: a grid of samples and a card like `evaluation.json` for each preset, a grid of portraits, and
`ranking.md`.

    python benchmarks/ranking.py --seconds 75 --output ranking-results
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from machine import describe
from numpy.typing import NDArray
from on_gpu import merged
from PIL import Image
from portrait_images import PortraitImages, save_portraits
from pydantic import JsonValue

from celeba_gan.evaluation.attributes import describe_attributes
from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.evaluate import evaluate
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.evaluation.features.classifier import AttributeClassifier, LabelledImages, fit_classifier
from celeba_gan.evaluation.image_sets import Models, Reals
from celeba_gan.foundation.cores import available_cores
from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runtime.hardware import find_device
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train
from celeba_gan.reporting.grids import make_grid

PROJECT = Path(__file__).parents[1]
SIZES = {"base": 32, "modern_demo": 32, "article": 112}
MEASURED = 32  # pixels a side
ROWS, COLUMNS = 6, 8  # of a grid
SHOWN = (
    "frechet_attributes",
    "frechet_infinity_attributes",
    "kernel_distance_attributes",
    "swd",
    "precision_attributes",
    "recall_attributes",
    "coverage_attributes",
    "c2st_accuracy",
    "ms_ssim",
)
RANKED_BY = ("frechet_attributes", "kernel_distance_attributes", "swd", "c2st_accuracy")  # less is better

Images = NDArray[np.uint8]


def resize(images: Images, size: int) -> Images:
    """Antialiased, uint8 (n, side, side, 3) to (n, size, size, 3)."""
    if images.shape[1] == size:
        return images
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    smaller = F.interpolate(floats, (size, size), mode="bilinear", antialias=True)
    found: Images = smaller.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return found


def save_png(images: Images, path: Path) -> None:
    Image.fromarray(make_grid(images, 0, COLUMNS, tile=64).pixels).save(path, optimize=True)


# --- steps, each in a process of its own ------------------------------------------------------------------------------


def portraits(_: str, arguments: argparse.Namespace) -> None:
    """Draws the portraits, makes the small ones of them, and fits the classifier of their attributes."""
    began = time.perf_counter()
    largest = max(SIZES.values())
    for size in set(SIZES.values()):
        (arguments.work / str(size)).mkdir()
    save_portraits(arguments.work / str(largest), arguments.portraits, largest, available_cores())
    large = PortraitImages(arguments.work / str(largest))
    pixels = [resize(large.pixels[start : start + 512], MEASURED) for start in range(0, len(large.pixels), 512)]
    np.save(arguments.work / str(MEASURED) / "pixels.npy", np.concatenate(pixels))
    np.save(arguments.work / str(MEASURED) / "attributes.npy", large.attributes)
    print(f"{arguments.portraits} portraits drawn in {time.perf_counter() - began:.1f} s", flush=True)
    images = PortraitImages(arguments.work / str(MEASURED))
    first = images.split("test")[0]
    save_png(images.gather(np.arange(first, first + ROWS * COLUMNS)), arguments.output / "portraits.png")

    def part(split: str) -> LabelledImages:
        start, stop = images.split(split)
        return LabelledImages(lambda positions: images.gather(positions + start), images.attributes[start:stop])

    epochs = 1 if arguments.small else 4
    began = time.perf_counter()
    tensors, report = fit_classifier(
        part("train"), part("valid"), images.names, epochs=epochs, seed=0, device=arguments.device
    )
    card = ClassifierCard(attributes=tuple(images.names), size=MEASURED, report=report, made_from={})
    Checkpoint("classifier", card, tensors).save(arguments.work / "classifier.safetensors")
    print(f"classifier fitted in {time.perf_counter() - began:.1f} s: accuracy {report.accuracy:.3f}, {report.auc}")


def settings_of(preset: str, arguments: argparse.Namespace) -> TrainSettings:
    """Of an environment, without an end, measured afterwards alone, and not compiled, which takes each its own time."""
    values: dict[str, Any] = {}
    for environment in dict.fromkeys(("base", preset)):
        text = (PROJECT / "conf" / environment / "parameters.yml").read_text(encoding="utf-8")
        values = merged(values, yaml.safe_load(text)["train"])
    values |= {"kimg": 1e6, "evaluate_every_kimg": None, "compile": False, "device": arguments.device}
    if arguments.small:
        values |= {"tick_kimg": 0.02, "batch_size": 4}
    return TrainSettings.model_validate(values)


def training(preset: str, arguments: argparse.Namespace) -> None:
    """Trains until the time is up, to a whole tick, and keeps the generator."""
    images, settings = PortraitImages(arguments.work / str(SIZES[preset])), settings_of(preset, arguments)
    began = time.monotonic()

    def stop_in_time(shown: int, total: int) -> None:
        if time.monotonic() - began > arguments.seconds:
            os.kill(os.getpid(), signal.SIGTERM)  # ends as a person would end it: with a whole tick

    rate = 0.0
    try:
        for tick in train(images, settings, None, stop_in_time):
            rate = tick.rows[-1]["images_per_second"] if tick.rows else 0.0
            generator = tick.networks.generator  # live: of the last tick in the end
    except SystemExit:
        pass
    seconds = time.monotonic() - began
    generator.save(arguments.work / f"{preset}.safetensors")
    facts: dict[str, Any] = {"kimg": generator.card.images / 1000, "seconds": seconds, "images_per_second": rate}
    facts |= {"device": hardware(arguments.device), "trained_size": SIZES[preset]}
    (arguments.work / f"{preset}.json").write_text(json.dumps(facts))
    print(json.dumps(facts), flush=True)


def hardware(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else describe().split(", ")[1]


def measuring(preset: str, arguments: argparse.Namespace) -> None:
    """Measures the generator at the size that all share, and shows its samples as they were made."""
    torch.set_num_threads(max(1, available_cores() // (len(SIZES) + 2 * arguments.twice)))
    device = find_device(arguments.device)
    images = PortraitImages(arguments.work / str(MEASURED))
    facts = json.loads((arguments.work / f"{preset}.json").read_text())
    generator = TrainedGenerator(
        Checkpoint.load(arguments.work / f"{preset}.safetensors", "generator", ModelCard), device
    )
    save_png(generator.sample(ROWS * COLUMNS), arguments.output / f"{preset}.png")
    classifier = Checkpoint.load(arguments.work / "classifier.safetensors", "classifier", ClassifierCard)
    extractor = AttributeClassifier(images.names, classifier.tensors, device)

    def sample(count: int, seed: int, *, first: int = 0) -> Iterator[tuple[Images, NDArray[np.float32]]]:
        for made, labels in generator.batches(count, seed, batch_size=256, first=first):
            yield resize(made, MEASURED), labels

    def new_discriminator() -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = NetworkSettings.model_validate({"name": "dcgan", "dcgan": {"width": 32}})
            return build_discriminator(network, MEASURED).to(device)

    recipe: dict[str, JsonValue] = {"resized": f"from {max(SIZES.values())} pixels, bilinear, antialiased"}
    reals = Reals(
        images.gather,
        lambda indices: np.zeros((len(indices), 0), np.float32),
        {split: images.split(split) for split in ("train", "valid", "test")},
        MEASURED,
        images.digest,
        recipe,
    )
    models = Models(
        sample=sample,
        training_id=generator.card.id,
        images=generator.card.images,
        finished=generator.card.finished,
        size=MEASURED,
        data_digest=images.digest,
        discriminator=None,
        new_discriminator=new_discriminator,
        random_crop=generator.card.random_crop,
    )
    values = {"images": images.held_out, "train_images": images.split("train")[1], "swd_patches": 16}  # as QUALITY.md
    values |= {"bootstrap": 20, "two_sample_images": 40, "swd_projections": 64} if arguments.small else {}
    settings = EvaluateSettings.model_validate(values)
    began = time.perf_counter()
    found = evaluate(models, reals, settings, [extractor])
    report = classifier.card.report
    assert report is not None
    quality = {name: report.attributes[name] for name in images.names}
    shares = describe_attributes(quality, *found.probabilities["attributes"], found.labels, ())
    facts |= {"evaluation_seconds": time.perf_counter() - began, "made_at": generator.card.size}
    measured = found.evaluation.model_copy(update={"attributes": shares}).to_json()
    text = json.dumps({**measured, "training": facts}, indent=1)
    (arguments.output / f"{preset}.json").write_text(text)
    print(f"{preset}: measured in {facts['evaluation_seconds']:.1f} s")


STEPS: dict[str, Callable[[str, argparse.Namespace], None]] = {
    "portraits": portraits,
    "train": training,
    "measure": measuring,
}


# --- all of it --------------------------------------------------------------------------------------------------------


def run(steps: list[str], arguments: argparse.Namespace) -> None:
    """Steps beside each other; a failed one ends everything.

    A step `measure PRESET on DEVICE` is done there, and what it writes goes to a folder of that name in `--work`.

    Raises:
        SystemExit: A step failed.
    """
    options = [
        "--work",
        str(arguments.work),
        "--seconds",
        str(arguments.seconds),
        "--portraits",
        str(arguments.portraits),
    ]
    options += [f"--{name}" for name in ("small", "twice") if getattr(arguments, name)]
    paths = os.pathsep.join([str(PROJECT / "src"), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    began = time.monotonic()
    begun = {}
    for step in steps:
        named, _, device = step.partition(" on ")
        output = arguments.work / device if device else arguments.output
        command = [sys.executable, __file__, "--step", named, "--output", str(output), *options]
        command += ["--device", device or arguments.device]
        begun[step] = subprocess.Popen(command, env=environment)
    codes = {step: process.wait() for step, process in begun.items()}
    print(f"{', '.join(steps)}: {time.monotonic() - began:.0f} s", flush=True)
    if failed := [step for step, code in codes.items() if code]:
        sys.exit(f"failed: {', '.join(failed)}")


def apart(first: Path, second: Path) -> str:
    """How far the numbers of `base` in two folders are apart."""
    one, other = (json.loads((folder / "base.json").read_text())["metrics"] for folder in (first, second))
    shares = {name: abs(value - other[name]) / max(abs(value), 1e-12) for name, value in one.items()}
    different = {name: f"{share:.2g}" for name, share in shares.items() if share}
    return f"of {len(one)} numbers {len(different)} differ, by these shares: {different}" if different else "the same"


def table(cards: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Lines of Markdown."""
    names = [name for name in SHOWN if name in cards["base"]["metrics"]]
    yield f"| | kimg | images/s | {' | '.join(names)} |"
    yield "|---" * (len(names) + 3) + "|"
    for preset, card in cards.items():
        facts = card["training"]
        cells = [number(card["metrics"][name], card["intervals"].get(name)) for name in names]
        yield f"| {preset} | {facts['kimg']:.4g} | {facts['images_per_second']:.0f} | {' | '.join(cells)} |"
    for key, what in (("floor", "portraits of valid"), ("floor_train", "portraits of train")):
        cells = [number(value, None) if (value := cards["base"][key].get(name)) is not None else "" for name in names]
        yield f"| {what} | | | {' | '.join(cells)} |"
    yield ""
    for name in RANKED_BY:
        if name in names:
            order = sorted(cards, key=lambda preset: float(cards[preset]["metrics"][name]))
            yield f"- by `{name}`, best first: {', '.join(order)}"


def number(value: float, interval: dict[str, Any] | None) -> str:
    """With its 95 % interval where there is one."""
    return f"{value:.4g}" + (f" ({interval['low']:.4g} to {interval['high']:.4g})" if interval else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=75.0, help="of training for each, by the clock")
    parser.add_argument("--portraits", type=int, help="an eighth is valid, an eighth test; default 20000")
    parser.add_argument("--output", type=Path, default=Path("ranking-results"), help="folder for eight files")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu"])
    parser.add_argument("--twice", action="store_true", help="measure base again, on the device and on the CPU")
    parser.add_argument("--small", action="store_true", help="few images, to try the script itself")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.output, arguments.device = arguments.output.resolve(), find_device(arguments.device)
    arguments.portraits = arguments.portraits or (800 if arguments.small else 20_000)
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.step:
        step, _, preset = arguments.step.partition(" ")
        STEPS[step](preset, arguments)
        return
    with tempfile.TemporaryDirectory() as work:
        arguments.work = Path(work)
        run(["portraits"], arguments)
        for preset in SIZES:
            run([f"train {preset}"], arguments)
        again = dict.fromkeys((arguments.device, "cpu")) if arguments.twice else ()
        run([f"measure {preset}" for preset in SIZES] + [f"measure base on {device}" for device in again], arguments)
        for device in again:
            print(f"base, again on {device}: {apart(arguments.output, arguments.work / device)}")
    cards = {preset: json.loads((arguments.output / f"{preset}.json").read_text()) for preset in SIZES}
    protocol = cards["base"]["protocol"]
    heading = (
        f"{hardware(arguments.device)} ({describe()}); {arguments.seconds:g} s of training each; "
        f"{protocol['images_per_side']} samples against as many unseen portraits, {protocol['train_images']} of train"
    )
    text = "\n".join([heading, "", *table(cards), ""])
    (arguments.output / "ranking.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
