"""Measuring a generator, with the way it was measured beside every number."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.age import Probability, average_generalisation_error, find_centre
from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.swd import sliced_wasserstein

logger = logging.getLogger(__name__)

Images = NDArray[np.uint8]
Labels = NDArray[np.float32]
Scores = NDArray[np.float64]
BATCH = 256


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


@dataclass(frozen=True)
class Reals:
    """The packed images."""

    gather: Callable[[NDArray[np.int64]], Images]
    labels: Callable[[NDArray[np.int64]], Labels]
    """Indices -> labels as the models were trained with, float32 (n, names); (n, 0) for models without."""
    splits: Mapping[str, tuple[int, int]]
    manifest: Mapping[str, Any]
    """`size`, `digest` and `recipe` go into the protocol."""


def evaluate(models: Models, reals: Reals, settings: EvaluateSettings) -> dict[str, Any]:
    """AGE and sliced Wasserstein distance on the test split.

    AGE's centre comes from the valid split and fakes of its own, apart from those measured. The distance compares half
    of the reals with as many samples; the floor compares it with the other half of the reals. A generator that was
    trained on random crops is compared with the centres of the reals, of its own size.

    Returns:
        `metrics`, `floor` and `protocol`, as in `evaluation.json`.

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

    half = len(real) // 2  # `test` is in random order
    options = {"projections": settings.swd_projections, "patches": settings.swd_patches, "seed": settings.seed}
    distance = sliced_wasserstein(real[:half], fake[:half], **options)
    floor = sliced_wasserstein(real[:half], real[half : 2 * half], **options)
    return {
        "metrics": {
            **age,
            "age_raw": average_generalisation_error(score_real, score_fake, models.probability, 0.0)["age"],
            "score_real": float(score_real.mean()),
            "score_fake": float(score_fake.mean()),
            **distance,
        },
        "floor": floor,
        "protocol": {
            "split": "test",
            "reals": len(real),
            "samples": len(fake),
            "swd_images_per_side": half,
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
