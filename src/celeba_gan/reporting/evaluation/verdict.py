"""What the numbers mean, in a few sentences that claim no more than they show."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Final

from celeba_gan.evaluation.documents import Attributes, Evaluation, Interval
from celeba_gan.evaluation.metrics.registry import read_name
from celeba_gan.foundation.wording import counted
from celeba_gan.reporting.evaluation.gaps import how_to_get_features
from celeba_gan.reporting.evaluation.glossary import first_extractor, name_extractor, name_search
from celeba_gan.reporting.evaluation.writing import enumerate_names, write, write_attribute, write_range

FEW_IMAGES: Final = 1000
WEAK_AREA: Final = 0.8  # mean area under the curve of the attribute classifier
WEAK_ACCURACY: Final = 0.85
_INCEPTION_DIMENSIONS: Final = 2048
# As in the findings about the data: forty attributes are tested at once, and less than 2 points hardly matters.
_POINTS: Final = 0.02
_HALF_WIDTHS: Final = 2  # of the 0.95 interval: about four standard errors
_SPREAD: Final = 0.2  # of MS-SSIM over pairs, at most (0.18 seen on portraits at 64 pixels)
_TO_COUNT_ONE_PERCENT: Final = 300  # images: then chance gives three
_FAR: Final = 1.2  # times as far from training images as unseen ones


@dataclass(frozen=True)
class Statement:
    """A sentence or two, and their topic."""

    topic: str
    text: str


def find_verdict(evaluation: Evaluation) -> list[Statement]:
    """A statement for each topic that was measured, at least one: quality, variety, originality, caveats."""
    topics = {
        "Quality": _quality,
        "Variety": _variety,
        "Originality": _originality,
        "A new classifier": _new_classifier,
        "Compared": _compared,
        "Caveats": _caveats,
    }
    found = [Statement(topic, " ".join(describe(evaluation))) for topic, describe in topics.items()]
    return [statement for statement in found if statement.text] or [
        Statement("Nothing", "These numbers do not show how good the generator is.")
    ]


def _quality(evaluation: Evaluation) -> Iterator[str]:
    name = first_extractor(evaluation, "frechet") or first_extractor(evaluation, "swd")
    if name is not None:
        value, floor, interval = _number(evaluation, name)
        found = read_name(name)
        known = f" (95 % interval {write_range(interval.low, interval.high)})" if interval else ""
        where = f" in the features of {name_extractor(found.features)}" if found.features else ""
        beside = f"; unseen real images score {write(floor)}" if floor is not None else ""
        yield f"{found.number.label} {write(value)}{known}{where}{beside}."
        if floor is not None and interval is not None and interval.low <= floor:
            yield "The interval includes that: this distance cannot tell samples from real images."
        elif floor is not None and 0 < floor < value:
            unsure = "" if interval else ", with unknown uncertainty"
            yield f"That is {_times(value / floor)} the distance of real images from each other{unsure}."
    precision = first_extractor(evaluation, "precision")
    if precision is not None:
        value, floor, _ = _number(evaluation, precision)
        beside = f", {write(floor, 'share')} of unseen real images do" if floor is not None else ""
        yield f"{write(value, 'share')} of the samples lie among real images{beside} (precision)."


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _variety(evaluation: Evaluation) -> Iterator[str]:
    shares, short, sure = [], False, False
    for base, words in (("recall", "of real images lie among samples"), ("coverage", "have a sample nearby")):
        name = first_extractor(evaluation, base)
        if name is not None:
            value, floor, interval = _number(evaluation, name)
            beside = f"; unseen real images: {write(floor, 'share')}" if floor is not None else ""
            shares.append(f"{write(value, 'share')} {words} ({base}{beside})")
            if floor is not None and interval is not None:
                sure, short = True, short or interval.high < floor
    if shares:
        conclusion = ""
        if sure:
            conclusion = ": samples miss a part of what is real" if short else ": no loss of variety"
        yield f"{enumerate_names(shares)}{conclusion}."
    if "ms_ssim" in evaluation.metrics:
        yield _alikeness(evaluation)
    yield from _prevalence(evaluation.attributes)


def _alikeness(evaluation: Evaluation) -> str:
    value, floor, _ = _number(evaluation, "ms_ssim")
    if floor is None:
        return f"The mean MS-SSIM of two samples is {write(value)}; 1 means that they are equal."
    reach = 1.96 * _SPREAD * sqrt(2 / evaluation.protocol.ms_ssim_pairs)  # both are means over so many pairs
    how = "more" if value - reach > floor else "less" if value + reach < floor else "about as"
    than = "as" if how == "about as" else "than"
    return f"Two samples are {how} alike {than} two real images (MS-SSIM {write(value)} and {write(floor)})."


def _prevalence(attributes: Attributes | None) -> Iterator[str]:
    if attributes is None or not attributes.names:
        return
    off = {}
    for name in attributes.names:
        difference = attributes.samples[name] - attributes.reals[name]
        if abs(difference) >= _POINTS and abs(difference) > _HALF_WIDTHS * attributes.errors[name]:
            off[name] = difference
    if not off:
        yield "No attribute is clearly rarer or more frequent than in real images."
        return
    found = []
    for choose, words in ((min, "too rare"), (max, "too frequent")):
        name = choose(off, key=lambda one: off[one])
        if (off[name] < 0) == (choose is min):
            sides = f"{write(attributes.samples[name], 'share')} of samples, {write(attributes.reals[name], 'share')}"
            found.append(f"{write_attribute(name)}, {words} ({sides} of reals)")
    clearly = (
        "is clearly off, by 2 points or more:" if len(off) == 1 else "are clearly off, by 2 points or more; most of all"
    )
    yield f"Of {len(attributes.names)} attributes {len(off)} {clearly} {enumerate_names(found)}."


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
        found = _against_chance(share, count, "more than by chance; look at their neighbours", "no sign of copies")
        yield f"{write(share, 'share')} of samples are as near to a training image as 1 % of unseen images are{found}."
        ratio = first_extractor(evaluation, "distance_ratio")
        if ratio is not None and evaluation.metrics[ratio] > _FAR:
            times = _times(evaluation.metrics[ratio])
            yield f"That means little: samples lie {times} as far from training images as unseen images do."
    name = first_extractor(evaluation, "repeated")
    if name is not None:
        share = evaluation.metrics[name]
        found = _against_chance(share, count, "the generator repeats itself", "no more than by chance")
        yield f"{write(share, 'share')} are as near to another sample as 1 % of real images are to another{found}."


def _against_chance(share: float, count: int, more: str, less: str) -> str:
    """Whether a share of `count` samples is above the 1 % of as many reals, which has an error of its own."""
    error = 1.96 * hypot(sqrt(share * (1 - share) / count), sqrt(0.01 * 0.99 / count))
    if share - error > 0.01:
        return f": {more}"
    return f": {less}" if count >= _TO_COUNT_ONE_PERCENT else ", which is undecided with so few images"


def _new_classifier(evaluation: Evaluation) -> Iterator[str]:
    if "c2st_accuracy" not in evaluation.metrics:
        return
    value, _, interval = _number(evaluation, "c2st_accuracy")
    known = f" (95 % interval {write_range(interval.low, interval.high, 'share')})" if interval else ""
    accuracy = f"A network trained to tell samples from unseen images has an accuracy of {write(value, 'share')}{known}"
    if interval is None:
        yield f"{accuracy}; 50 % is chance."
    elif interval.low > 0.5:
        yield f"{accuracy}, where 50 % is chance: it recognises samples."
    else:
        yield f"{accuracy}, no better than chance. A larger network, or more training images, might recognise them."


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
    if count < FEW_IMAGES:
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
