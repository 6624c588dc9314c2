from pydantic import BaseModel

from celeba_gan.foundation.flat import flatten
from celeba_gan.tracking.store import LIMIT, as_text


class Inner(BaseModel):
    width: int = 32
    sizes: list[int] = [1, 2]


class Outer(BaseModel):
    network: Inner = Inner()


def test_models_and_mappings_flatten_alike() -> None:
    expected = {"train.network.width": 32, "train.network.sizes": [1, 2]}
    assert flatten(Outer(), "train") == expected
    assert flatten({"train": Outer().model_dump()}, "") == expected
    assert flatten(3, "train.kimg") == {"train.kimg": 3}


def test_long_values_are_cut_and_say_so() -> None:
    assert as_text("a" * LIMIT) == "a" * LIMIT
    cut = as_text("a" * (LIMIT + 1))
    assert len(cut) == LIMIT
    assert cut.endswith(f"a... ({LIMIT + 1} characters)")


def test_no_secret_becomes_a_parameter_or_a_tag() -> None:
    assert as_text("kedro run --params source.download=https://me:hush@host/x?token=hush") == (
        "kedro run --params source.download=https://***@host/x?token=***"
    )


def test_parameters_and_tags_with_the_name_of_a_secret_are_masked() -> None:
    shown = [
        as_text(*given) for given in (("hush", "source.password"), (5, "mail.api_key"), (None, "token"), ("b", "key"))
    ]
    assert shown == ["***", "***", "None", "b"]
