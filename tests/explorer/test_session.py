from typing import Any

import pytest

from celeba_gan.explorer import faces
from celeba_gan.explorer.models import LoadedModel, Models
from celeba_gan.explorer.recipe import ExplorerError
from celeba_gan.explorer.session import ATTRIBUTES, CLOSED_FORM, Controls, Session, requested, slots

NONE = (0,) * (ATTRIBUTES + CLOSED_FORM)
VALUES: dict[str, Any] = {
    "seed": 1, "number": 2, "truncation": 0.5, "is_labelled": False, "labels": [], "label": None, "strengths": NONE,
}  # fmt: skip


def test_sliders_have_attributes_first_and_closed_form_after(plain: LoadedModel) -> None:
    assert plain.directions is not None
    places = slots(plain)
    assert len(places) == ATTRIBUTES + CLOSED_FORM
    attributes = [one for one in places[:ATTRIBUTES] if one is not None]
    assert [one.name for one in attributes] == [one.name for one in plain.directions.of_kind("attribute")]
    assert len(attributes) > 0
    areas = [one.prediction.auc for one in attributes if one.prediction is not None]
    assert areas == sorted(areas, reverse=True)
    assert [one.name for one in places[ATTRIBUTES:] if one is not None] == [f"closed_form_{n}" for n in (1, 2, 3)]


def test_controls_make_a_recipe(plain: LoadedModel) -> None:
    strengths = list(NONE)
    strengths[ATTRIBUTES + 1] = -1.5
    recipe = requested(plain, Controls(**(VALUES | {"strengths": strengths})))
    assert recipe == faces.new_recipe(plain, seed=1, number=2, truncation=0.5, moves={"closed_form_2": -1.5})


def test_a_latent_stays_until_a_face_is_drawn(plain: LoadedModel) -> None:
    blend = faces.between(plain, faces.new_recipe(plain), faces.new_recipe(plain, number=1), 0.5)
    kept = requested(plain, Controls(**VALUES), blend)
    assert (kept.latent, kept.source, kept.truncation) == (blend.latent, "between", 0.5)
    assert requested(plain, Controls(**VALUES)).latent is None
    stranger = blend.model_copy(update={"training_id": "another"})
    assert requested(plain, Controls(**VALUES), stranger).latent is None


def test_labels_count_when_they_are_chosen(models: Models) -> None:
    model = models.load("attributes")
    for is_labelled, expected in ((True, ("Male",)), (False, None)):
        values = VALUES | {"is_labelled": is_labelled, "labels": ["Male"]}
        assert requested(model, Controls(**values)).labels == expected
    values = VALUES | {"is_labelled": True, "label": "dog"}
    assert requested(models.load("class"), Controls(**values)).labels == ("dog",)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("seed", -1, "seed is -1"), ("seed", 1.5, "seed is 1.5"), ("seed", 10**30, "seed is 1000"),
        ("seed", None, "seed is None"),
        ("number", "1", "number is '1'"), ("number", 10**12, "number is"), ("number", [], "number is"),
        ("truncation", float("nan"), "truncation is nan"), ("truncation", 2, "truncation is 2"),
        ("is_labelled", "yes", "true or false"), ("is_labelled", None, "true or false"),
        ("strengths", (*NONE[:-8], float("nan"), *NONE[-7:]), "closed_form_1 is a number, not nan"),
        ("strengths", (*NONE[:-8], "1", *NONE[-7:]), "closed_form_1 is a number"),
        ("strengths", (*NONE[:-8], 21, *NONE[-7:]), "at most 20 standard deviations"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(plain: LoadedModel, name: str, value: Any, reason: str) -> None:
    with pytest.raises(ExplorerError, match=reason):
        requested(plain, Controls(**(VALUES | {name: value})))


@pytest.mark.parametrize("labels", [None, "Male", ["Female"], [1], {"Male": 1}, [["Male"]]])
def test_labels_that_there_are_not_are_refused(models: Models, labels: Any) -> None:
    with pytest.raises(ExplorerError, match=r"[Ll]abel"):
        requested(models.load("attributes"), Controls(**(VALUES | {"is_labelled": True, "labels": labels})))


def test_two_faces_are_kept(plain: LoadedModel) -> None:
    first, second = (faces.new_recipe(plain, number=number) for number in (1, 2))
    session = Session(first).keep("A")
    with pytest.raises(ExplorerError, match="Keep a face as B first"):
        session.pair()
    assert Session(second, session.kept).keep("B").pair() == (first, second)
    with pytest.raises(ExplorerError, match="No face is shown"):
        Session().keep("A")
