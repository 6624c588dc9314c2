"""What evaluation costs on the CPU, section by section.

`frechet`: the distance between two sets of 5,000 features of 2,048 dimensions, as of Inception-V3, with its error and
its limit for sets without end. The features are those of a ReLU over a spectrum that falls.
`whole`: all of `evaluate` with 10,000 samples and as many reals of 64x64 pixels, the demo's networks and the attribute
network (untrained: the time is the same), at first and again with what the first time left on disk; and the peak of
memory, also with half as many images; and the longest stretch in which nothing was reported to the progress bar.
`overlap`: sampling in a thread of its own while the features of the samples before are computed, or in turn.
`classifier`: training the attribute classifier on 20,000 images of 64x64 pixels, and on as many of 32x32 as the demo
has; its accuracy and AUC on 5,000 others. They are 25,000 portraits drawn here, each another, cropped and resized as
packing does, since there are no photographs. It measures another checkout with that one's `src` in PYTHONPATH. Minutes.

Wall-clock time is what a user waits; CPU time has less of what runs beside.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from machine import describe, matrix_product_ms
from numpy.typing import NDArray
from portrait_images import PortraitImages, save_portraits

from celeba_gan.evaluation.config import ClassifierSettings, EvaluateSettings
from celeba_gan.evaluation.evaluate import evaluate
from celeba_gan.evaluation.features.classifier import (
    AttributeClassifier,
    AttributeNetwork,
    LabelledImages,
    fit_classifier,
)
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.evaluation.image_sets import Discriminator, Models, Reals
from celeba_gan.evaluation.metrics.frechet import Gaussian, frechet_distance, measure_frechet
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runtime.allocator import keep_freed_memory
from celeba_gan.gan.sampling.trained import TrainedDiscriminator, TrainedGenerator

FEATURES, DIMENSIONS = 5000, 2048
TARGET = 10.0  # seconds
COUNT, SIZE = 10_000, 64
NETWORK = NetworkSettings.model_validate({"dcgan": {"width": 32}})
WHOLE_TARGET = 90.0  # seconds
PORTRAITS, LEARNT, OF_DEMO = 25_000, 20_000, 3300
CLASSIFIER_TARGET = 120.0  # seconds


def features(seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    """(5000, 2048), at or above 0."""
    random, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    weights = mixing.normal(size=(DIMENSIONS, DIMENSIONS)) * (1 + np.arange(DIMENSIONS)[:, None]) ** -0.5
    values = random.normal(size=(FEATURES, DIMENSIONS)) @ weights * scale + 0.5
    return np.maximum(values, 0).astype(np.float32)


def timed(name: str, measure: Callable[[], object]) -> float:
    """Prints and returns the seconds of one call."""
    began, cpu = time.perf_counter(), time.process_time()
    found = measure()
    seconds = time.perf_counter() - began
    print(f"{name}: {seconds:.1f} s, {time.process_time() - cpu:.1f} CPU s ({found})")
    return seconds


def frechet() -> None:
    first, second = features(0), features(1, scale=1.1)

    def distance() -> str:
        return f"{frechet_distance(Gaussian.of([first]), Gaussian.of([second])):.3f}"

    def everything() -> str:
        found = measure_frechet(first, second)
        return f"{found.value:.3f} +- {found.standard_error():.3f}, without end {found.of_infinite_sets:.3f}"

    timed("the distance alone", distance)
    seconds = timed("with its error and its limit", everything)
    print(f"target, under {TARGET:g} s with all: {'met' if seconds < TARGET else 'missed'}")


def whole() -> None:
    for count in (COUNT // 2, COUNT):
        with tempfile.TemporaryDirectory() as folder:
            for which in ("first time", "again"):
                # A process of its own, for its own peak of memory.
                command = [sys.executable, __file__, "--evaluate", str(count), folder]
                began = time.perf_counter()
                run = subprocess.run(command, check=True, capture_output=True, text=True)
                print(f"{count:,} + {count:,}, {which}: {time.perf_counter() - began:.1f} s with imports; {run.stdout}")
    print(f"target: under {WHOLE_TARGET:g} s for {COUNT:,} + {COUNT:,}")


class Silence:
    """The longest time between two reports of an evaluation."""

    def __init__(self, began: float) -> None:
        self.last, self.longest, self.before = began, 0.0, ""

    def __call__(self, doing: str, done: int, total: int) -> None:
        """Takes the time since the last report."""
        now = time.perf_counter()
        if now - self.last > self.longest:
            self.longest, self.before = now - self.last, f"{doing} {done:,} of {total:,}"
        self.last = now


def classifier() -> None:
    with tempfile.TemporaryDirectory() as folder:
        timed(
            f"drawing {PORTRAITS:,} portraits",
            lambda: save_portraits(Path(folder), PORTRAITS, SIZE, len(os.sched_getaffinity(0))),
        )
        pixels, attributes = (np.load(Path(folder) / f"{name}.npy") for name in ("pixels", "attributes"))
    halves = pixels.reshape(len(pixels), SIZE // 2, 2, SIZE // 2, 2, 3).mean((2, 4)).round().astype(np.uint8)
    settings, labels = ClassifierSettings(), attributes.astype(np.int64)
    keep_freed_memory()  # as every stage does

    def part(images: NDArray[np.uint8], chosen: slice) -> LabelledImages:
        return LabelledImages(images[chosen].__getitem__, labels[chosen])

    for images, learnt, seeds in ((pixels, LEARNT, (0,)), (halves, OF_DEMO, (0, 1))):
        sets = part(images, slice(learnt)), part(images, slice(LEARNT, None))
        for seed in seeds:

            def fit(seed: int = seed, sets: tuple[LabelledImages, LabelledImages] = sets) -> str:
                _, report = fit_classifier(*sets, PortraitImages.names, epochs=settings.epochs, seed=seed)
                return f"accuracy {report.accuracy:.4f}, AUC {report.auc:.4f}"

            timed(f"classifier, {learnt:,} of {images.shape[1]}x{images.shape[1]}, seed {seed}", fit)
    print(f"target for {LEARNT:,}: under {CLASSIFIER_TARGET:g} s")


def untrained() -> tuple[TrainedGenerator, TrainedDiscriminator, AttributeClassifier]:
    """The demo's networks and the attribute network, with initial weights."""
    latent = LatentSettings()
    torch.manual_seed(0)
    card = ModelCard(
        id="i",
        images=0,
        finished=True,
        init_from=None,
        best=None,
        size=SIZE,
        random_crop=None,
        data_digest="d",
        condition=None,
        network=NETWORK,
        latent=latent,
        objective="wgan",
        probability="centred_sigmoid",
    )
    generator = TrainedGenerator(Checkpoint("generator", card, build_generator(NETWORK, latent, SIZE).state_dict()))
    tensors = build_discriminator(NETWORK, SIZE).state_dict()
    discriminator = TrainedDiscriminator(Checkpoint("discriminator", card, tensors))
    classifier = AttributeClassifier([str(name) for name in range(40)], AttributeNetwork(40).state_dict())
    return generator, discriminator, classifier


