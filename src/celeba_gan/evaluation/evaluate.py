"""Measuring a generator, with the way it was measured beside every number."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from celeba_gan.evaluation.age import Probability, average_generalisation_error, find_centre
from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics import FEATURE_METRICS, IMAGE_METRICS, LEAST, Measured
from celeba_gan.evaluation.originality import measure_originality
from celeba_gan.evaluation.two_sample import Sides, two_sample_test

logger = logging.getLogger(__name__)

Images = NDArray[np.uint8]
Labels = NDArray[np.float32]
Scores = NDArray[np.float64]
BATCH = 256


class Extractor(Protocol):
    """Turns images into features."""

    name: str
    """Ends the names of the numbers that are measured with it."""
    digest: str
    """Identifies its weights."""

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Images uint8 (n, size, size, 3) to features (n, d)."""


class EvaluationError(ValueError):
    """The generator cannot be measured; the message says why and what to do."""


@dataclass(frozen=True)
class Models:
    """What is measured, and the discriminator it was trained against."""

    sample: Callable[[int, int], Iterator[tuple[Images, Labels]]]
    """(count, seed) -> batches of samples, uint8 (n, size, size, 3), with the labels they were asked for."""
    score: Callable[[Images, Labels], Scores]
    """Images and their labels -> scores (n,)."""
    probability: Probability
    card: Mapping[str, Any]
    """The generator's: `id`, `images`, `finished`, `size`, `random_crop`, `data_digest`."""
    judge: Mapping[str, Any]
    """The discriminator's."""
    fresh_judge: Callable[[], nn.Module]
    """Makes a discriminator of the same kind with first weights, which takes no labels."""


@dataclass(frozen=True)
class Reals:
    """The packed images."""

    gather: Callable[[NDArray[np.int64]], Images]
    labels: Callable[[NDArray[np.int64]], Labels]
    """Indices -> labels as the models were trained with, float32 (n, names); (n, 0) for models without."""
    splits: Mapping[str, tuple[int, int]]
    manifest: Mapping[str, Any]
    """`size`, `digest` and `recipe` go into the protocol."""


def evaluate(
    models: Models, reals: Reals, settings: EvaluateSettings, extractors: Sequence[Extractor] = ()
) -> dict[str, Any]:
    """Measures samples against the test split, and real images against each other in the same way.

    Distances compare as many samples as there are test and valid images, up to `settings.images`. Their floors compare
    so many images of valid with those of test, and so many of train with those of test: what a generator would score
    that draws from the very source, and one that has learnt its training images by heart. AGE's centre comes from the
    valid split and fakes of its own, apart from those measured. A generator that was trained on random crops is
    compared with the centres of the reals, of its own size.

    Args:
        models: What is measured.
        reals: The packed images.
        settings: How.
        extractors: Of the features that Fréchet distance and others are measured with.

    Returns:
        `metrics`, `intervals`, `floor`, `floor_train` and `protocol`, as in `evaluation.json`.

    Raises:
        EvaluationError: The images have another size than the generator's, or there are too few.
    """
    reals = _as_trained_on(reals, models.card)
    if models.judge["id"] != models.card["id"]:
        raise EvaluationError(
            "The generator and the discriminator are of two trainings, so AGE would mean nothing; "
            "train again (kedro run --pipelines train), or put both files of one training back"
        )
    if models.judge["images"] != models.card["images"]:
        logger.warning(
            "The discriminator has seen %d images and the generator %d: training was killed while it saved them",
            models.judge["images"],
            models.card["images"],
        )
    if models.card["data_digest"] != reals.manifest["digest"]:
        logger.warning("The generator was trained on other images than these: its numbers speak of a transfer")
    if not models.card["finished"]:
        logger.warning("The generator is unfinished: %d images into its training", models.card["images"])
    test = _choose(reals, "test", settings.images, settings.seed)
    valid = _choose(reals, "valid", settings.images, settings.seed)

    fake, score_fake = _score_samples(models, len(test), _seed(settings.seed, "measured"))
    centre = find_centre(
        models.probability,
        _score_reals(models, reals, valid)[1],
        _score_samples(models, len(valid), _seed(settings.seed, "centre"))[1],
    )
    real, score_real = _score_reals(models, reals, test)
    age = average_generalisation_error(score_real, score_fake, models.probability, centre)

    count = min(len(test), len(valid))
    train = _choose(reals, "train", settings.train_images, settings.seed)
    sets = {"test": real[:count], "samples": fake[:count], "valid": _gather(reals, valid[:count])}
    sets["train"] = _gather(reals, train[:count])
    found, floor, floor_train = (
        _compare(sets["test"], sets[against], settings, extractors) for against in ("samples", "valid", "train")
    )
    found |= Measured(_two_sample(models, reals, settings, valid, test))
    for extractor in extractors if count >= LEAST else ():
        features = [extractor(sets["samples"]), _of_all(extractor, reals, train), extractor(sets["test"])]
        found |= Measured(asdict(measure_originality(*features))).named(extractor.name)
    return {
        "metrics": {
            **age,
            "age_raw": average_generalisation_error(score_real, score_fake, models.probability, 0.0)["age"],
            "score_real": float(score_real.mean()),
            "score_fake": float(score_fake.mean()),
            **found.values,
        },
        "intervals": {name: interval.card() for name, interval in found.intervals.items()},
        "floor": floor.values,
        "floor_train": floor_train.values,
        "protocol": {
            "split": "test",
            "reals": len(real),
            "samples": len(fake),
            "images_per_side": count,
            "train_images": len(train),
            "two_sample_images": settings.two_sample_images,
            "features": {extractor.name: extractor.digest for extractor in extractors},
            "neighbours": settings.neighbours,
            "swd_projections": settings.swd_projections,
            "swd_patches": settings.swd_patches,
            "age_centre": centre,
            "age_centre_from": (
                "zero of the objective"
                if models.probability != "centred_sigmoid"
                else f"midpoint of mean scores: {len(valid)} reals of valid, {len(valid)} samples"
            ),
            "seed": settings.seed,
            "precision": "float32",
            "size": models.card["size"],
            "centre_crop": models.card.get("random_crop"),
            "recipe": reals.manifest["recipe"],
            "data_digest": reals.manifest["digest"],
            "training_id": models.card["id"],
            "images": models.card["images"],
            "discriminator_images": models.judge["images"],
            "finished": models.card["finished"],
        },
    }


