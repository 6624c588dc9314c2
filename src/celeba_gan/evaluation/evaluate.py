"""Measures a generator, and records how."""

import hashlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.code_version import code_version
from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.documents import Evaluation, EvaluationProtocol
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.evaluation.image_sets import Extractor, Models, Reals, RealSet, Samples, make_samples
from celeba_gan.evaluation.metrics.age import average_generalisation_error, find_centre
from celeba_gan.evaluation.metrics.inception_score import measure_inception_score
from celeba_gan.evaluation.metrics.intervals import share_interval
from celeba_gan.evaluation.metrics.metric import LEAST_IMAGES, Measured
from celeba_gan.evaluation.metrics.originality import measure_originality
from celeba_gan.evaluation.metrics.registry import measures
from celeba_gan.evaluation.metrics.two_sample import Sides, two_sample_test
from celeba_gan.evaluation.neighbours import Neighbours, find_neighbours
from celeba_gan.foundation.pixels import Images
from celeba_gan.foundation.wording import Report, counted, no_report, stage_command

logger = logging.getLogger(__name__)

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
VALID = 4000
"""Most images of the valid split that AGE is measured with: half of them for its centre."""
SHOWN = 48
"""Samples and reals that are kept for pictures."""


class EvaluationError(ValueError):
    """The generator cannot be measured; the message says why and what to do."""


@dataclass(frozen=True)
class Result:
    """The evaluation, and some of the images that it is about."""

    evaluation: Evaluation
    """Without attributes and comparison."""
    samples: Images
    """The first ones, uint8 (up to 48, size, size, 3)."""
    reals: Images
    """Of the test split, likewise."""
    neighbours: Neighbours
    """Samples and the training images nearest to them: in the last features of the protocol, else by small pixels."""
    probabilities: Mapping[str, Pair]
    """By the names of the extractors that are classifiers: those of the test images and of the samples."""
    labels: NDArray[np.float32]
    """Those requested of the samples, float32 (n, names)."""


@dataclass(frozen=True)
class _Sets:
    test: RealSet
    valid: RealSet
    train: RealSet

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
    report: Report = no_report,
) -> Result:
    """Measures samples against the test split, and real images against each other in the same way.

    Distances compare as many samples as there are test and valid images, up to `settings.images`. Their floors compare
    as many valid images with the test images, and as many training images: the scores of a perfect generator, and of
    one that only repeats its training images. After training on random crops, samples are compared with the centres of
    the reals.

    Features are written to disk batch by batch; memory holds at most `settings.swd_images` images of any set. `store`
    caches features of reals, and floors; None: no cache. `report` is called every few seconds with what is being done.

    Raises:
        EvaluationError: The images have another size than the generator's, or there are too few.
    """
    check_splits(reals.splits, settings, features=bool(extractors))
    reals = replace(reals, centre=measured_centre(models.size, models.random_crop, reals.size))
    _check(models, reals)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        passing = FeatureStore(Path(folder), most_bytes=np.inf)
        kept = store if store is not None and store.is_writable() else passing
        sets = _Sets(*(_choose(reals, split, settings, kept, report) for split in ("test", "valid", "train")))
        if sets.count < LEAST_IMAGES:
            extractors = ()
        keep = max(settings.swd_images, 2 * settings.ms_ssim_pairs, SHOWN)
        seed = _seed(settings.seed, "measured")
        count, ranks = len(sets.test.indices), reals.ranks
        samples = make_samples(
            models, count, seed, keep=keep, extractors=extractors, store=passing, report=report, ranks=ranks
        )
        found, centre, centre_from = _measure_age(models, sets, samples, settings, passing)
        found |= _measure_samples(sets, samples, settings, extractors, keep)
        found |= _two_sample(models, settings, sets)
        floors = [_floor(sets, split, settings, extractors, keep, kept) for split in ("valid", "train")]
        evaluation = Evaluation(
            metrics=found.values,
            intervals=found.intervals,
            floor=floors[0],
            floor_train=floors[1],
            protocol=_protocol(models, reals, settings, sets, extractors, centre, centre_from),
        )
        test = sets.test.first(sets.count)  # as in distances: their features are cached
        probabilities = {
            one.name: (np.array(test.describe(one).outputs), np.array(samples.described[one.name].outputs))
            for one in extractors
            if samples.described[one.name].outputs.shape[1]
        }
        neighbours = find_neighbours(samples, sets.train, extractors[-1] if extractors else None)
        shown = sets.test.first(SHOWN).images()
        return Result(evaluation, samples.images[:SHOWN], shown, neighbours, probabilities, samples.labels)


