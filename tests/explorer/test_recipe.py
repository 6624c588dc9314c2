import json
from typing import Any

import pytest
from pydantic import ValidationError

from celeba_gan.explorer.recipe import MOST_BYTES, ExplorerError, Recipe

PLAIN: dict[str, Any] = {"model": "demo", "training_id": "abc", "images": 10}


def test_a_recipe_survives_json() -> None:
    recipe = Recipe(**PLAIN, seed=4, number=9, truncation=0.3, labels=("Male",), moves={"Hat": -1.25})
    assert Recipe.parse(recipe.dump(), "x") == recipe


def test_a_latent_survives_json_bit_by_bit() -> None:
    latent = tuple((0.1 + index / 3) / 7 for index in range(128))
    recipe = Recipe(**PLAIN, source="projected", latent=latent, label_values=())
    assert Recipe.parse(recipe.dump(), "x").latent == latent


def test_the_largest_recipe_can_be_read_again() -> None:
    recipe = Recipe(**PLAIN, source="between", latent=(-1.2345678901234567e-05,) * 4096, label_values=(0.5,) * 40)
    assert Recipe.parse(recipe.dump(), "x") == recipe
    assert len(recipe.dump()) < MOST_BYTES


def test_moves_of_nothing_are_left_out() -> None:
    assert Recipe(**PLAIN, moves={"Hat": 0.0, "Male": 1}).moves == {"Male": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1}, {"seed": 1.0}, {"seed": True}, {"seed": 2**31}, {"seed": "3"}, {"number": 10**9},
        {"number": None},
        {"truncation": 1.01}, {"truncation": float("nan")}, {"truncation": "1"}, {"truncation": True}, {"images": -1},
        {"moves": {"Hat": 20.5}}, {"moves": {"Hat": float("inf")}}, {"moves": {"": 1}}, {"moves": {"Hat": "1"}},
        {"moves": {str(index): 1.0 for index in range(201)}}, {"model": ""}, {"model": "x" * 301}, {"model": 3},
        {"labels": "Male"}, {"labels": [1]}, {"source": "drawn", "latent": [0.0], "label_values": []},
        {"source": "projected"}, {"source": "projected", "latent": [0.0]}, {"source": "stolen"}, {"surprise": 1},
        {"source": "projected", "latent": [], "label_values": []},
        {"source": "projected", "latent": [0.0] * 4097, "label_values": []},
        {"source": "projected", "latent": [101.0], "label_values": []},
        {"source": "between", "latent": [0.0], "label_values": [1.5]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Recipe(**(PLAIN | changes))
    with pytest.raises(ExplorerError, match=r"^here "):
        Recipe.parse(json.dumps(PLAIN | changes), "here")


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "{", '{"format_version": 9}', "[" * 100_000, "9" * 5000, " " * 300_000]
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(ExplorerError, match=r"^here ") as refusal:
        Recipe.parse(text, "here")
    assert len(str(refusal.value)) < 700


@pytest.mark.parametrize("model", ["models:/faces@champion", "../../etc/passwd", "a/b\\c", "é" * 80, "..."])
def test_the_file_name_is_one_that_file_systems_take(model: str) -> None:
    name = Recipe(**(PLAIN | {"model": model}), seed=3, number=4).file_name()
    assert name.endswith("3-4.png")
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>|')
    assert len(name) < 100
