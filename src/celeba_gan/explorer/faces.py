"""From recipes to faces: pictures, grids, faces between two others, projected photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from celeba_gan.explorer.models import LoadedModel
from celeba_gan.explorer.recipe import MOST_NUMBER, ExplorerError, Recipe
from celeba_gan.foundation.pixels import Images
from celeba_gan.gan.sampling.control_config import ProjectionSettings
from celeba_gan.gan.sampling.control_documents import ImageError
from celeba_gan.gan.sampling.directions import moved
from celeba_gan.gan.sampling.interpolation import slerp
from celeba_gan.gan.sampling.projection import project
from celeba_gan.images.decoding import DecodingRecipe, UnreadableImageError, decode_image, image_size

GRID: Final = 12
"""Faces in the grid."""
STRIP: Final = 7
"""Faces on the way between two."""
MOST_PHOTOGRAPH_PIXELS: Final = 50_000_000
# A person waits: pixels alone count, which takes a tenth of the time and looks as near.
PROJECTION: Final = ProjectionSettings(restarts=2, feature_weight=0)


@dataclass(frozen=True)
class Projected:
    """A photograph, and the face nearest to it."""

    recipe: Recipe
    photograph: Images
    """uint8 (size, size, 3), framed as the training images."""
    image: Images
    """Of the recipe."""
    error: ImageError
    random: ImageError
    """For comparison: of the best random latent, from which the search started."""


def new_recipe(model: LoadedModel, **fields: Any) -> Recipe:
    """A recipe of this model."""
    card = model.generator.card
    return Recipe(model=model.name, training_id=card.id, images=card.images, **fields)


def check(model: LoadedModel, recipe: Recipe) -> None:
    """Checks that a model can make a face.

    Raises:
        ExplorerError: It is another model's, or names labels or directions that this one does not have.
    """
    generator, condition = model.generator, model.generator.condition
    if not model.owns(recipe):
        raise ExplorerError(f"This face was made by another model than {model.name}")
    if recipe.latent is not None and len(recipe.latent) != generator.latent.size:
        raise ExplorerError(f"{model.name} takes latents of {generator.latent.size} numbers, not {len(recipe.latent)}")
    if recipe.label_values is not None and len(recipe.label_values) != len(generator.names):
        raise ExplorerError(f"{model.name} takes {len(generator.names)} labels, not {len(recipe.label_values)}")
    known = ", ".join(generator.names) or "none: it was trained without"
    if unknown := set(recipe.labels or ()) - set(generator.names):
        raise ExplorerError(f"{model.name} has no label {min(unknown)[:100]!r}. There are: {known}")
    if recipe.labels is not None and condition is not None and condition.kind == "class" and len(recipe.labels) != 1:
        raise ExplorerError(f"Choose one class, not {len(recipe.labels)}. There are: {known}")
    names = {} if model.directions is None else {one.name for one in model.directions.directions}
    if strange := set(recipe.moves) - set(names):
        raise ExplorerError(f"{model.name} has no direction {min(strange)[:100]!r}")


def picture(model: LoadedModel, recipe: Recipe) -> Images:
    """The face of a recipe, uint8 (size, size, 3).

    Raises:
        ExplorerError: See `check`.
    """
    image: Images = _images(model, *_ends(model, recipe), recipe.truncation)[0]
    return image


def grid_recipes(recipe: Recipe, count: int = GRID) -> list[Recipe]:
    """Drawn faces number n and following of the recipe's seed, with its truncation, labels and moves."""
    first = min(recipe.number, MOST_NUMBER - count + 1)
    plain = {"source": "drawn", "latent": None, "label_values": None}
    return [recipe.model_copy(update={**plain, "number": first + place}) for place in range(count)]


def pictures(model: LoadedModel, recipes: Sequence[Recipe]) -> Images:
    """Faces of recipes with the same truncation, uint8 (n, size, size, 3), made together.

    Raises:
        ExplorerError: See `check`.
    """
    ends = [_ends(model, recipe) for recipe in recipes]
    latents, labels = (torch.cat(parts) for parts in zip(*ends, strict=True))
    return _images(model, latents, labels, recipes[0].truncation)


