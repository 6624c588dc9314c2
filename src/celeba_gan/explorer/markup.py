"""Pieces of HTML: faces with captions. Pictures are inside as data, so that showing one takes no second request."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

from celeba_gan.explorer.faces import PROJECTION, Projected
from celeba_gan.explorer.models import LoadedModel
from celeba_gan.explorer.png import write_png
from celeba_gan.explorer.recipe import Recipe
from celeba_gan.explorer.training_images import Neighbour
from celeba_gan.foundation.pixels import Images
from celeba_gan.foundation.wording import counted
from celeba_gan.gan.sampling.control_documents import Direction

_SEES = 0.7  # AUC of a classifier below which its verdict on an attribute means little
_WEAK = "weak classifier"
_SIDE_EFFECTS = 2
_LEAST_EFFECT = 0.05  # of a probability


def data_uri(png: bytes) -> str:
    """A PNG as the source of an image."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def one_face(image: Images, recipe: Recipe) -> str:
    """The large picture, and its caption with the way to save it."""
    moves = ", ".join(f"{pretty(name)} {_signed(strength)}" for name, strength in recipe.moves.items())
    details = " · ".join(filter(None, [f"truncation {recipe.truncation:.3g}", moves]))
    return (
        f'<figure class="face"><img id="face" src="{data_uri(write_png(image, recipe))}" '
        f'alt="Generated face: {escape(recipe.caption())}, {escape(details)}" width="{image.shape[1]}" '
        f'height="{image.shape[0]}"><figcaption><span><b>{escape(recipe.caption())}</b>'
        f'<small>{escape(details)}</small></span><a class="save" role="button" href="#" '
        f'download="{escape(recipe.file_name())}" title="A PNG with the recipe of this face in it">Download</a>'
        "</figcaption></figure>"
    )


def grid(images: Images, recipes: Sequence[Recipe]) -> str:
    """Faces with their numbers, each a button."""
    faces = "".join(
        f'<button type="button" data-number="{recipe.number}" aria-label="Show face {recipe.number}">'
        f'<img src="{data_uri(write_png(image))}" alt=""><span>{recipe.number}</span></button>'
        for image, recipe in zip(images, recipes, strict=True)
    )
    return f'<div class="faces" id="grid">{faces}</div>'


def kept(images: Mapping[str, Images], strip: Images | None = None) -> str:
    """Those of the faces A and B that are kept; of both, those on the way between them, each a button."""
    if strip is None:
        slots = "".join(
            f"<figure>{_image(images[name], f'Face {name}') if name in images else '<div class=empty></div>'}"
            f"<figcaption>{name}</figcaption></figure>"
            for name in "AB"
        )
        return f'<div class="pair">{slots}</div>'
    last = len(strip) - 1
    steps = "".join(
        f'<button type="button" data-fraction="{place / last:.4f}" '
        f'aria-label="Show the face {100 * place / last:.0f} % of the way from A to B">'
        f'<img src="{data_uri(write_png(image))}" alt=""><span>'
        f"{'A' if not place else 'B' if place == last else f'{100 * place / last:.0f} %'}</span></button>"
        for place, image in enumerate(strip)
    )
    return f'<div class="faces strip" id="strip">{steps}</div>'


def projected(found: Projected) -> str:
    """A photograph beside the nearest face, and how far apart they are."""
    error, random = found.error.rmse, found.random.rmse
    return (
        f'<div class="pair" id="projected"><figure>{_image(found.photograph, "Your photograph, framed")}'
        f"<figcaption>Photograph, framed as the training images</figcaption></figure>"
        f"<figure>{_image(found.image, 'The nearest face')}<figcaption>Nearest face</figcaption></figure></div>"
        f'<p class="note">They differ by <b id="error">{error:.1f}</b> of 255 grey levels (root mean square); the best '
        f"of {PROJECTION.candidates:,} random faces, from which the search started, by {random:.1f}. The nearest face "
        "is now shown, and the sliders move it.</p>"
    )


