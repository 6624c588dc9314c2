"""Words and orders that the parts of the page share; the words of metrics are in `evaluation.metrics`."""

from typing import Final

from celeba_gan.evaluation.documents import Evaluation, EvaluationProtocol
from celeba_gan.evaluation.metrics.metric import Group
from celeba_gan.evaluation.metrics.registry import NUMBERS, read_name

GROUPS: Final[dict[Group, tuple[str, str]]] = {
    "quality": ("Quality", "Do samples look like real images?"),
    "variety": ("Variety", "Do samples show all that real images show?"),
    "originality": ("Originality", "Are samples new, or copies of training images and of each other?"),
    "discriminator": ("The discriminator’s view", "Can a network tell samples from real images?"),
    "other": ("Further numbers", "Numbers that this version does not know."),
}
_EXTRACTORS: Final = {"attributes": "the attribute classifier", "inception": "Inception"}


def is_minor(name: str) -> bool:
    """Whether a number only completes another one: a scale of it, another split, another reading."""
    found = read_name(name)
    return found.number.minor or found.detail is not None


def order(name: str) -> tuple[int, str, int]:
    """A key to sort names in the registry's order, and a metric with different features side by side."""
    found = read_name(name)
    return [*NUMBERS, found.number.name].index(found.number.name), found.features or "", found.scale or 0


def name_extractor(features: str) -> str:
    """An extractor in words: `the attribute classifier`."""
    return _EXTRACTORS.get(features, f"“{features}”")


def name_search(protocol: EvaluationProtocol) -> str:
    """By what the nearest training images were found, in words."""
    return name_extractor([*protocol.features][-1]) if protocol.features else "16x16 pixels"


def describe_detail(name: str) -> str:
    """In which features, at which scale or on which images a number was measured; empty for a plain one."""
    found = read_name(name)
    return f"in the features of {name_extractor(found.features)}" if found.features else found.detail or ""


def first_extractor(evaluation: Evaluation, base: str) -> str | None:
    """The name of a metric in the features that come first: the classifier's, Inception's, then any."""
    names = [name for name in evaluation.metrics if read_name(name).number.name == base and not read_name(name).detail]
    rank = {f"{base}_attributes": 0, f"{base}_inception": 1}
    return min(names, key=lambda name: (rank.get(name, 2), name), default=None)
