"""Which metric notices what: every metric's response to images and sets of images that are spoilt in one known way.

Portraits against other portraits of the same kind, which are spoilt in five rising strengths. The classifier of the
attributes, whose features several metrics compare, has learnt from further portraits, which also are the "training
images". The floor is what other portraits score that nobody spoilt: its mean, and its spread over ten such sets.

Everything is kept below --folder: portraits, classifier, and the numbers, which are measured again with --again only.

    python benchmarks/corruptions.py
"""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from corrupted_images import CORRUPTIONS, Images, Material
from corruptions_report import Row, write
from machine import describe
from quality import portraits
from safetensors.torch import load_file, save_file

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.features.classifier import AttributeClassifier, LabelledImages, fit_classifier
from celeba_gan.evaluation.metrics.originality import measure_originality
from celeba_gan.evaluation.metrics.registry import measures
from celeba_gan.evaluation.metrics.two_sample import Sides, two_sample_test
from celeba_gan.evaluation.validation import ValidationDistance
from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings

PROJECT = Path(__file__).parents[1]
SIZE, SEED = 32, 2
FLOORS, TRAIN = 10, 4  # sets of real images in the samples' place; training images, in sets
ATTRIBUTES = ("Male", "Eyeglasses")  # those that are left out
SETTINGS = EvaluateSettings(
    swd_projections=128, swd_patches=32
)  # a quarter of the default's directions, half its patches
EPOCHS = 8  # of the classifier


class Portraits:
    """Disjoint sets of portraits, and the classifier."""

    def __init__(self, folder: Path, count: int) -> None:
        packed, index = portraits(folder, (TRAIN + 1 + FLOORS + 1) * count, SEED, SIZE)
        table = index.select_dtypes("int8")
        # Cut where the people change, every hundred, so that nobody is in two sets; in random order within each.
        places = np.split(np.arange(len(packed)), np.arange(TRAIN, TRAIN + FLOORS + 2) * count)
        places = [np.random.default_rng(0).permutation(some) for some in places]
        self.train, self.real, *self.floors = (packed.gather(some) for some in places[:-1])
        base, rest = places[2], places[-1]
        having = {name: table[name].to_numpy() > 0 for name in ATTRIBUTES}
        self.material = Material(
            images=self.floors[0],
            lacking={name: ~has[base] for name, has in having.items()},
            spare={name: packed.gather(rest[~has[rest]]) for name, has in having.items()},
            train=self.train,
        )
        file = folder / "classifier.safetensors"
        names = [str(name) for name in table.columns]
        if not file.exists():
            began = time.process_time()
            train, valid = (
                LabelledImages(images.__getitem__, table.to_numpy()[some])
                for images, some in ((self.train, places[0]), (self.real, places[1]))
            )
            tensors, report = fit_classifier(train, valid, names, epochs=EPOCHS, seed=0)
            save_file(tensors, file, {"accuracy": f"{report.accuracy:.4f}", "auc": f"{report.auc:.4f}"})
            print(f"classifier: {time.process_time() - began:.0f} CPU s, {report.accuracy:.1%} right", flush=True)
        self.classifier = AttributeClassifier(names, load_file(file))


