"""What the numbers say, in a few sentences that never say more than they do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any, Final

from celeba_gan.reporting.evaluation.glossary import describe, name_extractor, read_name
from celeba_gan.reporting.evaluation.writing import enumerate_names, write, write_attribute, write_interval

FEW_IMAGES: Final = 1000
WEAK_AREA: Final = 0.8  # mean area under the curve of the attribute classifier
WEAK_ACCURACY: Final = 0.85
_INCEPTION_DIMENSIONS: Final = 2048
# As in the findings about the data: forty attributes are looked at at once, and less than 2 points is no matter.
_POINTS: Final = 0.02
_HALF_WIDTHS: Final = 2  # of the 0.95 interval: about four standard errors
_SPREAD: Final = 0.2  # of MS-SSIM over pairs, at most (0.18 seen on portraits at 64 pixels)
_TO_COUNT_ONE_PERCENT: Final = 300  # images: then chance gives three
_FAR: Final = 1.2  # times as far from training images as unseen ones


@dataclass(frozen=True)
class Statement:
    """A thing that the numbers say, and what it is about."""

    topic: str
    text: str


def judge(evaluation: Mapping[str, Any]) -> list[Statement]:
    """How good, how varied and how original the samples are, whether they can be told, and what to distrust.

    Args:
        evaluation: `metrics`, and where there are any `intervals`, `floor`, `attributes`, `comparison`, `protocol`.

    Returns:
        A statement for each topic that there are numbers for; one at least.
    """
    topics = {
        "Quality": _quality,
        "Variety": _variety,
        "Originality": _originality,
        "A fresh judge": _fresh_judge,
        "Compared": _compared,
        "To distrust": _to_distrust,
    }
    found = [Statement(topic, " ".join(say(evaluation))) for topic, say in topics.items()]
    return [statement for statement in found if statement.text] or [
        Statement("Nothing", "These numbers do not say how good the generator is.")
    ]


def first_extractor(evaluation: Mapping[str, Any], base: str) -> str | None:
    """The name of a metric with the features that come first: the classifier's, Inception's, then any."""
    names = [name for name in evaluation["metrics"] if read_name(name).base == base]
    rank = {f"{base}_attributes": 0, f"{base}_inception": 1}
    return min(names, key=lambda name: (rank.get(name, 2), name), default=None)


def _quality(evaluation: Mapping[str, Any]) -> Iterator[str]:
    name = first_extractor(evaluation, "frechet")
    if name is None:
        name = "swd" if "swd" in evaluation["metrics"] else None
    if name is not None:
        value, floor, interval = _number(evaluation, name)
        features = read_name(name).features
        known = f" (95 % interval {write_interval(interval)})" if interval else ""
        where = f" in the features of {name_extractor(features)}" if features else ""
        against = f"; unseen real images score {write(floor)}" if floor is not None else ""
        yield f"{describe(name).label} {write(value)}{known}{where}{against}."
        if floor is not None and interval is not None and interval["low"] <= floor:
            yield "The interval reaches down to that: by this distance samples cannot be told from real images."
        elif floor is not None and 0 < floor < value:
            sure = "" if interval else ", though nothing says how sure that is"
            yield f"So it is {_times(value / floor)} what real images score against each other{sure}."
    precision = first_extractor(evaluation, "precision")
    if precision is not None:
        value, floor, _ = _number(evaluation, precision)
        beside = f", {write(floor, 'share')} of unseen real images do" if floor is not None else ""
        yield f"{write(value, 'share')} of the samples lie among real images{beside} (precision)."


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _variety(evaluation: Mapping[str, Any]) -> Iterator[str]:
    said, short, sure = [], False, False
    for base, words in (("recall", "of real images lie among samples"), ("coverage", "have a sample near by")):
        name = first_extractor(evaluation, base)
        if name is not None:
            value, floor, interval = _number(evaluation, name)
            beside = f"; unseen real images: {write(floor, 'share')}" if floor is not None else ""
            said.append(f"{write(value, 'share')} {words} ({base}{beside})")
            if floor is not None and interval is not None:
                sure, short = True, short or interval["high"] < floor
    if said:
        conclusion = ""
        if sure:
            conclusion = ": part of what is real is missing" if short else ": no loss of variety shows"
        yield f"{enumerate_names(said)}{conclusion}."
    if "ms_ssim" in evaluation["metrics"]:
        yield _alikeness(evaluation)
    yield from _prevalence(evaluation.get("attributes"))


def _alikeness(evaluation: Mapping[str, Any]) -> str:
    value, floor, interval = _number(evaluation, "ms_ssim")
    if floor is None:
        return f"Two samples are alike to {write(value)} by MS-SSIM, where 1 is equal."
    pairs = evaluation.get("protocol", {}).get("ms_ssim_pairs")
    if interval is not None:
        low, high = interval["low"], interval["high"]
    elif pairs:  # both are means over so many pairs
        reach = 1.96 * _SPREAD * sqrt(2 / pairs)
        low, high = value - reach, value + reach
    else:
        return f"MS-SSIM is {write(value)} between two samples and {write(floor)} between two real images."
    how = "more alike than" if low > floor else "less alike than" if high < floor else "about as alike as"
    return f"Two samples are {how} two real images (MS-SSIM {write(value)} and {write(floor)})."


def _prevalence(attributes: Mapping[str, Any] | None) -> Iterator[str]:
    if not attributes or not attributes["names"]:
        return
    off = {}
    for name in attributes["names"]:
        difference = attributes["samples"][name] - attributes["reals"][name]
        if abs(difference) >= _POINTS and abs(difference) > _HALF_WIDTHS * attributes["errors"][name]:
            off[name] = difference
    if not off:
        yield "No attribute is clearly rarer or more frequent than in real images."
        return
    found = []
    for choose, words in ((min, "too rare"), (max, "too frequent")):
        name = choose(off, key=lambda one: off[one])
        if (off[name] < 0) == (choose is min):
            shares = (write(attributes[side][name], "share") for side in ("samples", "reals"))
            found.append(f"{write_attribute(name)}, {words} ({next(shares)} of samples, {next(shares)} of reals)")
    clearly = f"{len(off)} {'is' if len(off) == 1 else 'are'} clearly off, by 2 points or more"
    yield f"Of {len(attributes['names'])} attributes {clearly}; most of all {enumerate_names(found)}."


def _originality(evaluation: Mapping[str, Any]) -> Iterator[str]:
    count = evaluation.get("protocol", {}).get("images_per_side")
    name = first_extractor(evaluation, "memorised")
    if name is not None:
        share = evaluation["metrics"][name]
        found = _against_chance(share, count, "more than chance gives: look at their neighbours", "no sign of copies")
        yield f"{write(share, 'share')} of samples are as near to a training image as 1 % of unseen images are{found}."
        ratio = first_extractor(evaluation, "distance_ratio")
        if ratio is not None and evaluation["metrics"][ratio] > _FAR:
            times = _times(evaluation["metrics"][ratio])
            yield f"That says little: samples lie {times} as far from training images as unseen images do."
    name = first_extractor(evaluation, "repeated")
    if name is not None:
        share = evaluation["metrics"][name]
        found = _against_chance(share, count, "the generator repeats itself", "no more than chance gives")
        yield f"{write(share, 'share')} are as near to another sample as 1 % of real images are to another{found}."


def _against_chance(share: float, count: int | None, more: str, less: str) -> str:
    """Whether a share of `count` samples is above the 1 % of as many reals, which has an error of its own."""
    if count is None:
        return ""
    error = 1.96 * hypot(sqrt(share * (1 - share) / count), sqrt(0.01 * 0.99 / count))
    if share - error > 0.01:
        return f": {more}"
    return f": {less}" if count >= _TO_COUNT_ONE_PERCENT else ", which so few images do not settle"


def _fresh_judge(evaluation: Mapping[str, Any]) -> Iterator[str]:
    if "c2st_accuracy" not in evaluation["metrics"]:
        return
    value, _, interval = _number(evaluation, "c2st_accuracy")
    known = f" (95 % interval {write_interval(interval, 'share')})" if interval else ""
    told = (
        f"A network trained anew to tell samples from unseen images is right {write(value, 'share')} of the time{known}"
    )
    if interval is None:
        yield f"{told}; 50 % is guessing."
    elif interval["low"] > 0.5:
        yield f"{told}, where 50 % is guessing: samples can be told from real images."
    else:
        yield f"{told}, no better than guessing. A larger network, or more images to train it on, might tell them."


def _compared(evaluation: Mapping[str, Any]) -> Iterator[str]:
    comparison = evaluation.get("comparison")
    if not comparison or not comparison["rows"]:
        return
    winners = [row["better"] for row in comparison["rows"]]
    better, worse = winners.count("model"), winners.count("against")
    yield (
        f"Against {comparison['against']} it is surely better in {better} of {len(winners)} metrics and surely worse "
        f"in {worse}; in the others the difference may be chance."
    )


def _to_distrust(evaluation: Mapping[str, Any]) -> Iterator[str]:
    protocol, metrics = evaluation.get("protocol", {}), evaluation["metrics"]
    if protocol.get("finished") is False and protocol.get("which") != "best":
        yield f"Training is unfinished: the generator is {protocol.get('images', 0):,} images into it."
    if protocol.get("trained_on") and protocol.get("data_digest") and protocol["trained_on"] != protocol["data_digest"]:
        yield "The generator was trained on other images than it is compared with: the numbers speak of a transfer."
    judged = protocol.get("discriminator_images")
    if judged is not None and "images" in protocol and judged != protocol["images"]:
        yield "The discriminator is from another moment of training than the generator, so AGE mixes the two."
    count = protocol.get("images_per_side")
    if count is not None and count < FEW_IMAGES:
        yield f"Only {count:,} images a side were compared: with so few, numbers move much by chance."
    if count is not None and count < _INCEPTION_DIMENSIONS and "frechet_inception" in metrics:
        yield (
            f"Inception’s Fréchet distance needs more images than its {_INCEPTION_DIMENSIONS:,} dimensions, and is too "
            "large with fewer: compare it with its floor only."
        )
    yield from _weak_classifier(evaluation)


def _weak_classifier(evaluation: Mapping[str, Any]) -> Iterator[str]:
    classifier = list(((evaluation.get("attributes") or {}).get("classifier") or {}).values())
    areas = [one["auc"] for one in classifier if one["auc"] is not None]
    accuracies = [one["accuracy"] for one in classifier]
    what = ""
    if areas and sum(areas) / len(areas) < WEAK_AREA:
        what = f"mean AUC {write(sum(areas) / len(areas))}"
    elif not areas and accuracies and sum(accuracies) / len(accuracies) < WEAK_ACCURACY:
        what = f"mean accuracy {write(sum(accuracies) / len(accuracies), 'share')}"
    if what:
        yield f"The attribute classifier is weak ({what} on unseen images), and so are numbers in its features."


def _number(evaluation: Mapping[str, Any], name: str) -> tuple[float, float | None, Mapping[str, Any] | None]:
    """A metric's value, its floor and its interval."""
    value: float = evaluation["metrics"][name]
    return value, evaluation.get("floor", {}).get(name), evaluation.get("intervals", {}).get(name)
