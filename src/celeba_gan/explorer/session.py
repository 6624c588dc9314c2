"""What the page does, without Gradio: checked requests in, recipes out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from celeba_gan.explorer import faces
from celeba_gan.explorer.models import LoadedModel
from celeba_gan.explorer.recipe import MOST_STRENGTH, ExplorerError, Recipe
from celeba_gan.gan.sampling.control_documents import Direction

ATTRIBUTES: Final = 40
"""Sliders for directions of attributes: as many as CelebA has attributes."""
CLOSED_FORM: Final = 8


@dataclass(frozen=True)
class Session:
    """What one open page shows and keeps."""

    shown: Recipe | None = None
    kept: Mapping[str, Recipe] = field(default_factory=dict)
    """The faces A and B."""

    def keep(self, name: str) -> "Session":
        """With the face that is shown as A or B.

        Raises:
            ExplorerError: No face is shown.
        """
        return replace(self, kept={**self.kept, name: self.face()})

    def face(self) -> Recipe:
        """The face that is shown.

        Raises:
            ExplorerError: There is none yet.
        """
        if self.shown is None:
            raise ExplorerError("No face is shown yet. Choose a model and a seed first")
        return self.shown

    def pair(self) -> tuple[Recipe, Recipe]:
        """The faces A and B.

        Raises:
            ExplorerError: One is missing.
        """
        if missing := [name for name in "AB" if name not in self.kept]:
            raise ExplorerError(f"Keep a face as {' and one as '.join(missing)} first")
        return self.kept["A"], self.kept["B"]


@dataclass(frozen=True)
class Controls:
    """Values of the page's controls, as they came over HTTP: anything."""

    seed: Any
    number: Any
    truncation: Any
    is_labelled: Any
    """Whether labels are chosen; otherwise they are as drawn."""
    labels: Any
    """Names of the chosen attributes."""
    label: Any
    """The chosen class."""
    strengths: Sequence[Any]
    """Of the sliders for attributes, then of those in closed form."""


def slots(model: LoadedModel) -> list[Direction | None]:
    """Which direction each slider moves along; None: the slider is hidden."""
    known = () if model.directions is None else model.directions.directions
    found: list[Direction | None] = []
    for kind, most in (("attribute", ATTRIBUTES), ("closed_form", CLOSED_FORM)):
        some = [direction for direction in known if direction.kind == kind][:most]
        found += [*some, *[None] * (most - len(some))]
    return found


def requested(model: LoadedModel, controls: Controls, before: Recipe | None = None) -> Recipe:
    """The recipe that the controls describe.

    Args:
        model: The chosen one.
        controls: Values that may be anything.
        before: The face that is changed: its latent stays, if it has one of its own, and so do moves along directions
            without a slider. None: a new one is drawn.

    Raises:
        ExplorerError: A value is out of range or of the wrong type.
    """
    condition = model.generator.condition
    if before is not None and not model.owns(before):
        before = None
    labels: Any = None
    if not isinstance(controls.is_labelled, bool):
        raise ExplorerError(f"Whether labels are chosen is true or false, not {_short(controls.is_labelled)}")
    if condition is not None and controls.is_labelled:
        labels = [controls.label] if condition.kind == "class" else controls.labels
        if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
            raise ExplorerError(f"Labels are a list of names, not {_short(labels)}")
    places = slots(model)
    shown = {direction.name for direction in places if direction is not None}
    moves = {} if before is None else {name: by for name, by in before.moves.items() if name not in shown}
    for direction, strength in zip(places, controls.strengths, strict=True):
        if direction is None:
            continue
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not math.isfinite(strength):
            raise ExplorerError(f"The strength of {direction.name} is a number, not {_short(strength)}")
        if abs(strength) > MOST_STRENGTH:
            raise ExplorerError(
                f"The strength of {direction.name} is {strength:g}; at most {MOST_STRENGTH:g} standard deviations"
            )
        moves[direction.name] = strength
    own: dict[str, Any] = {}
    if before is not None and before.latent is not None:
        own = {"source": before.source, "latent": before.latent, "label_values": before.label_values}
    try:
        recipe = faces.new_recipe(
            model,
            seed=controls.seed,
            number=controls.number,
            truncation=controls.truncation,
            labels=labels,
            moves=moves,
            **own,
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "This face"
        raise ExplorerError(f"{place} is {_short(first['input'])}: {first['msg']}") from error
    faces.check(model, recipe)
    return recipe


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