class Metrics:
    """All numbers of one set in the samples' place."""

    def __init__(self, sets: Portraits) -> None:
        self.real, self.classifier = sets.real, sets.classifier
        self.real_features, of_real = self.classifier.describe(self.real)
        self.real_shares = of_real.mean(axis=0)
        self.train_features = [self.classifier(some) for some in (sets.train, sets.train[:, :, ::-1])]
        self.in_training = ValidationDistance(self.real)

    def __call__(self, fake: Images) -> dict[str, float]:
        """Numbers by name."""
        values: dict[str, float] = {}
        for of_images in measures("images"):
            values |= of_images(self.real, fake, SETTINGS).values
        values |= {"swd_absolute_valid": self.in_training(lambda count, seed: fake[:count])["swd_absolute_valid"]}
        features, probabilities = self.classifier.describe(fake)
        for of_features in measures("features"):
            values |= of_features(self.real_features, features, SETTINGS).values
        values |= {"attribute_shares": float(np.abs(probabilities.mean(axis=0) - self.real_shares).mean())}
        values |= asdict(measure_originality(features, self.train_features, self.real_features))
        return values | self.two_samples(fake)

    def two_samples(self, fake: Images) -> dict[str, float]:
        """Two fifths to learn from, a tenth to choose by, half to be measured on."""
        torch.manual_seed(0)
        network = NetworkSettings.model_validate({"name": "dcgan", "dcgan": {"width": 16}})
        ends = [2 * len(fake) // 5, len(fake) // 2]
        sides = [Sides(*pair) for pair in zip(np.split(self.real, ends), np.split(fake, ends), strict=True)]
        found = two_sample_test(build_discriminator(network, SIZE), *sides)
        return {name: found[name] for name in ("c2st_accuracy", "c2st_auc", "c2st_age")}


_metrics: Metrics
_sets: Portraits


def prepare(folder: Path, count: int) -> None:
    """Readies a process to measure."""
    global _sets, _metrics
    torch.set_num_threads(1)
    _sets = Portraits(folder, count)
    _metrics = Metrics(_sets)


def measure(task: tuple[str, int]) -> Row:
    """Measures one set: a corruption at a level from 1 on, or an unspoilt set where the corruption has no name."""
    name, level = task
    began = time.process_time()
    if name:
        fake = CORRUPTIONS[name].spoil(_sets.material, CORRUPTIONS[name].strengths[level - 1])
    else:
        fake = _sets.floors[level]
    values = _metrics(fake)
    seconds = time.process_time() - began
    return {"corruption": name, "level": level, "values": values, "seconds": seconds, "machine": describe()}


def measured(folder: Path, count: int, quick: bool, jobs: int) -> list[Row]:
    """A row per set; those that are there already are read, the others are written as soon as they are measured."""
    file = folder / "numbers.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    rows: dict[tuple[str, int], Row] = {(row["corruption"], row["level"]): row for row in known}
    levels = (3, 1, 5) if quick else (3, 1, 5, 2, 4)
    tasks = [("", number) for number in range(FLOORS)]
    tasks += [(name, level) for level in levels for name in CORRUPTIONS]
    pending = [task for task in tasks if task not in rows]
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(jobs, mp_context=spawn, initializer=prepare, initargs=(folder, count)) as pool,
        file.open("a") as lines,
    ):
        for task, row in zip(pending, pool.map(measure, pending), strict=True):
            rows[task] = row
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            print(
                f"{len(rows)} of {len(tasks)}: {task[0] or 'floor'} {task[1]}, {row['seconds']:.1f} CPU s", flush=True
            )
    return [rows[task] for task in tasks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="a side; 16 times as many are drawn")
    parser.add_argument("--quick", action="store_true", help="300 images a side and three strengths of five")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "CORRUPTIONS.md", help="the page")
    parser.add_argument("--chart", type=Path, default=PROJECT / "docs" / "images" / "corruptions.png")
    parser.add_argument("--folder", type=Path, default=PROJECT / "data" / "corruptions", help="for what is kept")
    parser.add_argument("--again", action="store_true", help="measure although the numbers are there")
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    arguments = parser.parse_args()
    count = 300 if arguments.quick else arguments.images
    torch.set_num_threads(1)
    folder = arguments.folder / str(count)
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.again:
        (folder / "numbers.jsonl").unlink(missing_ok=True)
    material = Portraits(folder, count).material
    rows = measured(folder, count, arguments.quick, arguments.jobs)
    write(rows, count, material, arguments.output, arguments.chart)
    print(arguments.output, arguments.chart)


if __name__ == "__main__":
    main()
