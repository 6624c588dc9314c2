"""Sets of images, read batch by batch: real ones, and those that a generator makes."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from celeba_gan.evaluation.code_version import code_version
from celeba_gan.evaluation.features.store import Described, FeatureStore
from celeba_gan.evaluation.metrics.age import Probability
from celeba_gan.foundation.pixels import Images
from celeba_gan.foundation.wording import Report, no_report
from celeba_gan.ranks.group import ALONE, Ranks

Labels = NDArray[np.float32]
Scores = NDArray[np.float64]
Score = Callable[[Images, Labels], Scores]
BATCH = 256
"""Reals whose features are computed at once."""
SAMPLES = 64
"""Likewise samples."""


class Extractor(Protocol):
    """Turns images into features."""

    name: str
    """Ends the names of the numbers that are measured with it."""
    digest: str
    """Identifies its weights."""

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Images uint8 (n, size, size, 3) to features (n, d)."""


@runtime_checkable
class Classifier(Extractor, Protocol):
    """An extractor whose last layer classifies."""

    def describe(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Images uint8 (n, size, size, 3) to features (n, d) and probabilities (n, classes)."""


@dataclass(frozen=True)
class Discriminator:
    """The one that a generator was trained against."""

    score: Score
    """Images and their labels -> scores (n,)."""
    probability: Probability
    training_id: str
    images: int
    """Seen in training."""


class Sample(Protocol):
    """Makes samples of a generator."""

    def __call__(self, count: int, seed: int, *, first: int = 0) -> Iterator[tuple[Images, Labels]]:
        """Batches of samples from number `first` on: uint8 (n, size, size, 3), and the labels requested of them."""


@dataclass(frozen=True)
class Models:
    """What is measured."""

    sample: Sample
    """Makes the samples."""
    training_id: str
    images: int
    """Seen in training by the discriminator."""
    finished: bool
    """Whether training was."""
    size: int
    """Side of the samples, in pixels."""
    data_digest: str
    """Of the packed images that the generator was trained on."""
    discriminator: Discriminator | None
    """None: AGE is not measured."""
    new_discriminator: Callable[[], nn.Module]
    """Makes one with initial weights, which takes no labels."""
    random_crop: int | None = None
    """Side of the random crops that the generator was trained on; None: whole images."""
    new_network: str = ""
    """The new discriminator's network: numbers of different ones do not compare."""


@dataclass(frozen=True)
class Reals:
    """The packed images."""

    gather: Callable[[NDArray[np.int64]], Images]
    labels: Callable[[NDArray[np.int64]], Labels]
    """Indices -> labels as the models were trained with, float32 (n, names); (n, 0) for models without."""
    splits: Mapping[str, tuple[int, int]]
    size: int
    """Side of the packed images, in pixels."""
    digest: str
    recipe: Mapping[str, JsonValue] = field(default_factory=dict)
    """How photographs became these images; for the protocol."""
    centre: int | None = None
    """Side of the centre that is measured, in pixels; None: the whole images."""
    ranks: Ranks = ALONE
    """The processes that compute features together."""

    def images(self, indices: NDArray[np.int64]) -> Images:
        """What is measured of these images."""
        found = self.gather(indices)
        if self.centre is None:
            return found
        first = (found.shape[1] - self.centre) // 2
        return found[:, first : first + self.centre, first : first + self.centre]


@dataclass(frozen=True)
class RealSet:
    """Some of the packed images. Their features are cached in a store."""

    reals: Reals
    indices: NDArray[np.int64]
    store: FeatureStore
    is_mirrored: bool = False
    name: str = "reals"
    """What they are called in reports."""
    report: Report = no_report
    """Called for each batch that is read."""

    @property
    def key(self) -> str:
        """Identifies these images."""
        chosen = hashlib.blake2b(self.indices.astype("<i8").tobytes(), digest_size=16).hexdigest()
        return f"{self.reals.digest} {self.reals.centre} {chosen}{' mirrored' * self.is_mirrored}"

    def first(self, count: int) -> "RealSet":
        """The first of them."""
        return replace(self, indices=self.indices[:count])

    def mirrored(self) -> "RealSet":
        """The same, each mirrored left to right."""
        return replace(self, is_mirrored=not self.is_mirrored)

    def batches(self, purpose: str = "Reading") -> Iterator[tuple[NDArray[np.int64], Images]]:
        """Indices and images, a batch at a time; reported, once one has been used, as "<purpose> <name>"."""
        total, mirrored = len(self.indices), ", mirrored" * self.is_mirrored
        for start in range(0, total, BATCH):
            part = self.indices[start : start + BATCH]
            yield part, self.look(part)
            self.report(f"{purpose} {self.name}{mirrored}", start + len(part), total)

    def look(self, indices: NDArray[np.int64]) -> Images:
        """These images, of the reals and not of the set, as the set has them."""
        images = self.reals.images(indices)
        return np.ascontiguousarray(images[:, :, ::-1]) if self.is_mirrored else images

    def images(self) -> Images:
        """All of them, in memory: uint8 (n, size, size, 3)."""
        return np.concatenate([images for _, images in self.batches()])

    def describe(self, extractor: Extractor) -> Described:
        """Their features, from the store where they are cached."""
        return self.store.describe(
            f"{extractor.name} {extractor.digest} {self.key} {code_version()}",
            len(self.indices),
            lambda: self._described(extractor),
        )

    def _described(self, extractor: Extractor) -> Iterator[Described]:
        self.reals.ranks.announce(json.dumps(self._job(extractor)))
        total, mirrored = len(self.indices), ", mirrored" * self.is_mirrored
        for number, found in enumerate(self.spread(extractor), 1):
            yield Described(*found)
            self.report(f"Features ({extractor.name}) of {self.name}{mirrored}", min(number * BATCH, total), total)

    def _job(self, extractor: Extractor) -> dict[str, JsonValue]:
        return {
            "reals": extractor.name,
            "indices": self.indices.tolist(),
            "centre": self.reals.centre,
            "is_mirrored": self.is_mirrored,
        }

    def spread(self, extractor: Extractor) -> Iterator[list[NDArray[np.float32]]]:
        """Features and outputs of each batch, computed by all ranks."""

        def compute(batch: int) -> Described:
            return _describe(extractor, self.look(self.indices[batch * BATCH : (batch + 1) * BATCH]))

        return self.reals.ranks.spread(-(-len(self.indices) // BATCH), compute)

    def scores(self, score: Score) -> Scores:
        """Their scores by a discriminator, with their labels."""
        parts = [score(images, self.reals.labels(part)) for part, images in self.batches("Scores of")]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Samples:
    """A generator's images: all described as they are made, and only the first kept."""

    images: Images
    """The first ones, uint8 (n, size, size, 3)."""
    labels: Labels
    """Those requested, float32 (n, names)."""
    scores: Scores
    """By the training's discriminator; empty without one."""
    described: Mapping[str, Described]
    """By the extractors' names."""


def make_samples(
    models: Models,
    count: int,
    seed: int,
    *,
    keep: int,
    extractors: Sequence[Extractor],
    store: FeatureStore,
    report: Report = no_report,
    ranks: Ranks = ALONE,
) -> Samples:
    """Makes `count` images and keeps the first `keep`; scores and features, in `store`, are of all.

    Several ranks make them together.
    """
    kept: list[Images] = []
    labels: list[Labels] = []
    scores: list[Scores] = [np.zeros(0)]
    made, keys = 0, {one.name: f"samples {one.name} {count} {seed}" for one in extractors}
    with ExitStack() as stack:
        writers = [stack.enter_context(store.writer(key, count)) for key in keys.values()]
        job = {"samples": count, "seed": seed, "keep": keep, "extractors": [one.name for one in extractors]}
        ranks.announce(json.dumps(job))
        for images, requested, scored, *described_now in spread_samples(models, count, seed, keep, extractors, ranks):
            kept.append(images)
            labels.append(requested)
            scores.append(scored)
            made += len(requested)
            for place, write in enumerate(writers):
                write(Described(*described_now[2 * place : 2 * place + 2]))
            report("Sampling", made, count)
    described = {name: found for name, key in keys.items() if (found := store.find(key, count)) is not None}
    return Samples(np.concatenate(kept), np.concatenate(labels), np.concatenate(scores), described)


def spread_samples(
    models: Models, count: int, seed: int, keep: int, extractors: Sequence[Extractor], ranks: Ranks
) -> Iterator[list[NDArray[Any]]]:
    """Of each batch: the images among the first `keep`, labels, scores, then features and outputs by each extractor."""

    def describe(images: Images, labels: Labels, first: int) -> list[NDArray[Any]]:
        scores = models.discriminator.score(images, labels) if models.discriminator else np.zeros(0)
        found = [array for one in extractors for array in _describe(one, images)]
        return [images[: max(0, keep - first)], labels, scores, *found]

    def compute(batch: int) -> list[NDArray[Any]]:
        first = batch * SAMPLES
        ((images, labels),) = models.sample(min(SAMPLES, count - first), seed, first=first)
        return describe(images, labels, first)

    if ranks.several:
        yield from ranks.spread(-(-count // SAMPLES), compute)
        return
    made = 0
    for images, labels in models.sample(count, seed):
        yield describe(images, labels, made)
        made += len(images)


def follow(ranks: Ranks, models: Models, reals: Reals, extractors: Mapping[str, Extractor]) -> None:
    """The part of a rank that does not lead: features of reals and samples, until rank 0 announces nothing more."""
    while text := ranks.announced():
        job = json.loads(text)
        if "reals" in job:
            of, indices = replace(reals, centre=job["centre"]), np.array(job["indices"], np.int64)
            some = RealSet(of, indices, FeatureStore(Path()), is_mirrored=job["is_mirrored"])
            deque(some.spread(extractors[job["reals"]]), maxlen=0)
        else:
            chosen = [extractors[name] for name in job["extractors"]]
            deque(spread_samples(models, job["samples"], job["seed"], job["keep"], chosen, ranks), maxlen=0)


def _describe(extractor: Extractor, images: Images) -> Described:
    if isinstance(extractor, Classifier):
        features, outputs = extractor.describe(images)
    else:
        features = extractor(images)
        outputs = np.zeros((len(features), 0), np.float32)
    if not np.isfinite(features).all():
        raise ValueError(f"The features {extractor.name} of some images are not finite. Check the extractor")
    return Described(features, outputs)
