"""What the numbers mean, in a few sentences that claim no more than they show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Final

from celeba_gan.evaluation.documents import Attributes, Evaluation, Interval
from celeba_gan.evaluation.metrics.registry import read_name
from celeba_gan.foundation.wording import counted
from celeba_gan.reporting.evaluation.differences import Difference, find_differences
from celeba_gan.reporting.evaluation.gaps import how_to_get_features
from celeba_gan.reporting.evaluation.glossary import first_extractor, name_extractor, name_search
from celeba_gan.reporting.evaluation.writing import enumerate_names, write, write_attribute, write_range

FEW_IMAGES: Final = 1000
WEAK_AREA: Final = 0.8  # mean area under the curve of the attribute classifier
WEAK_ACCURACY: Final = 0.85
LITTLE_TO_SAY: Final = 200  # images a side
_INCEPTION_DIMENSIONS: Final = 2048
_CHANCE: Final = 0.05  # of attributes, whose 0.95 intervals exclude the truth
_SPREAD: Final = 0.2  # of MS-SSIM over pairs, at most (0.18 seen on portraits at 64 pixels)
_TO_COUNT_ONE_PERCENT: Final = 300  # images: then chance gives three
_FAR: Final = 1.2  # times as far from training images as unseen ones


@dataclass(frozen=True)
class Statement:
    """A few sentences, and their topic."""

    topic: str
    text: str


def find_verdict(evaluation: Evaluation) -> list[Statement]:
    """A statement for each question that the numbers answer, at least one; its first sentence is the conclusion."""
    topics = {
        "Quality": _quality,
        "Variety": _variety,
        "Originality": _originality,
        "Compared": _compared,
        "Caveats": _caveats,
    }
    found = [Statement(topic, " ".join(describe(evaluation))) for topic, describe in topics.items()]
    found = [statement for statement in found if statement.text]
    if not found:
        return [Statement("Nothing", "These numbers do not show how good the generator is.")]
    if _has_few(evaluation):
        count = counted(evaluation.protocol.images_per_side, "sample")
        found.insert(
            0,
            Statement(
                "Few images",
                f"Little can be said: only {count} could be compared with as many real images. Only large differences "
                "show then, and what is not found may still be there.",
            ),
        )
    return found


def _has_few(evaluation: Evaluation) -> bool:
    return evaluation.protocol.images_per_side < LITTLE_TO_SAY


def _quality(evaluation: Evaluation) -> Iterator[str]:
    """Whether samples can be told from real images: by a new classifier, which sees most, else by the distance."""
    by_classifier = _exceeds(evaluation, "c2st_accuracy", 0.5)
    name = first_extractor(evaluation, "frechet") or first_extractor(evaluation, "swd")
    by_distance = None if name is None else _exceeds(evaluation, name, evaluation.floor.get(name))
    if by_classifier or by_distance:
        yield "Samples can be told from real images."
    elif by_classifier is False or by_distance is False:
        few = ", but so few images show only a large one" if _has_few(evaluation) else ""
        yield f"No difference between samples and real images was found{few}."
    if "c2st_accuracy" in evaluation.metrics:
        yield _new_classifier(evaluation, only_it_fails=bool(by_distance))
    if name is not None:
        yield from _distance(evaluation, name, only_it_fails=bool(by_classifier))
    precision = first_extractor(evaluation, "precision")
    if precision is not None:
        value, floor, _ = _number(evaluation, precision)
        beside = f", {write(floor, 'share')} of unseen real images do" if floor is not None else ""
        yield f"{write(value, 'share')} of the samples lie among real images{beside} (precision)."


def _exceeds(evaluation: Evaluation, name: str, bound: float | None) -> bool | None:
    """Whether a number's interval is above the bound; None where either is unknown."""
    interval = evaluation.intervals.get(name)
    return None if interval is None or bound is None else interval.low > bound


def _new_classifier(evaluation: Evaluation, *, only_it_fails: bool) -> str:
    """Its accuracy beside chance; `only_it_fails` if a distance tells samples from real images."""
    value, _, interval = _number(evaluation, "c2st_accuracy")
    known = f" (95 % interval {write_range(interval.low, interval.high, 'share')})" if interval else ""
    text = f"A new classifier of samples and unseen images is right for {write(value, 'share')} of them{known}"
    if interval is None or interval.low > 0.5:
        return f"{text}; guessing gives 50 %."
    why = (
        "it alone misses the difference"
        if only_it_fails
        else "a larger one, or more images to train it, might recognise samples"
    )
    return f"{text}, no better than guessing (50 %): {why}."