def _as_trained_on(reals: Reals, card: Mapping[str, Any]) -> Reals:
    """The reals at the generator's size: whole, or their centres where it was trained on random crops."""
    size, packed = card["size"], reals.manifest["size"]
    cropped = card.get("random_crop") is not None  # cards of before there were crops lack the field
    if size > packed or (size < packed and not cropped):
        raise EvaluationError(
            f"The generator makes images of {size} pixels a side, the packed ones have {packed}; "
            "evaluate it with the environment and --params dataset=NAME it was trained with"
        )
    first = (packed - size) // 2
    centre = slice(first, first + size)
    return replace(reals, gather=lambda indices: reals.gather(indices)[:, centre, centre])


def _choose(reals: Reals, split: str, most: int, seed: int) -> NDArray[np.int64]:
    """Indices of up to `most` images of a split, in random order."""
    start, stop = reals.splits[split]
    if stop - start < 2:
        raise EvaluationError(
            f"The {split} split has {stop - start} images, evaluation needs at least 2; give ingest a larger "
            "valid_images (without a partition file valid and test have that many), or more images"
        )
    order = np.random.default_rng(seed).permutation(stop - start)
    return start + order[:most]


def _compare(real: Images, fake: Images, settings: EvaluateSettings, extractors: Sequence[Extractor]) -> Measured:
    """All metrics between two sets of images; those of features only where there are enough images."""
    found = Measured({})
    for metric in IMAGE_METRICS.values():
        found |= metric(real, fake, settings)
    if min(len(real), len(fake)) < LEAST:
        return found
    for extractor in extractors:
        features = extractor(real), extractor(fake)
        for compare in FEATURE_METRICS.values():
            found |= compare(*features, settings).named(extractor.name)
    return found


def _two_sample(
    models: Models,
    reals: Reals,
    settings: EvaluateSettings,
    valid: NDArray[np.int64],
    test: NDArray[np.int64],
) -> dict[str, float]:
    """A fresh judge learns from four fifths of valid, is chosen by the last fifth, and is measured on test."""
    learn, judged = valid[: settings.two_sample_images], test[: settings.two_sample_images]
    if len(learn) < LEAST:
        return {}
    chosen = len(learn) // 5
    parts = {"choose": learn[:chosen], "train": learn[chosen:], "test": judged}
    sides = {
        purpose: Sides(
            _gather(reals, indices), _sample(models, len(indices), _seed(settings.seed, f"two samples, {purpose}"))
        )
        for purpose, indices in parts.items()
    }
    return two_sample_test(models.fresh_judge(), sides["train"], sides["choose"], sides["test"], seed=settings.seed)


def _gather(reals: Reals, indices: NDArray[np.int64]) -> Images:
    return np.concatenate([reals.gather(indices[start : start + BATCH]) for start in range(0, len(indices), BATCH)])


def _of_all(extractor: Extractor, reals: Reals, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features of many images, which are never all in memory."""
    parts = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    return np.concatenate([extractor(reals.gather(part)) for part in parts])


def _sample(models: Models, count: int, seed: int) -> Images:
    return np.concatenate([images for images, _ in models.sample(count, seed)])


def _score_reals(models: Models, reals: Reals, indices: NDArray[np.int64]) -> tuple[Images, Scores]:
    parts = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    images = [reals.gather(part) for part in parts]
    scores = [models.score(batch, reals.labels(part)) for batch, part in zip(images, parts, strict=True)]
    return np.concatenate(images), np.concatenate(scores)


def _score_samples(models: Models, count: int, seed: int) -> tuple[Images, Scores]:
    images, scores = [], []
    for batch, labels in models.sample(count, seed):
        images.append(batch)
        scores.append(models.score(batch, labels))
    return np.concatenate(images), np.concatenate(scores)


def _seed(seed: int, purpose: str) -> int:
    """Seeds for the two sets of samples; `generate` samples with the plain seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=4).digest(), "little")
