"""The words beside the sliders."""

import re
from dataclasses import replace

import pytest

from celeba_gan.explorer import markup
from celeba_gan.explorer.models import LoadedModel
from celeba_gan.gan.sampling.control_documents import Direction, Effect, Prediction


def direction(classifier_auc: float | None) -> Direction:
    return Direction(
        name="Wearing_Hat",
        kind="attribute",
        vector=(1.0,),
        prediction=Prediction(auc=0.934, accuracy=0.9, share=0.3),
        classifier_auc=classifier_auc,
        effects={
            "Wearing_Hat": Effect(forward=0.9, backward=0),
            "Bangs": Effect(forward=0.316, backward=0),
            "Bald": Effect(forward=-0.4, backward=0),
            "Male": Effect(forward=0.04, backward=0),
        },
    )


@pytest.mark.parametrize(
    ("auc", "expected"),
    [
        (0.9, "AUC 0.93 · also Bald −40, Bangs +32"),
        (None, "AUC 0.93 · also Bald −40, Bangs +32"),
        (0.65, "AUC 0.93 · weak classifier 0.65 · also Bald −40, Bangs +32"),
    ],
)
def test_a_direction_is_described_by_its_quality_and_side_effects(auc: float | None, expected: str) -> None:
    assert markup.describe(direction(auc)) == expected


@pytest.mark.parametrize("auc", [0.65, 0.9])
def test_the_legend_explains_each_word_of_the_descriptions_and_no_other(plain: LoadedModel, auc: float) -> None:
    assert plain.directions is not None
    shown = direction(auc)
    legend = markup.legend(replace(plain, directions=plain.directions.model_copy(update={"directions": (shown,)})))
    words = {word.lower() for word in re.findall("AUC|weak classifier", markup.describe(shown))}
    assert {word.lower() for word in re.findall("AUC|weak classifier", legend)} == words
    assert "at +3" in legend


def test_the_legend_of_directions_without_a_classifier_speaks_of_no_prediction(plain: LoadedModel) -> None:
    assert plain.directions is not None
    closed = plain.directions.model_copy(update={"directions": plain.directions.of_kind("closed_form")})
    legend = markup.legend(replace(plain, directions=closed))
    assert "standard deviations" in legend
    assert "AUC" not in legend