def _distance(evaluation: Evaluation, name: str, *, only_it_fails: bool) -> Iterator[str]:
    """The distance beside that of real images; `only_it_fails` if something else tells samples from these."""
    value, floor, interval = _number(evaluation, name)
    found = read_name(name)
    known = f" (95 % interval {write_range(interval.low, interval.high)})" if interval else ""
    where = f" in the features of {name_extractor(found.features)}" if found.features else ""
    beside = f"; unseen real images score {write(floor)}" if floor is not None else ""
    yield f"{found.number.label} {write(value)}{known}{where}{beside}."
    if floor is not None and interval is not None and interval.low <= floor:
        alone = ": this distance alone is too coarse to see the difference" if only_it_fails else ""
        yield f"The interval includes the score of real images{alone}."
    elif floor is not None and 0 < floor < value:
        unsure = "" if interval else "; how much of that is chance is unknown"
        yield f"That is {_times(value / floor)} the distance of real images from each other{unsure}."


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _variety(evaluation: Evaluation) -> Iterator[str]:
    """Whether samples miss something: by recall and coverage, by their likeness, or by a clearly rarer attribute."""
    names = [(first_extractor(evaluation, base), words) for base, words in _OF_VARIETY.items()]
    shares, misses, sure = [], False, False
    for name, words in names:
        if name is not None:
            value, floor, interval = _number(evaluation, name)
            beside = f"; unseen real images: {write(floor, 'share')}" if floor is not None else ""
            shares.append(f"{write(value, 'share')} {words} ({read_name(name).number.name}{beside})")
            if floor is not None and interval is not None:
                sure, misses = True, misses or interval.high < floor
    differences = find_differences(evaluation.attributes)
    misses = misses or any(one.is_clear and one.off < 0 for one in differences) or _likeness(evaluation) == "more"
    if misses:
        yield "Samples miss a part of what real images show."
    elif sure:
        few = ", but so few images hardly show one" if _has_few(evaluation) else ""
        yield f"No loss of variety was found{few}."
    if shares:
        yield f"{enumerate_names(shares)}."
    if "ms_ssim" in evaluation.metrics:
        yield _describe_likeness(evaluation)
    if differences:
        yield _prevalence(differences)


_OF_VARIETY: Final = {"recall": "of real images lie among samples", "coverage": "have a sample nearby"}


def _likeness(evaluation: Evaluation) -> str | None:
    """Whether two samples are `more`, `less` or `about as` alike as two real images; None where it is unknown."""
    value, floor = evaluation.metrics.get("ms_ssim"), evaluation.floor.get("ms_ssim")
    if value is None or floor is None:
        return None
    reach = 1.96 * _SPREAD * sqrt(2 / evaluation.protocol.ms_ssim_pairs)  # both are means over so many pairs
    return "more" if value - reach > floor else "less" if value + reach < floor else "about as"


def _describe_likeness(evaluation: Evaluation) -> str:
    value, floor, _ = _number(evaluation, "ms_ssim")
    how = _likeness(evaluation)
    if how is None or floor is None:
        return f"The mean MS-SSIM of two samples is {write(value)}; 1 means that they are equal."
    than = "as" if how == "about as" else "than"
    return f"Two samples are {how} alike {than} two real images (MS-SSIM {write(value)} and {write(floor)})."


def _prevalence(differences: Sequence[Difference]) -> str:
    clear = [one for one in differences if one.is_clear]
    if not clear:
        return _unclear_prevalence(differences)
    found = []
    for furthest, words in ((min, "too rare"), (max, "too frequent")):
        one = furthest(clear, key=lambda one: one.off)
        if (one.off < 0) == (furthest is min):
            sides = f"{write(one.samples, 'share')} of samples, {write(one.reals, 'share')}"
            found.append(f"{write_attribute(one.name)}, {words} ({sides} of reals)")
    clearly = (
        "is clearly off, by 2 points or more:"
        if len(clear) == 1
        else "are clearly off, by 2 points or more; most of all"
    )
    return f"Of {len(differences)} attributes {len(clear)} {clearly} {enumerate_names(found)}."


def _unclear_prevalence(differences: Sequence[Difference]) -> str:
    none = "No single attribute is clearly rarer or more frequent than in real images"
    total, seeming = len(differences), [one for one in differences if one.seems_off]
    if not seeming:
        return f"{none}."
    rarer, chance = sum(one.off < 0 for one in seeming), _CHANCE * total
    counts = f"{rarer} of {total} {'seems' if rarer == 1 else 'seem'} rarer, {len(seeming) - rarer} more frequent"
    if len(seeming) > 2 * chance + 1:
        return f"{none}, but {counts}, where chance alone makes about {chance:.0f} seem so: some of them probably are."
    return f"{none}; {counts}, which may be chance."


