"""Which attributes a generator drops or makes too often, by a classifier of samples and reals alike."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.documents import AttributeQuality, Attributes, RequestedAttribute

Probabilities = NDArray[np.float32]


def compare_prevalence(
    names: Sequence[str], reals: Probabilities, samples: Probabilities
) -> dict[str, dict[str, float]]:
    """Shares of images that have each attribute: the means of the classifier's probabilities.

    Counting those above one half would miss rare attributes, since a weak classifier never gives them a high
    probability. It errs, but for both alike: where samples are like reals, the shares are equal.

    Probabilities (n, attributes) and (m, attributes) give `reals` and `samples`, shares by name, and `errors`, half the
    width of the difference's 0.95 interval.
    """
    share_of_reals, share_of_samples = (one.mean(axis=0, dtype=np.float64) for one in (reals, samples))
    variance = sum(one.var(axis=0, dtype=np.float64) / len(one) for one in (reals, samples))
    columns = {"reals": share_of_reals, "samples": share_of_samples, "errors": 1.96 * np.sqrt(variance)}
    return {key: dict(zip(names, map(float, column), strict=True)) for key, column in columns.items()}


def compare_requested(
    names: Sequence[str], samples: Probabilities, labels: NDArray[np.float32], requested: Sequence[str]
) -> dict[str, RequestedAttribute] | None:
    """How often samples have, or lack, the attribute that was requested; None if the classifier knows none of these.

    Args:
        names: Attributes of the classifier.
        samples: Probabilities of these, (n, attributes).
        labels: What the generator was given, zeros and ones (n, labels).
        requested: Names of the labels: attributes, or classes such as "Male + not Smiling".
    """
    wanted: dict[str, NDArray[np.bool_]] = {}
    known: dict[str, NDArray[np.bool_]] = {}
    for column, label in enumerate(requested):
        has = labels[:, column] > 0.5
        one_of_classes = " + " in label or label.startswith("not ")
        for part in label.split(" + "):
            name = part.removeprefix("not ")
            if name in names:
                is_class = one_of_classes or f"not {name}" in requested
                known[name] = known.get(name, False) | (has if is_class else np.ones_like(has))
                wanted[name] = wanted.get(name, False) | (has & (name == part))
    found = {}
    for name, want in wanted.items():
        right = ((samples[:, list(names).index(name)] > 0.5) == want)[known[name]]
        kinds = {"accuracy": right, "with": right[want[known[name]]], "without": right[~want[known[name]]]}
        shares = {kind: float(values.mean()) for kind, values in kinds.items() if len(values)}
        found[name] = RequestedAttribute.model_validate({**shares, "samples": len(right)})
    return found or None


def describe_attributes(
    quality: Mapping[str, AttributeQuality],
    reals: Probabilities,
    samples: Probabilities,
    labels: NDArray[np.float32],
    requested: Sequence[str],
) -> Attributes:
    """The section `attributes` of an evaluation, from `compare_prevalence` and `compare_requested`.

    `quality` is that of the classifier, by attribute, in the order of the columns.
    """
    names = list(quality)
    return Attributes(
        names=names,
        **compare_prevalence(names, reals, samples),
        classifier=dict(quality),
        requested=compare_requested(names, samples, labels, requested),
    )
