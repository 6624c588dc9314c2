"""Documents: what is written is what is read, and what cannot be read is refused with its place."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, ValidationError

from celeba_gan.foundation.documents import VERSION_KEY, Document, DocumentError


class Recipe(Document):
    version: ClassVar[int] = 3
    oldest: ClassVar[int] = 2
    noun: ClassVar[str] = "recipe"

    name: str
    steps: tuple[int, ...] = Field(alias="course")
    oven: float | None = None

    @classmethod
    def migrate(cls, version: int, values: dict[str, Any]) -> dict[str, Any]:
        assert version == 2
        return {**values, "name": values["name"].lower()}


class Plain(Document):
    value: int


RECIPE = Recipe(name="cake", steps=(1, 2), oven=0.1)


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(RECIPE.to_json()), encoding="utf-8")
    assert Recipe.read(path) == Recipe.from_json(RECIPE.to_json(), "here") == RECIPE


def test_version_comes_first_and_aliases_are_what_is_stored() -> None:
    assert list(RECIPE.to_json().items()) == [(VERSION_KEY, 3), ("name", "cake"), ("course", [1, 2]), ("oven", 0.1)]
    assert Recipe.from_json({VERSION_KEY: 3, "name": "cake", "course": [1, 2], "oven": 0.1}, "here").steps == (1, 2)


def test_reading_leaves_the_values_as_they_are() -> None:
    stored = RECIPE.to_json()
    Recipe.from_json(stored, "here")
    assert stored == RECIPE.to_json()


def test_earlier_versions_are_migrated_and_a_document_without_one_has_the_first() -> None:
    assert Recipe.from_json({VERSION_KEY: 2, "name": "CAKE", "course": [1, 2], "oven": 0.1}, "here") == RECIPE
    assert Recipe.from_json({VERSION_KEY: 3, "name": "CAKE", "course": []}, "here").name == "CAKE"
    assert Plain.from_json({"value": 1}, "here") == Plain.from_json({VERSION_KEY: 1, "value": 1}, "here")


@pytest.mark.parametrize("version", [4, 1, 0, -1, "3", None, 2.5])
def test_other_versions_are_refused_with_both(version: object) -> None:
    with pytest.raises(DocumentError, match=rf"recipe\.json has format version {version} of the recipe; .* 2 to 3"):
        Recipe.from_json({**RECIPE.to_json(), VERSION_KEY: version}, "recipe.json")
    if version is not None:
        with pytest.raises(DocumentError, match=r"has format version 2 of the document; .* 1 to 1"):
            Plain.from_json({VERSION_KEY: 2, "value": 1}, "here")


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"name": ...}, "name: Field required"),
        ({"course": ...}, "course: Field required"),
        ({"course": [1, "x"]}, r"course\.1: "),
        ({"colour": 3}, "colour: Extra inputs"),
        ({"oven": float("nan")}, "oven: "),
    ],
)
def test_missing_wrong_and_unknown_fields_are_refused_with_their_names(change: dict[str, Any], finding: str) -> None:
    values = {name: value for name, value in (RECIPE.to_json() | change).items() if value is not ...}
    with pytest.raises(DocumentError, match=rf"here is not a valid recipe \({finding}"):
        Recipe.from_json(values, "here")


@pytest.mark.parametrize("content", ["", "{", "nothing", '{"name": "cake"'])
def test_what_is_not_json_is_refused_with_its_place(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content, encoding="utf-8")
    with pytest.raises(DocumentError, match=r"recipe\.json is not valid JSON .* Create the recipe again"):
        Recipe.read(tmp_path / "recipe.json")


@pytest.mark.parametrize("content", ["[]", "3", '"cake"', "null"])
def test_json_that_is_no_table_is_refused_with_its_place(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content, encoding="utf-8")
    with pytest.raises(DocumentError, match=r"recipe\.json"):
        Recipe.read(tmp_path / "recipe.json")


def test_documents_are_frozen() -> None:
    with pytest.raises(ValidationError):
        RECIPE.name = "bread"  # type: ignore[misc]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"name":' * 100_000])
def test_a_document_nested_beyond_all_measure_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=rf"{path} is not valid JSON \(it is nested too deeply\)"):
        Recipe.read(path)