def _originality(evaluation: Evaluation) -> Iterator[str]:
    count = evaluation.protocol.images_per_side
    name = first_extractor(evaluation, "memorised")
    if name is None and evaluation.metrics:
        yield (
            "Not measured: whether samples are copies of training images. Look at the picture of samples and their "
            f"nearest training images, found by {name_search(evaluation.protocol)}. Numbers are missing. "
            f"{how_to_get_features(evaluation)}"
        )
    if name is not None:
        share = evaluation.metrics[name]
        excess = _exceeds_chance(share, count)
        conclusions = {
            True: "Some samples may be copies",
            False: "No sign of copies",
            None: "Undecided with so few images",
        }
        look = "; look at the picture of their nearest training images" if excess else ""
        yield (
            f"{conclusions[excess]}: {write(share, 'share')} of samples are as near to a training image as only 1 % of "
            f"unseen real images are{look}."
        )
        ratio = first_extractor(evaluation, "distance_ratio")
        if not excess and ratio is not None and evaluation.metrics[ratio] > _FAR:
            yield (
                "Inexact copies may be overlooked: most samples are far from every training image, "
                f"{_times(evaluation.metrics[ratio])} as far from the nearest as unseen real images are."
            )
    name = first_extractor(evaluation, "repeated")
    if name is not None:
        share = evaluation.metrics[name]
        conclusion = {
            True: "Samples repeat each other",
            False: "Samples do not repeat each other more than chance explains",
            None: "Whether samples repeat each other is undecided",
        }[_exceeds_chance(share, count)]
        near = "are as near to another sample as only 1 % of real images are to another"
        yield f"{conclusion}: {write(share, 'share')} {near}."


def _exceeds_chance(share: float, count: int) -> bool | None:
    """Whether a share of `count` samples is above the 1 % of as many reals, which has an error of its own.

    None where there are too few to deny it.
    """
    error = 1.96 * hypot(sqrt(share * (1 - share) / count), sqrt(0.01 * 0.99 / count))
    if share - error > 0.01:
        return True
    return False if count >= _TO_COUNT_ONE_PERCENT else None


def _compared(evaluation: Evaluation) -> Iterator[str]:
    comparison = evaluation.comparison
    if comparison is None or not comparison.rows:
        return
    winners = [row.better for row in comparison.rows]
    yield (
        f"Compared with {comparison.against} it is better in {winners.count('model')} of "
        f"{counted(len(winners), 'metric')} and worse in {winners.count('against')}; the others are undecided."
    )


def _caveats(evaluation: Evaluation) -> Iterator[str]:
    protocol = evaluation.protocol
    if not protocol.finished and protocol.checkpoint != "best":
        yield f"Training is unfinished, after {protocol.images:,} images."
    if protocol.trained_on != protocol.data_digest:
        yield "The generator was trained on other images than it is compared with: the numbers measure a transfer."
    if protocol.discriminator_images not in (None, protocol.images):
        yield "The discriminator was saved at another point of training than the generator, so AGE mixes the two."
    count = protocol.images_per_side
    if LITTLE_TO_SAY <= count < FEW_IMAGES:
        yield f"Only {count:,} images a side were compared: with so few, numbers vary much by chance."
    if count < _INCEPTION_DIMENSIONS and "frechet_inception" in evaluation.metrics:
        yield (
            f"Inception’s Fréchet distance needs more images than its {_INCEPTION_DIMENSIONS:,} dimensions, and is too "
            "large with fewer: compare it with its floor only."
        )
    if (weakness := _weakness(evaluation.attributes)) is not None:
        yield f"The attribute classifier is weak ({weakness} on unseen images), and so are numbers in its features."


def _weakness(attributes: Attributes | None) -> str | None:
    if attributes is None:
        return None
    area, accuracy = attributes.mean_auc, attributes.mean_accuracy
    if area is not None:
        return f"mean AUC {write(area)}" if area < WEAK_AREA else None
    weak = accuracy is not None and accuracy < WEAK_ACCURACY
    return f"mean accuracy {write(accuracy, 'share')}" if weak and accuracy is not None else None


def _number(evaluation: Evaluation, name: str) -> tuple[float, float | None, Interval | None]:
    """A metric's value, its floor and its interval."""
    return evaluation.metrics[name], evaluation.floor.get(name), evaluation.intervals.get(name)
