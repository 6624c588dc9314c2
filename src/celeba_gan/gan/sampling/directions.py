"""Directions in the latent space along which images change in one respect.

Attribute directions are normals of hyperplanes that a linear regression finds between samples with and without an
attribute (InterFaceGAN, Shen et al. 2020, section 3.1, where a support vector machine finds them). Those in closed form
are the directions that the weights of the first layer amplify most (SeFa, Shen and Zhou 2021).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from celeba_gan.foundation.pixels import Images
from celeba_gan.foundation.wording import Report, listed, no_report, stage_command
from celeba_gan.gan.networks.build import latent_matrix
from celeba_gan.gan.networks.config import NetworkError
from celeba_gan.gan.sampling.control_config import DirectionSettings
from celeba_gan.gan.sampling.control_documents import (
    LEAST_CLASSIFIER_AUC,
    Direction,
    Directions,
    Effect,
    Prediction,
)
from celeba_gan.gan.sampling.trained import TrainedGenerator

Array = NDArray[np.float64]
MakeImages = Callable[[Tensor, Tensor], Images]
"""Latents (n, latent size) and labels (n, names) -> uint8 (n, size, size, 3)."""

_BATCH: Final = 128
_LEAST_PROBABILITY: Final = 1e-4  # logits are cut off here, or a few very certain verdicts would decide the regression
_DIGITS: Final = 8  # of the vectors' numbers, as float32 has them


class DirectionError(ValueError):
    """A direction that does not exist; the message says why, and which there are."""


@dataclass(frozen=True)
class Classifier:
    """A network that finds attributes in images."""

    names: Sequence[str]
    probabilities: Callable[[Images], NDArray[Any]]
    """uint8 (n, size, size, 3) -> floating point (n, names) in [0, 1]."""
    digest: str
    """Identifies its weights."""
    quality: Mapping[str, float | None] = field(default_factory=dict)
    """Its AUC for each attribute on photographs that it was not trained on, where it is known."""


def find_directions(
    generator: TrainedGenerator,
    settings: DirectionSettings,
    seed: int,
    labels: Sequence[str] = (),
    classifier: Classifier | None = None,
    report: Report = no_report,
) -> Directions:
    """Finds the directions of a generator: of the attributes that a classifier knows, and in closed form.

    A generator that takes labels is sampled with those named, or else with labels as training has them. What the labels
    add is fitted beside the latents and taken out, and a move changes the latents alone: where labels decide an
    attribute, latents hardly predict it, and the AUC says so. A generator that does not name its first layer has no
    directions in closed form, with the reason in `without`. `report` is called for each batch that is classified.

    Raises:
        ConditionError: The generator knows no such label.
        DirectionError: `orthogonal_to` names an attribute that the classifier does not know.
    """
    check_orthogonal_to(settings, () if classifier is None else classifier.names)
    latents, drawn = generator.draw(settings.samples, seed, labels)
    spread = generator.latent.deviation
    step = settings.strength * spread
    found: list[Direction] = []
    without: dict[str, str] = {}
    held_out = 0
    if classifier is not None:
        found, without = attribute_directions(generator.images, latents, drawn, classifier, settings, report)
        held_out = _held_out(settings)
    most = min(settings.closed_form, generator.latent.size)
    if most:
        try:
            found += closed_form_directions(generator.module, generator.latent.size, most)
        except NetworkError as error:  # a family of a user's own
            without["closed_form"] = str(error)
    if classifier is not None:
        chosen = slice(len(latents) - min(held_out, settings.effect_samples), None)
        found = _with_effects(found, generator.images, latents[chosen], drawn[chosen], classifier, step, report)
    return Directions(
        training_id=generator.card.id,
        images=generator.card.images,
        latent_size=generator.latent.size,
        samples=settings.samples if classifier is not None else 0,
        held_out=held_out,
        seed=seed,
        labels=tuple(labels) or None,
        strength=settings.strength,
        step=step,
        classifier_digest=None if classifier is None else classifier.digest,
        directions=tuple(found),
        without=without,
    )


def attribute_directions(
    images: MakeImages,
    latents: Tensor,
    labels: Tensor,
    classifier: Classifier,
    settings: DirectionSettings,
    report: Report = no_report,
) -> tuple[list[Direction], dict[str, str]]:
    """Directions along which attributes become more frequent, the best predicted first, and why others have none.

    Ridge regression of the attributes' logits on the latents, in closed form: w = (X^T X + lambda I)^-1 X^T y. The
    direction is w / |w|. It is measured on latents that were not used to fit it.

    Args:
        images: Makes the images.
        latents: float32 (n, latent size), as drawn in training.
        labels: float32 (n, names), (n, 0) without labels.
        classifier: Finds the attributes in the images.
        settings: Of the fit.
        report: Called for each batch that is classified.

    Returns:
        The directions without effects; and the reason for each attribute that has no direction.
    """
    probabilities = _classify(images, latents, labels, classifier, report)
    kept = len(latents) - _held_out(settings)  # for the fit
    bounded = probabilities.clip(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    logits = np.log(bounded) - np.log1p(-bounded)
    x = latents.double().numpy()
    weights = _ridge(x[:kept], labels[:kept].double().numpy(), logits[:kept], settings.ridge)
    has = probabilities > 0.5
    vectors, without = {}, {}
    for column, name in enumerate(classifier.names):
        if (quality := classifier.quality.get(name)) is not None and quality < LEAST_CLASSIFIER_AUC:
            without[name] = f"the classifier does not recognise it: AUC {quality:.2f} on valid images"
        elif (reason := _unvarying(has[:, column], kept, settings.least_share)) is not None:
            without[name] = reason
        elif not (norm := np.linalg.norm(weights[:, column])) > 0:
            without[name] = "it does not depend on the latents"
        else:
            vectors[name] = weights[:, column] / norm
    fixed = [name for name in settings.orthogonal_to if name in vectors]
    found = []
    for name, vector in vectors.items():
        others = [] if name in fixed else fixed
        purified = orthogonal(vector, [vectors[other] for other in others])
        if purified is None:
            without[name] = f"nothing of its direction is left orthogonal to {' and '.join(others)}"
            continue
        column = classifier.names.index(name)
        prediction = _measure(x @ purified, logits[:, column], has[:, column], kept)
        direction = Direction(
            name=name,
            kind="attribute",
            vector=_rounded(purified),
            prediction=prediction,
            classifier_auc=classifier.quality.get(name),
            orthogonal_to=tuple(others),
        )
        found.append((prediction.auc, direction))
    return [direction for _, direction in sorted(found, key=lambda pair: -pair[0])], without


def check_orthogonal_to(settings: DirectionSettings, known: Sequence[str]) -> None:
    """Raises DirectionError if `orthogonal_to` names an attribute that is not one that the classifier knows."""
    if settings.orthogonal_to and not known:
        raise DirectionError(
            "generate.directions.orthogonal_to: there is no classifier that knows attributes. Images that have "
            f"attributes get one with {stage_command('evaluate')}; or leave orthogonal_to empty"
        )
    if unknown := sorted(set(settings.orthogonal_to) - set(known)):
        raise DirectionError(
            f"generate.directions.orthogonal_to: the classifier knows no {listed(unknown, 5)}. "
            f"There are: {listed(known, 50)}"
        )


def closed_form_directions(module: nn.Module, latent_size: int, count: int) -> list[Direction]:
    """The directions that the first layer of a generator amplifies most (Shen and Zhou 2021, equations 4 to 6).

    Of all unit vectors n they maximise |A n|, with A the weights of the layer that acts on the latents: they are the
    eigenvectors of A^T A with the largest eigenvalues, whose roots are the singular values of A. Of the two signs the
    one is chosen with which the first of the largest components is positive.

    Raises:
        NetworkError: The generator does not name that layer.
        DirectionError: It takes latents of another size, or `count` is not from 1 to that size.
    """
    matrix = latent_matrix(module).detach().double().cpu()
    if matrix.shape[1] != latent_size:
        raise DirectionError(f"The first layer takes latents of {matrix.shape[1]} numbers, not {latent_size}")
    if not 1 <= count <= latent_size:
        raise DirectionError(f"There are 1 to {latent_size} directions in closed form, not {count}")
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)  # ascending
    found = []
    for index in range(count):
        vector, square = vectors[:, -1 - index].numpy(), max(0.0, float(values[-1 - index]))
        sizes = np.abs(vector)
        largest = int(np.flatnonzero(sizes >= sizes.max() * (1 - 1e-9))[0])
        found.append(
            Direction(
                name=f"closed_form_{index + 1}",
                kind="closed_form",
                vector=_rounded(vector * np.sign(vector[largest])),
                singular_value=square**0.5,
            )
        )
    return found


def orthogonal(vector: Array, others: Sequence[Array]) -> Array | None:
    """The unit vector nearest to a direction that is orthogonal to others; None if nothing is left.

    With one other it is n1 - (n1^T n2) n2, which changes the first attribute and keeps the second (InterFaceGAN,
    conditional manipulation); with several, what is left of n1 outside of the space that they span.
    """
    rest = np.asarray(vector, np.float64)
    if others:
        span = np.stack(others, axis=1)
        rest = rest - span @ np.linalg.lstsq(span, rest, rcond=1e-6)[0]  # some may depend on others
    norm = float(np.linalg.norm(rest))
    return rest / norm if norm > 1e-6 * float(np.linalg.norm(vector)) else None


def moved(latents: Tensor, direction: Direction, lengths: Sequence[float]) -> Tensor:
    """Latents (n, latent size) moved along a direction by each length: (n, lengths, latent size)."""
    vector = torch.tensor(direction.vector, dtype=latents.dtype)
    return latents[:, None] + torch.tensor(lengths, dtype=latents.dtype)[:, None] * vector


def _held_out(settings: DirectionSettings) -> int:
    return round(settings.samples * settings.held_out)


def _classify(
    images: MakeImages, latents: Tensor, labels: Tensor, classifier: Classifier, report: Report = no_report
) -> Array:
    """Probabilities of the attributes of each latent's image, float64 (n, attributes)."""
    found, done = [], 0
    for z, label in zip(torch.split(latents, _BATCH), torch.split(labels, _BATCH), strict=True):
        found.append(classifier.probabilities(images(z, label)))
        report("Classifying samples", done := done + len(z), len(latents))
    return np.concatenate(found).astype(np.float64)


