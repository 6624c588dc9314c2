"""Inception score (Salimans et al. 2016): how certain a classifier is of each sample, and how varied they are."""

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.intervals import STUDENT_9, around
from celeba_gan.evaluation.metrics.metric import Measured, Metric, Number

_LEAST = np.finfo(np.float64).tiny


def inception_score(probabilities: NDArray[np.float32], splits: int = 10) -> tuple[float, float]:
    """exp(E_x KL(p(y | x) || p(y))) of each of `splits` disjoint parts, as torch-fidelity has it.

    1 if every sample is alike to the classifier, and the number of classes if it is certain of each and they are
    evenly distributed. It uses no reals, and its classes are ImageNet's, which hardly describe faces. Probabilities
    (n, classes), in random order, give the mean and standard deviation over the parts.

    Raises:
        ValueError: There are fewer samples than parts.
    """
    count = len(probabilities)
    if count < splits:
        raise ValueError(f"The inception score of {splits} parts needs as many samples, not {count}")
    scores = []
    for part in range(splits):
        given = probabilities[part * count // splits : (part + 1) * count // splits].astype(np.float64)
        logs = np.log(np.maximum(given, _LEAST)) - np.log(np.maximum(given.mean(axis=0), _LEAST))
        scores.append(np.exp((given * logs).sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def measure_inception_score(probabilities: NDArray[np.float32]) -> Measured:
    """`inception_score` of samples' class probabilities, (n, classes), with an interval from its ten parts."""
    score, deviation = inception_score(probabilities)
    interval = around(score, STUDENT_9 * deviation / 3, "ten disjoint parts")
    return Measured({"inception_score": score}, {"inception_score": interval})


INCEPTION_SCORE = Metric(
    needs="class probabilities",
    numbers=(
        Number("inception_score", "Inception score", "quality", "more",
                "Rewards samples that Inception is sure of and that differ; it uses no real images."),
    ),
)  # fmt: skip
