"""Measuring a generator, with the way it was measured beside every number."""

import hashlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.code_version import code_version
from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.evaluation.image_sets import Extractor, Images, Judge, Models, Reals, RealSet, Samples, make_samples
from celeba_gan.evaluation.metrics.age import average_generalisation_error, find_centre
from celeba_gan.evaluation.metrics.originality import measure_originality
from celeba_gan.evaluation.metrics.registry import (
    FEATURE_METRICS,
    IMAGE_METRICS,
    LEAST,
    Measured,
    classifier_metrics,
    share_interval,
)
from celeba_gan.evaluation.metrics.two_sample import Sides, two_sample_test
from celeba_gan.evaluation.neighbours import Neighbours, find_neighbours

logger = logging.getLogger(__name__)

VALID = 4000
"""Images of valid at most that AGE is measured with: half of them for its centre."""
SHOWN = 48
"""Samples and reals that are shown beside the numbers."""


class EvaluationError(ValueError):
    """The generator cannot be measured; the message says why and what to do."""


@dataclass(frozen=True)
class Evaluation:
    """The numbers, and some of the images that they were measured on."""

    card: dict[str, Any]
    """`metrics`, `intervals`, `floor`, `floor_train` and `protocol`, as in `evaluation.json`."""
    samples: Images
    """The first ones, uint8 (up to 48, size, size, 3)."""
    reals: Images
    """Of the test split, likewise."""
    neighbours: Neighbours | None
    """Samples and the training images nearest to them; None without features."""
    described: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
    """By the names of the extractors that are classifiers: probabilities of the test images and of the samples."""
    labels: NDArray[np.float32]
    """What the samples were asked for, float32 (n, names)."""


@dataclass(frozen=True)
class _Sets:
    """Which images are measured."""

    test: RealSet
    valid: RealSet
    train: RealSet
    """Among which copies are looked for."""

    @property
    def count(self) -> int:
        """Images a side in distances."""
        return min(len(self.test.indices), len(self.valid.indices))


def evaluate(
    models: Models,
    reals: Reals,
    settings: EvaluateSettings,
    extractors: Sequence[Extractor] = (),
    store: FeatureStore | None = None,
) -> Evaluation:
    """Measures samples against the test split, and real images against each other in the same way.

    Distances compare as many samples as there are test and valid images, up to `settings.images`. Their floors compare
    so many images of valid with those of test, and so many of train with those of test: what a generator would score
    that draws from the very source, and one that has learnt its training images by heart. A generator that was trained
    on random crops is compared with the centres of the reals, of its own size.

    Features are written to disk as images go by, and memory holds no more than `settings.swd_images` of any set.

    Args:
        models: What is measured.
        reals: The packed images.
        settings: How.
        extractors: Of the features that Fréchet distance and others are measured with.
        store: Where features of reals and the floors are kept for the next time; None: nowhere.

    Raises:
        EvaluationError: The images have another size than the generator's, or there are too few.
    """
    reals = _as_trained_on(reals, models.card)
    _check_judge(models)
    _warn(models, reals)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        passing = FeatureStore(Path(folder), most_bytes=np.inf)
        kept = store if store is not None and store.is_writable() else passing
        sets = _Sets(*(_choose(reals, split, settings, kept) for split in ("test", "valid", "train")))
        if sets.count < LEAST:
            extractors = ()
        if extractors and sets.count <= settings.neighbours:
            raise EvaluationError(
                f"evaluate.neighbours is {settings.neighbours}, and there are {sets.count} images a side; give fewer"
            )
        keep = max(settings.swd_images, 2 * settings.ms_ssim_pairs, SHOWN)
        seed = _seed(settings.seed, "measured")
        samples = make_samples(models, len(sets.test.indices), seed, keep=keep, extractors=extractors, store=passing)
        age, centre = _measure_age(models, sets, samples, settings, passing)
        found = Measured(age) | _measure_samples(sets, samples, settings, extractors, keep)
        found |= _two_sample(models, settings, sets)
        floors = [_floor(sets, split, settings, extractors, keep, kept) for split in ("valid", "train")]
        card = {
            "metrics": found.values,
            "intervals": {name: interval.card() for name, interval in found.intervals.items()},
            "floor": floors[0],
            "floor_train": floors[1],
            "protocol": _protocol(models, reals, settings, sets, extractors) | centre,
        }
        test = sets.test.first(sets.count)  # as in distances: these are described already
        outputs = {
            one.name: (np.array(test.describe(one).outputs), np.array(samples.described[one.name].outputs))
            for one in extractors
            if samples.described[one.name].outputs.shape[1]
        }
        neighbours = None
        if extractors:
            last = extractors[-1]
            neighbours = find_neighbours(samples, samples.described[last.name], sets.train, last)
        return Evaluation(
            card, samples.images[:SHOWN], sets.test.first(SHOWN).images(), neighbours, outputs, samples.labels
        )