def _ridge(x: Array, labels: Array, y: Array, strength: float) -> Array:
    """Weights (latent size, attributes) of x, fitted beside those of the labels and an intercept."""
    design = np.concatenate([x, labels], axis=1)
    design = design - design.mean(axis=0)
    size = x.shape[1]
    penalty = strength * len(x) * x.var(axis=0).mean()
    normal = design.T @ design + penalty * np.eye(design.shape[1])
    weights: Array = np.linalg.solve(normal, design.T @ (y - y.mean(axis=0)))
    return weights[:size]


def _unvarying(has: NDArray[np.bool_], kept: int, least: float) -> str | None:
    """Why an attribute can have no direction; None if it can."""
    count, total = int(has.sum()), len(has)
    if (
        least <= count / total <= 1 - least
        and has[kept:].any()
        and not has[kept:].all()
        and 0 < has[:kept].sum() < kept
    ):
        return None
    return f"{count:,} of {total:,} samples have it; at least {100 * least:g} % must have it, and as many must lack it"


def _measure(projection: Array, logits: Array, has: NDArray[np.bool_], kept: int) -> Prediction:
    """How well a projection (n,) predicts an attribute from latent `kept` on; the others give its threshold."""
    centre, mean = projection[:kept].mean(), logits[:kept].mean()
    variance = projection[:kept].var()
    slope = ((projection[:kept] - centre) * (logits[:kept] - mean)).mean() / variance if variance > 0 else 0.0
    positive = mean + slope * (projection[kept:] - centre) > 0
    tested, truth = projection[kept:], has[kept:]
    zeros = np.sort(tested[~truth])
    below = np.searchsorted(zeros, tested[truth], "left") + np.searchsorted(zeros, tested[truth], "right")
    return Prediction(
        auc=float(below.mean() / (2 * len(zeros))),
        accuracy=float((positive == truth).mean()),
        share=float(truth.mean()),
    )


def _with_effects(
    directions: Sequence[Direction],
    images: MakeImages,
    latents: Tensor,
    labels: Tensor,
    classifier: Classifier,
    step: float,
    report: Report,
) -> list[Direction]:
    """The directions with their effects: the mean change of every attribute's probability for a move by `step`."""
    start = _classify(images, latents, labels, classifier).mean(axis=0)
    found = []
    for direction in directions:
        ends = moved(latents, direction, [step, -step]).unbind(1)
        changes = [_classify(images, end, labels, classifier).mean(axis=0) - start for end in ends]
        effects = {
            name: Effect(forward=round(float(forward), 6), backward=round(float(backward), 6))
            for name, forward, backward in zip(classifier.names, *changes, strict=True)
        }
        found.append(direction.model_copy(update={"effects": effects}))
        report("Moving samples along directions", len(found), len(directions))
    return found


def _rounded(vector: Array) -> tuple[float, ...]:
    return tuple(round(float(number), _DIGITS) for number in vector)
