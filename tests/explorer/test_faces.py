import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from celeba_gan.explorer import faces
from celeba_gan.explorer.models import LoadedModel, Models
from celeba_gan.explorer.recipe import MOST_NUMBER, ExplorerError
from celeba_gan.gan.sampling.control_config import ProjectionSettings
from celeba_gan.gan.sampling.interpolation import slerp

QUICK = ProjectionSettings(steps=60, restarts=2, candidates=64, feature_weight=0)


def png(image: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_a_face_is_that_of_the_generator(plain: LoadedModel) -> None:
    for seed, number, truncation in ((0, 0, 1.0), (3, 5, 0.6), (2**31 - 1, 2000, 0.0)):
        recipe = faces.new_recipe(plain, seed=seed, number=number, truncation=truncation)
        expected = plain.generator.images(*plain.generator.draw(1, seed, first=number), truncation)[0]
        np.testing.assert_array_equal(faces.picture(plain, recipe), expected)


def test_a_move_adds_standard_deviations_along_the_direction(plain: LoadedModel) -> None:
    assert plain.directions is not None
    latents, labels = plain.generator.draw(1, 4, first=2)
    moves = {"closed_form_1": 2.0, "closed_form_2": -0.5}
    for name, strength in moves.items():
        latents = latents + strength * torch.tensor(plain.directions.named(name).vector)
    recipe = faces.new_recipe(plain, seed=4, number=2, moves=moves)
    np.testing.assert_array_equal(faces.picture(plain, recipe), plain.generator.images(latents, labels)[0])


def test_the_grid_has_the_faces_that_single_views_have(plain: LoadedModel) -> None:
    recipe = faces.new_recipe(plain, seed=1, number=1020, truncation=0.7, moves={"closed_form_1": 1.0})
    recipes = faces.grid_recipes(recipe)
    assert [one.number for one in recipes] == list(range(1020, 1032))
    images = faces.pictures(plain, recipes)
    for one, image in zip(recipes, images, strict=True):
        difference = np.abs(faces.picture(plain, one).astype(int) - image)  # alone or together: one grey level
        assert difference.max() <= 1


def test_the_last_grid_ends_with_the_last_number(plain: LoadedModel) -> None:
    recipes = faces.grid_recipes(faces.new_recipe(plain, number=MOST_NUMBER))
    assert [recipes[0].number, recipes[-1].number] == [MOST_NUMBER - 11, MOST_NUMBER]


def test_labels_are_as_drawn_or_as_chosen(models: Models) -> None:
    model = models.load("attributes")
    latents, drawn = model.generator.draw(1, 0, first=3)
    for labels, expected in ((None, drawn), ((), [[0.0, 0.0]]), (("Smiling",), [[0.0, 1.0]])):
        recipe = faces.new_recipe(model, number=3, labels=labels)
        np.testing.assert_array_equal(faces.picture(model, recipe), model.generator.images(latents, expected)[0])


def test_a_class_is_exactly_one(models: Models) -> None:
    model = models.load("class")
    latents, _ = model.generator.draw(1)
    image = faces.picture(model, faces.new_recipe(model, labels=("dog",)))
    np.testing.assert_array_equal(image, model.generator.images(latents, [[0.0, 1.0]])[0])
    for labels in ((), ("cat", "dog")):
        with pytest.raises(ExplorerError, match="Choose one class"):
            faces.picture(model, faces.new_recipe(model, labels=labels))


def test_blends_begin_with_a_end_with_b_and_follow_the_great_circle(plain: LoadedModel) -> None:
    first = faces.new_recipe(plain, number=1, moves={"closed_form_1": 1.0}, truncation=0.5)
    second = faces.new_recipe(plain, number=2)
    for fraction, end in ((0, first), (1, second)):
        blend = faces.between(plain, first, second, fraction)
        assert np.abs(faces.picture(plain, blend).astype(int) - faces.picture(plain, end)).max() <= 1
        assert blend.truncation == end.truncation
    assert plain.directions is not None
    start = plain.generator.draw(1, first=1)[0][0] + torch.tensor(plain.directions.named("closed_form_1").vector)
    end = plain.generator.draw(1, first=2)[0][0]
    middle = faces.between(plain, first, second, 0.5)
    assert middle.latent is not None
    torch.testing.assert_close(torch.tensor(middle.latent), slerp(start, end, [0.5])[0])
    strip = faces.strip(plain, first, second)
    assert strip.shape == (7, 16, 16, 3)
    np.testing.assert_array_equal(strip[3], faces.picture(plain, middle))


def test_a_blend_can_be_moved_on(plain: LoadedModel) -> None:
    ends = [faces.new_recipe(plain, number=number) for number in (1, 2)]
    blend = faces.between(plain, *ends, 0.5)
    moved = blend.model_copy(update={"moves": {"closed_form_2": 2.0}})
    assert plain.directions is not None
    assert blend.latent is not None
    latent = torch.tensor([blend.latent]) + 2 * torch.tensor(plain.directions.named("closed_form_2").vector)
    np.testing.assert_array_equal(faces.picture(plain, moved), plain.generator.images(latent, torch.zeros(1, 0))[0])


def test_labels_are_blended_too(models: Models) -> None:
    model = models.load("attributes")
    ends = [faces.new_recipe(model, labels=labels) for labels in (("Male",), ("Smiling",))]
    assert faces.between(model, *ends, 0.25).label_values == (0.75, 0.25)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), None, "0.5", True, [0.5]])