def between(model: LoadedModel, first: Recipe, second: Recipe, fraction: float) -> Recipe:
    """The face on the way between two: spherical interpolation of latents, linear of labels and truncation.

    Its latent has the moves of both in it, so that a further move starts from what is seen.

    Raises:
        ExplorerError: A face is another model's, or the fraction is not in [0, 1].
    """
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
        raise ExplorerError(f"The place between two faces is a number in [0, 1], not {str(fraction)[:40]}")
    (start, labels), (end, others) = _ends(model, first), _ends(model, second)
    latent = slerp(start[0], end[0], [float(fraction)])[0]
    values = torch.lerp(labels[0], others[0], float(fraction)).clamp(0, 1)
    return new_recipe(
        model,
        seed=first.seed,
        number=first.number,
        truncation=first.truncation + float(fraction) * (second.truncation - first.truncation),
        source="between",
        latent=tuple(latent.tolist()),
        label_values=tuple(values.tolist()),
    )


def strip(model: LoadedModel, first: Recipe, second: Recipe, count: int = STRIP) -> Images:
    """Faces on the way between two, both ends included: uint8 (count, size, size, 3)."""
    recipes = [between(model, first, second, fraction) for fraction in np.linspace(0, 1, count).tolist()]
    return np.stack([picture(model, recipe) for recipe in recipes])


def project_photograph(model: LoadedModel, data: bytes, settings: ProjectionSettings = PROJECTION) -> Projected:
    """Finds the latent whose face is nearest to a photograph, which is framed as the training images were.

    Args:
        model: Its training images must be in the project: they say how photographs are cropped and resized.
        data: The content of an image file.
        settings: Steps, restarts and weights.

    Raises:
        ExplorerError: The file is no image that can be read, too small or too large, or there are no training images.
    """
    known = model.training_images
    if known is None:
        raise ExplorerError(
            f"Photographs are framed as the training images of {model.name} were, and these are not in this project. "
            "Run kedro run --pipelines preprocess with the --env and --params of its training"
        )
    how = known.recipe
    try:
        width, height = image_size(data)
        if width * height > MOST_PHOTOGRAPH_PIXELS:
            raise ExplorerError(
                f"This photograph has {width:,}x{height:,} pixels; at most {MOST_PHOTOGRAPH_PIXELS // 10**6} million "
                "are taken. Give a smaller one"
            )
        framed = decode_image(data, DecodingRecipe(how.crop, how.size, how.filter, how.background))
    except UnreadableImageError as error:
        crop = "their largest square" if how.crop == "none" else f"{how.crop} pixels of their centre"
        raise ExplorerError(
            f"This file cannot be used: {error}. Photographs are cropped to {crop} and resized to {how.size} pixels; "
            "JPEG, PNG, WebP, BMP, TIFF and GIF are read"
        ) from error
    photographs = known.centre(np.array(framed)[None])  # decoded pixels may be read-only
    found = project(model.generator, photographs, settings, seed=0)[0]
    recipe = new_recipe(
        model,
        source="projected",
        latent=tuple(found.latent.tolist()),
        label_values=tuple(found.labels.tolist()),
    )
    return Projected(recipe, photographs[0], found.image, found.error, found.best_random)


def _ends(model: LoadedModel, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The latent (1, latent size) with its moves, and the labels (1, names)."""
    check(model, recipe)
    generator = model.generator
    if recipe.latent is None or recipe.label_values is None:
        latents, labels = generator.draw(1, recipe.seed, first=recipe.number)
    else:
        latents, labels = torch.tensor([recipe.latent]), torch.tensor([recipe.label_values])
    if recipe.labels is not None:
        labels = torch.tensor([[float(name in recipe.labels) for name in generator.names]])
    if model.directions is not None:
        for name, strength in recipe.moves.items():
            length = strength * generator.latent.deviation
            latents = moved(latents, model.directions.named(name), [length])[:, 0]
    return latents, labels


def _images(model: LoadedModel, latents: Tensor, labels: Tensor, truncation: float) -> Images:
    return model.generator.images(latents, labels, truncation)