def overlap() -> None:
    generator, _, extractor = untrained()

    def in_turn() -> str:
        found = [extractor(images) for images, _ in generator.batches(COUNT, 0)]
        return f"sum of features {sum(map(np.sum, found)):.6g}"

    def beside() -> str:
        found, batches = [], generator.batches(COUNT, 0)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(next, batches, None)
            while (batch := ahead.result()) is not None:
                ahead = pool.submit(next, batches, None)
                found.append(extractor(batch[0]))
        return f"sum of features {sum(map(np.sum, found)):.6g}"

    for turn in range(3):
        for name, run in (("in turn", in_turn), ("beside each other", beside)):
            timed(f"round {turn + 1}, {COUNT:,} samples and their features {name}", run)


def evaluate_once(count: int, folder: Path) -> None:
    """Evaluates untrained networks, and prints what it took."""
    generator, discriminator, classifier = untrained()
    pool = np.random.default_rng(0).integers(0, 256, (1024, SIZE, SIZE, 3), dtype=np.uint8)

    def gather(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = pool[indices % len(pool)].copy()
        images[:, 0, 0, 0] = indices // len(pool)  # so that no two are equal
        return images

    models = Models(
        sample=generator.batches,
        training_id="i",
        images=0,
        finished=True,
        size=SIZE,
        data_digest="d",
        discriminator=Discriminator(discriminator.scores, "centred_sigmoid", "i", 0),
        new_discriminator=lambda: build_discriminator(NETWORK, SIZE),
    )
    splits = {"train": (0, 2 * count), "valid": (2 * count, 3 * count), "test": (3 * count, 4 * count)}
    reals = Reals(gather, lambda indices: np.zeros((len(indices), 0), np.float32), splits, SIZE, "d")
    settings = EvaluateSettings(images=count, train_images=2 * count)
    began, cpu = time.perf_counter(), time.process_time()
    silence = Silence(began)
    found = evaluate(models, reals, settings, [classifier], FeatureStore(folder), silence)
    silence("The end", 1, 1)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{seconds:.1f} s, {cpu:.1f} CPU s, {peak:.2f} GB at the peak, {len(found.evaluation.metrics)} numbers; "
        f"longest without a report {silence.longest:.1f} s, before: {silence.before}"
    )


SECTIONS: dict[str, Callable[[], None]] = {
    "frechet": frechet,
    "whole": whole,
    "classifier": classifier,
    "overlap": overlap,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=f"of {', '.join(SECTIONS)}; default all")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--evaluate", nargs=2, metavar=("COUNT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.evaluate:
        evaluate_once(int(arguments.evaluate[0]), Path(arguments.evaluate[1]))
        return
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}, only {', '.join(SECTIONS)}")
    torch.set_num_threads(arguments.threads)
    print(f"{describe()}; 1024^3 float32 product {matrix_product_ms():.1f} ms")
    for section in arguments.sections:
        SECTIONS[section]()


if __name__ == "__main__":
    main()
