"""How the page's controls look for a model and a face: properties of components, as Gradio names them."""

from typing import Any

from celeba_gan.explorer import markup
from celeba_gan.explorer.models import LoadedModel
from celeba_gan.explorer.recipe import Recipe
from celeba_gan.explorer.session import ATTRIBUTES, slots
from celeba_gan.gan.sampling.control_documents import Direction

_STRENGTH = 3.0  # standard deviations; of a model without directions, whose sliders are hidden


def looks_of(model: LoadedModel, recipe: Recipe) -> dict[str, Any]:
    """Properties by component; of `sliders` and `accordions`, a list of them."""
    condition = model.generator.condition
    kind = None if condition is None else condition.kind
    names = [(markup.pretty(name), name) for name in model.generator.names]
    places = slots(model)
    strength = _STRENGTH if model.directions is None else model.directions.strength
    found = [any(places[:ATTRIBUTES]), any(places[ATTRIBUTES:])]
    return {
        "label_group": {"visible": condition is not None},
        "is_labelled": {
            "label": "Fix the labels (off: drawn for each face, as in training)",
            "value": recipe.labels is not None,
        },
        "labels": {
            "choices": names,
            "label": "Labels",
            "visible": kind == "attributes",
            "value": list(recipe.labels or ()) if kind == "attributes" else [],
        },
        "label": {
            "choices": names,
            "label": "Class",
            "visible": kind == "class",
            "value": (recipe.labels or model.generator.names)[0] if kind == "class" else None,
        },
        "legend": {"value": markup.legend(model)},
        "reset": {"visible": any(found)},
        "accordions": [{"visible": one} for one in found],
        "sliders": [_slider(direction, strength, recipe) for direction in places],
    }


def _slider(direction: Direction | None, strength: float, recipe: Recipe) -> dict[str, Any]:
    """A slider from -strength to +strength, or as far as the face was moved; hidden without a direction."""
    if direction is None:
        return {"visible": False, "value": 0, "label": "", "info": "", "minimum": -1, "maximum": 1}
    value = recipe.moves.get(direction.name, 0)
    most = max(strength, abs(value))
    return {
        "visible": True,
        "value": value,
        "minimum": -most,
        "maximum": most,
        "step": 0.05,
        "label": markup.pretty(direction.name),
        "info": markup.describe(direction),
    }