def _check_judge(models: Models) -> None:
    if models.judge is None:
        logger.info("There is no discriminator beside this generator: AGE is left out")
        return
    judge = models.judge.card
    if judge["id"] != models.card["id"]:
        raise EvaluationError(
            "The generator and the discriminator are of two trainings, so AGE would mean nothing; "
            "train again (kedro run --pipelines train), or put both files of one training back"
        )
    if judge["images"] != models.card["images"]:
        logger.warning(
            "The discriminator has seen %d images and the generator %d: training was killed while it saved them",
            judge["images"],
            models.card["images"],
        )


def _warn(models: Models, reals: Reals) -> None:
    if models.card["data_digest"] != reals.manifest["digest"]:
        logger.warning("The generator was trained on other images than these: its numbers speak of a transfer")
    if not models.card["finished"]:
        logger.warning("The generator is unfinished: %d images into its training", models.card["images"])


def _as_trained_on(reals: Reals, card: Mapping[str, Any]) -> Reals:
    """The reals at the generator's size: whole, or their centres where it was trained on random crops."""
    size, packed = card["size"], reals.manifest["size"]
    cropped = card.get("random_crop") is not None  # cards of before there were crops lack the field
    if size > packed or (size < packed and not cropped):
        raise EvaluationError(
            f"The generator makes images of {size} pixels a side, the packed ones have {packed}; "
            "evaluate it with the environment and --params dataset=NAME it was trained with"
        )
    return replace(reals, centre=None if size == packed else size)


def _choose(reals: Reals, split: str, settings: EvaluateSettings, store: FeatureStore) -> RealSet:
    """Images of a split, in random order."""
    start, stop = reals.splits[split]
    if stop - start < 2:
        raise EvaluationError(
            f"The {split} split has {stop - start} images, evaluation needs at least 2; give ingest a larger "
            "valid_images (without a partition file valid and test have that many), or more images"
        )
    order = np.random.default_rng(settings.seed).permutation(stop - start)
    most = settings.train_images if split == "train" else settings.images
    return RealSet(reals, start + order[:most], store)


def _measure_age(
    models: Models, sets: _Sets, samples: Samples, settings: EvaluateSettings, store: FeatureStore
) -> tuple[dict[str, float], dict[str, Any]]:
    """AGE on test and on valid, and where its centre comes from.

    The centre is found with one half of valid and fakes of its own; AGE on valid takes the other half and others again.
    """
    judge = models.judge
    if judge is None:
        return {}, {"age_centre": None, "age_centre_from": "there is no discriminator"}
    some = sets.valid.first(VALID)
    half = (len(some.indices) + 1) // 2
    apart, valid = some.first(half), replace(some, indices=some.indices[half:])

    def score_fakes(count: int, purpose: str) -> NDArray[np.float64]:
        seed = _seed(settings.seed, purpose)
        return make_samples(models, count, seed, keep=1, extractors=(), store=store).scores

    centre = find_centre(judge.probability, apart.scores(judge.score), score_fakes(half, "centre"))
    real = sets.test.scores(judge.score)
    on_valid = _age(judge, valid.scores(judge.score), score_fakes(len(valid.indices), "valid"), centre)
    values = {
        **_age(judge, real, samples.scores, centre),
        **{f"{name}_valid": value for name, value in on_valid.items()},
        "age_raw": _age(judge, real, samples.scores, 0.0)["age"],
        "score_real": float(real.mean()),
        "score_fake": float(samples.scores.mean()),
    }
    origin = (
        "zero of the objective"
        if judge.probability != "centred_sigmoid"
        else f"midpoint of mean scores: {half} reals of valid, {half} samples"
    )
    return values, {"age_centre": centre, "age_centre_from": origin}


def _age(judge: Judge, real: NDArray[np.float64], fake: NDArray[np.float64], centre: float) -> dict[str, float]:
    return average_generalisation_error(real, fake, judge.probability, centre)