def neighbours(model: LoadedModel, image: Images, found: Sequence[Neighbour]) -> str:
    """A face beside the training images nearest to it."""
    known = model.training_images
    if known is None:
        return ""
    start, stop = known.packed.split("train")
    searched = len(known.searched.indices)
    among = counted(searched, "training image")
    if searched < stop - start:
        among = f"{searched:,} of {stop - start:,} training images"
    shown = "".join(
        f"<figure>{_image(one.image, 'Training image')}<figcaption>{one.distance:.3g}"
        f"{', mirrored' if one.is_mirrored else ''}</figcaption></figure>"
        for one in found
    )
    return (
        f'<div class="faces neighbours" id="neighbours"><figure class="own">{_image(image, "This face")}'
        f"<figcaption>This face</figcaption></figure>{shown}</div>"
        f'<p class="note">Nearest first, by the distance in {known.compared_in}, among {among} of '
        f"{escape(known.dataset)} and their mirror images.</p>"
    )


def about(model: LoadedModel) -> str:
    """The heading: a line on the model."""
    card = model.generator.card
    labels = f", {counted(len(model.generator.names), 'label')}" if model.generator.names else ""
    return (
        f"<h1>Face explorer</h1><p>{escape(card.network.name)} generator, {card.size}×{card.size} pixels{labels}, "
        f"after {card.images / 1000:,.4g} thousand images</p>"
    )


def pretty(name: str) -> str:
    """The name of a direction or label for people."""
    words = name.replace("_", " ")
    return words if words[:1].isupper() or words[:1].isdigit() else words.capitalize()


def describe(direction: Direction) -> str:
    """How good a direction is, and what else changes along it."""
    parts = []
    if direction.prediction is not None:
        parts.append(f"AUC {direction.prediction.auc:.2f}")
        if (auc := _weak_classifier(direction)) is not None:
            parts.append(f"{_WEAK} {auc:.2f}")
    elif direction.singular_value is not None:
        parts.append(f"singular value {direction.singular_value:.3g}")
    sizes = {name: effect.forward for name, effect in direction.effects.items() if name != direction.name}
    largest = sorted(sizes, key=lambda name: (-abs(sizes[name]), name))[:_SIDE_EFFECTS]
    effects = [
        f"{pretty(name)} {_signed(round(100 * sizes[name]))}" for name in largest if abs(sizes[name]) > _LEAST_EFFECT
    ]
    if effects:
        parts.append("also " + ", ".join(effects))
    return " · ".join(parts)


def legend(model: LoadedModel) -> str:
    """What the lines below the sliders mean."""
    known = model.directions
    if known is None or not known.directions:
        return (
            '<p class="note">There are no directions for this model yet. Make them with <code>kedro run --pipelines '
            "generate</code> and the --env and --params of its training, then open this page again.</p>"
        )
    text = "Each slider moves the face, in standard deviations of random latents."
    if any(one.prediction is not None for one in known.directions):
        text += (
            " Its small print says how well it predicts its attribute (AUC: 1 is always, 0.5 is chance), and what else "
            f"changes most at {known.strength:+g}, in percentage points."
        )
    if any(_weak_classifier(one) is not None for one in known.directions):
        text += (
            f" A <b>{_WEAK}</b> recognises the attribute in real images with only this AUC: the slider may change "
            "something else."
        )
    return f'<p class="note">{text}</p>'


def _weak_classifier(direction: Direction) -> float | None:
    """The classifier's own AUC for the direction's attribute, if it is so low that the direction is in doubt."""
    auc = direction.classifier_auc
    return auc if auc is not None and auc < _SEES else None


def _signed(number: float) -> str:
    return f"{number:+.3g}".replace("-", "\N{MINUS SIGN}")


def _image(image: Images, alternative: str) -> str:
    return f'<img src="{data_uri(write_png(image))}" alt="{escape(alternative)}">'