def _check(models: Models, reals: Reals) -> None:
    """Raises an error or logs a warning where the files are not of one finished training on these images."""
    if models.discriminator is None:
        logger.info("Skipping AGE: there is no discriminator for this generator")
    elif models.discriminator.training_id != models.training_id:
        raise EvaluationError(
            "The generator and the discriminator are from different trainings, so AGE would mean nothing. "
            f"Train again ({stage_command('train')}), or restore both files of one training"
        )
    elif models.discriminator.images != models.images:
        logger.warning(
            "The discriminator was saved after %d images and the generator after %d: training was killed in between",
            models.discriminator.images,
            models.images,
        )
    if models.data_digest != reals.digest:
        logger.warning("The generator was trained on other images than these: its numbers measure a transfer")
    if not models.finished:
        logger.warning("The training of this generator is unfinished, after %d images", models.images)


def measured_centre(size: int, random_crop: int | None, packed: int) -> int | None:
    """Side of the centre of the packed images that is measured, in pixels; None: the whole images.

    Args:
        size: Side of the generator's images.
        random_crop: Side of the random crops that it was trained on; None: whole images.
        packed: Side of the packed images.

    Raises:
        EvaluationError: The generator's images cannot be compared with these.
    """
    if size > packed or (size < packed and random_crop is None):
        raise EvaluationError(
            f"The generator makes images of {size} pixels a side, the packed images have {packed}. "
            "Evaluate it with the environment and --params dataset=NAME that it was trained with"
        )
    return None if size == packed else size


def check_splits(splits: Mapping[str, tuple[int, int]], settings: EvaluateSettings, *, features: bool) -> None:
    """Checks that the splits, half-open ranges of images, have enough images to measure a generator.

    Args:
        splits: By their names: train, valid and test.
        settings: Of the evaluation.
        features: Whether anything is measured in features.

    Raises:
        EvaluationError: A split has fewer than two images, or no more than `evaluate.neighbours`.
    """
    counts = {split: stop - start for split, (start, stop) in splits.items()}
    for split in ("test", "valid", "train"):
        if counts[split] < 2:
            raise EvaluationError(
                f"The {split} split has {counted(counts[split], 'image')}, evaluation needs at least 2. Add images "
                "to it, or, if the split is drawn (there is no partition), set a larger ingest.valid_share"
            )
    a_side = min(counts["test"], counts["valid"], settings.images)
    if features and a_side >= LEAST_IMAGES and a_side <= settings.neighbours:
        raise EvaluationError(
            f"evaluate.neighbours is {settings.neighbours}, but there are {a_side} images a side (the test split has "
            f"{counts['test']:,}, valid {counts['valid']:,}, and evaluate.images is {settings.images:,}). Set "
            f"evaluate.neighbours to at most {a_side - 1}"
        )


def _choose(reals: Reals, split: str, settings: EvaluateSettings, store: FeatureStore, report: Report) -> RealSet:
    """Images of a split, in random order."""
    start, stop = reals.splits[split]
    order = np.random.default_rng(settings.seed).permutation(stop - start)
    most = settings.train_images if split == "train" else settings.images
    name = "training images" if split == "train" else f"{split} images"
    return RealSet(reals, start + order[:most], store, name=name, report=report)


def _measure_age(
    models: Models, sets: _Sets, samples: Samples, settings: EvaluateSettings, store: FeatureStore
) -> tuple[Measured, float | None, str]:
    """AGE on test and on valid, its centre, and where that comes from.

    The centre is found with one half of valid and samples of its own; AGE on valid uses the other half and new samples.
    """
    discriminator = models.discriminator
    if discriminator is None:
        return Measured({}), None, "there is no discriminator"
    some = sets.valid.first(VALID)
    half = (len(some.indices) + 1) // 2
    apart, valid = some.first(half), replace(some, indices=some.indices[half:])

    def score_samples(count: int, purpose: str) -> NDArray[np.float64]:
        seed = _seed(settings.seed, purpose)
        return make_samples(models, count, seed, keep=1, extractors=(), store=store, report=sets.test.report).scores

    score, probability = discriminator.score, discriminator.probability
    centre = find_centre(probability, apart.scores(score), score_samples(half, "centre"))
    real = sets.test.scores(score)
    on_valid = average_generalisation_error(
        valid.scores(score), score_samples(len(valid.indices), "valid"), probability, centre
    )
    values = {
        **average_generalisation_error(real, samples.scores, probability, centre),
        **{f"{name}_valid": value for name, value in on_valid.items()},
        "age_raw": average_generalisation_error(real, samples.scores, probability, 0.0)["age"],
        "score_real": float(real.mean()),
        "score_fake": float(samples.scores.mean()),
    }
    midpoint = f"midpoint of mean scores: {half} reals of valid, {half} samples"
    return Measured(values), centre, midpoint if probability == "centred_sigmoid" else "zero of the objective"


def _measure_samples(
    sets: _Sets, samples: Samples, settings: EvaluateSettings, extractors: Sequence[Extractor], keep: int
) -> Measured:
    """Everything that compares samples with reals."""
    count = sets.count
    test = sets.test.first(count)
    described = samples.described
    pairs = {one.name: (test.describe(one).features, described[one.name].features[:count]) for one in extractors}
    report = sets.test.report
    found = _compare(
        test.first(keep).images(), samples.images[: min(keep, count)], pairs, settings, "Comparing samples", report
    )
    for one in extractors:
        real, fake = pairs[one.name]
        train = [some.describe(one).features for some in (sets.train, sets.train.mirrored())]
        originality = asdict(
            measure_originality(fake, train, real, lambda done, total: report("Searching for copies", done, total))
        )
        found |= Measured({name: value for name, value in originality.items() if value is not None}).named(one.name)
        if one.name == "inception":
            found |= measure_inception_score(described[one.name].outputs).named(one.name)
    return found