def _measure_samples(
    sets: _Sets, samples: Samples, settings: EvaluateSettings, extractors: Sequence[Extractor], keep: int
) -> Measured:
    """Everything that compares samples with reals."""
    count = sets.count
    test = sets.test.first(count)
    pairs = {
        one.name: (test.describe(one).features, samples.described[one.name].features[:count]) for one in extractors
    }
    found = _compare(test.first(keep).images(), samples.images[: min(keep, count)], pairs, settings)
    for one in extractors:
        real, fake = pairs[one.name]
        train = [some.describe(one).features for some in (sets.train, sets.train.mirrored())]
        originality = measure_originality(fake, train, real)
        found |= Measured(asdict(originality)).named(one.name)
        found |= classifier_metrics(one.name, samples.described[one.name].outputs).named(one.name)
    return found


def _compare(
    real: Images,
    fake: Images,
    pairs: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
    settings: EvaluateSettings,
) -> Measured:
    """All metrics between two sets, of images and of their features by the extractors' names."""
    found = Measured({})
    for metric in IMAGE_METRICS.values():
        found |= metric(real, fake, settings)
    for name, features in pairs.items():
        for compare in FEATURE_METRICS.values():
            found |= compare(*features, settings).named(name)
    return found


def _floor(
    sets: _Sets,
    split: str,
    settings: EvaluateSettings,
    extractors: Sequence[Extractor],
    keep: int,
    store: FeatureStore,
) -> dict[str, float]:
    """What images of a split score in the samples' place; found in the store where they were measured before.

    Nothing where the split has too few: a floor of smaller sets would be no floor.
    """
    test = sets.test.first(sets.count)
    others = (sets.valid if split == "valid" else sets.train).first(sets.count)
    if len(others.indices) < sets.count:
        return {}
    settings = settings.model_copy(update={"bootstrap": 0})  # a floor has no interval

    def features(one: Extractor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # Those of all training images are there already: the first of them need no look of their own.
        found = sets.train.describe(one).features[: len(others.indices)] if split == "train" else None
        return test.describe(one).features, others.describe(one).features if found is None else found

    def measure() -> dict[str, float]:
        pairs = {one.name: features(one) for one in extractors}
        return _compare(test.first(keep).images(), others.first(keep).images(), pairs, settings).values

    read = {name: getattr(settings, name) for name in settings.READ_BY_METRICS}
    names = [(one.name, one.digest) for one in extractors]
    return store.numbers(
        f"floor {test.key} {others.key} {keep} {names} {read} {settings.seed} {code_version()}", measure
    )


def _two_sample(models: Models, settings: EvaluateSettings, sets: _Sets) -> Measured:
    """A fresh judge learns from four fifths of valid, is chosen by the last fifth, and is measured on test."""
    learn, judged = (one.first(settings.two_sample_images) for one in (sets.valid, sets.test))
    if len(learn.indices) < LEAST:
        return Measured({})
    chosen = len(learn.indices) // 5
    parts = {"choose": learn.first(chosen), "train": replace(learn, indices=learn.indices[chosen:]), "test": judged}

    def sample(purpose: str, count: int) -> Images:
        drawn = models.sample(count, _seed(settings.seed, f"two samples, {purpose}"))
        return np.concatenate([images for images, _ in drawn])

    sides = {purpose: Sides(part.images(), sample(purpose, len(part.indices))) for purpose, part in parts.items()}
    values = two_sample_test(models.fresh_judge(), sides["train"], sides["choose"], sides["test"], seed=settings.seed)
    accuracy = share_interval(values["c2st_accuracy"], 2 * len(judged.indices))
    return Measured(values, {"c2st_accuracy": accuracy})


def _protocol(
    models: Models, reals: Reals, settings: EvaluateSettings, sets: _Sets, extractors: Sequence[Extractor]
) -> dict[str, Any]:
    return {
        "split": "test",
        "reals": len(sets.test.indices),
        "samples": len(sets.test.indices),
        "images_per_side": sets.count,
        "train_images": len(sets.train.indices),
        "features": {one.name: one.digest for one in extractors},
        **{name: getattr(settings, name) for name in settings.READ_BY_METRICS},
        "judge_network": models.judge_network,
        "seed": settings.seed,
        "precision": "float32",
        "code": code_version(),
        "size": models.card["size"],
        "centre_crop": models.card.get("random_crop"),
        "recipe": reals.manifest["recipe"],
        "data_digest": reals.manifest["digest"],
        "trained_on": models.card["data_digest"],
        "training_id": models.card["id"],
        "images": models.card["images"],
        "discriminator_images": models.judge.card["images"] if models.judge else None,
        "finished": models.card["finished"],
    }


def _seed(seed: int, purpose: str) -> int:
    """Seeds for the sets of samples; `generate` samples with the plain seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=4).digest(), "little")
