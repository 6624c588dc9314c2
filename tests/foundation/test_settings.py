from typing import ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.exporting.config import ExportSettings
from celeba_gan.foundation.settings import Settings
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.sources.config import IngestSettings

LENGTH = {"kimg": 1, "tick_kimg": 1, "batch_size": 4}


class Example(Settings):
    renamed: ClassVar[dict[str, str]] = {"often": "every"}

    every: int | None = Field(10, ge=1)
    name: str | None = None
    kind: Literal["none", "some"] = "some"
    word: str = "word"


@pytest.mark.parametrize("typed", ["none", "None", "NULL", None])
def test_none_is_what_a_person_may_type_for_an_optional_field(typed: str | None) -> None:
    found = Example.model_validate({"every": typed, "name": typed})
    assert (found.every, found.name) == (None, None)


def test_none_is_a_word_like_others_where_a_field_cannot_be_none() -> None:
    found = Example.model_validate({"kind": "none", "word": "none"})
    assert (found.kind, found.word) == ("none", "none")
    assert PreprocessSettings.model_validate({"crop": "none"}).crop == "none"


@pytest.mark.parametrize(
    ("typed", "names"), [(None, []), ("", []), ([], []), ("Male", ["Male"]), ("Male + Smiling", ["Male", "Smiling"])]
)
def test_names_as_typed(typed: object, names: list[str]) -> None:
    assert PreprocessSettings.model_validate({"condition_on": typed}).condition_on == names
    assert GenerateSettings.model_validate({"labels": typed}).labels == names
    condition = TrainSettings.model_validate({**LENGTH, "condition": {"attributes": typed}}).condition
    assert list(condition.attributes) == names


def test_a_former_name_is_refused_with_the_present_one() -> None:
    with pytest.raises(ValidationError, match="often is now called every"):
        Example.model_validate({"often": 3})


@pytest.mark.parametrize(
    "model", [EvaluateSettings, ExportSettings, GenerateSettings, IngestSettings, PreprocessSettings, TrainSettings]
)
def test_all_stages_share_these_rules(model: type[Settings]) -> None:
    assert issubclass(model, Settings)


@pytest.mark.parametrize(
    ("model", "former", "present"),
    [
        (EvaluateSettings, "against", "compare_with"),
        (EvaluateSettings, "which", "checkpoint"),
        (GenerateSettings, "which", "checkpoint"),
    ],
)
def test_parameters_that_have_new_names(model: type[Settings], former: str, present: str) -> None:
    with pytest.raises(ValidationError, match=f"{former} is now called {present}"):
        model.model_validate({former: "best"})


def test_stages_take_the_word_none() -> None:
    assert TrainSettings.model_validate(LENGTH | {"evaluate_every_kimg": "none"}).evaluate_every_kimg is None
    assert PreprocessSettings.model_validate({"workers": "none"}).workers is None
    assert EvaluateSettings.model_validate({"inception_weights": "none"}).inception_weights is None