def _compare(
    real: Images,
    fake: Images,
    pairs: Mapping[str, Pair],
    settings: EvaluateSettings,
    doing: str,
    report: Report,
) -> Measured:
    """All metrics between two sets, of images and of their features by the extractors' names."""
    found, done = Measured({}), 0
    of_images, of_features = list(measures("images")), list(measures("features"))
    total = len(of_images) + len(pairs) * len(of_features)
    report(doing, done, total)
    for measure in of_images:
        found |= measure(real, fake, settings)
        report(doing, done := done + 1, total)
    for name, features in pairs.items():
        for measure in of_features:
            found |= measure(*features, settings).named(name)
            report(doing, done := done + 1, total)
    return found


def _floor(
    sets: _Sets, split: str, settings: EvaluateSettings, extractors: Sequence[Extractor], keep: int, store: FeatureStore
) -> dict[str, float]:
    """The metrics of images of a split in the samples' place, cached in the store.

    Empty where the split has too few images: distances of smaller sets are larger.
    """
    test = sets.test.first(sets.count)
    others = (sets.valid if split == "valid" else sets.train).first(sets.count)
    if len(others.indices) < sets.count:
        return {}
    settings = settings.model_copy(update={"bootstrap": 0})  # a floor has no interval

    def features(one: Extractor) -> Pair:
        # Features of all training images are cached: these are the first of them.
        cached = sets.train if split == "train" else others
        return test.describe(one).features, cached.describe(one).features[: sets.count]

    def measure() -> dict[str, float]:
        pairs = {one.name: features(one) for one in extractors}
        images = test.first(keep).images(), others.first(keep).images()
        return _compare(*images, pairs, settings, f"Comparing {others.name}", test.report).values

    read = {name: getattr(settings, name) for name in settings.READ_BY_METRICS}
    names = [(one.name, one.digest) for one in extractors]
    return store.numbers(
        f"floor {test.key} {others.key} {keep} {names} {read} {settings.seed} {code_version()}", measure
    )


def _two_sample(models: Models, settings: EvaluateSettings, sets: _Sets) -> Measured:
    """Trains a new discriminator on four fifths of valid, chooses its best epoch on the last, and tests it on test."""
    valid, test = (one.first(settings.two_sample_images) for one in (sets.valid, sets.test))
    if len(valid.indices) < LEAST_IMAGES:
        return Measured({})
    chosen = len(valid.indices) // 5
    parts = {"choose": valid.first(chosen), "train": replace(valid, indices=valid.indices[chosen:]), "test": test}

    def with_samples(purpose: str, part: RealSet) -> Sides:
        drawn: list[Images] = []
        for images, _ in models.sample(len(part.indices), _seed(settings.seed, f"two samples, {purpose}")):
            drawn.append(images)
            part.report("Sampling", sum(map(len, drawn)), len(part.indices))
        return Sides(part.images(), np.concatenate(drawn))

    choose, train, tested = (with_samples(purpose, part) for purpose, part in parts.items())
    values = two_sample_test(
        models.new_discriminator(),
        train,
        choose,
        tested,
        seed=settings.seed,
        progress=lambda done, total: sets.test.report("Training a new classifier", done, total),
    )
    return Measured(values, {"c2st_accuracy": share_interval(values["c2st_accuracy"], 2 * len(test.indices))})


def _protocol(
    models: Models,
    reals: Reals,
    settings: EvaluateSettings,
    sets: _Sets,
    extractors: Sequence[Extractor],
    age_centre: float | None,
    age_centre_from: str,
) -> EvaluationProtocol:
    return EvaluationProtocol(
        split="test",
        reals=len(sets.test.indices),
        samples=len(sets.test.indices),
        images_per_side=sets.count,
        train_images=len(sets.train.indices),
        features={one.name: one.digest for one in extractors},
        **{name: getattr(settings, name) for name in settings.READ_BY_METRICS},
        judge_network=models.new_network,
        seed=settings.seed,
        precision="float32",
        code=code_version(),
        size=models.size,
        centre_crop=models.random_crop,
        recipe=dict(reals.recipe),
        data_digest=reals.digest,
        trained_on=models.data_digest,
        training_id=models.training_id,
        images=models.images,
        discriminator_images=models.discriminator.images if models.discriminator else None,
        finished=models.finished,
        age_centre=age_centre,
        age_centre_from=age_centre_from,
    )


def _seed(seed: int, purpose: str) -> int:
    """Seeds for the sets of samples; `generate` samples with the plain seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=4).digest(), "little")