def test_a_place_outside_of_the_way_is_refused(plain: LoadedModel, fraction: Any) -> None:
    recipe = faces.new_recipe(plain)
    with pytest.raises(ExplorerError, match=r"\[0, 1\]"):
        faces.between(plain, recipe, recipe, fraction)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training_id": "another"}, "another model than plain"),
        ({"images": 6999}, "another model than plain"),
        ({"labels": ("Male",)}, "no label 'Male'. There are: none"),
        ({"moves": {"Eyeglasses": 1.0}}, "no direction 'Eyeglasses'"),
        ({"source": "projected", "latent": (0.0,) * 11, "label_values": ()}, "latents of 12 numbers, not 11"),
        ({"source": "projected", "latent": (0.0,) * 12, "label_values": (1.0,)}, "0 labels, not 1"),
    ],
)
def test_what_a_model_cannot_make_is_refused(plain: LoadedModel, changes: dict[str, Any], reason: str) -> None:
    recipe = faces.new_recipe(plain).model_copy(update=changes)
    with pytest.raises(ExplorerError, match=reason):
        faces.picture(plain, recipe)


def test_a_photograph_of_a_face_of_its_own_is_found_again(plain: LoadedModel) -> None:
    """The generator's own image, enlarged by whole pixels, is nearer after the search than the best random one."""
    image = plain.generator.sample(1, seed=99)[0]
    found = faces.project_photograph(plain, png(image.repeat(8, axis=0).repeat(8, axis=1)), QUICK)
    np.testing.assert_array_equal(found.photograph, image)
    np.testing.assert_array_equal(faces.picture(plain, found.recipe), found.image)
    rmse = np.sqrt(np.mean((found.image.astype(float) - image) ** 2))
    assert found.error.rmse == pytest.approx(rmse)
    assert found.error.rmse < 0.7 * found.random.rmse


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"%PDF-1.7 no photograph", "not an image"),
        (png(np.zeros((40, 40, 3), np.uint8))[:60], "cannot be used"),
        (png(np.zeros((15, 400, 3), np.uint8)), "cropped to their largest square and resized to 16 pixels"),
    ],
)
def test_what_is_no_photograph_is_refused(plain: LoadedModel, data: bytes, reason: str) -> None:
    with pytest.raises(ExplorerError, match=reason):
        faces.project_photograph(plain, data, QUICK)


def test_a_huge_photograph_is_refused_before_it_is_decoded(plain: LoadedModel) -> None:
    file = io.BytesIO()
    Image.new("1", (8000, 8000)).save(file, "PNG")
    with pytest.raises(ExplorerError, match="8,000x8,000 pixels; at most 50 million"):
        faces.project_photograph(plain, file.getvalue(), QUICK)


def test_photographs_need_the_training_images(project: Any, models: Models) -> None:
    model = LoadedModel("plain", models.load("plain").generator, None, None)
    with pytest.raises(ExplorerError, match="kedro run --pipelines preprocess"):
        faces.project_photograph(model, png(np.zeros((40, 40, 3), np.uint8)), QUICK)
