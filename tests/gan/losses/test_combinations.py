import re
from typing import Any

import pytest
from pydantic import ValidationError

from celeba_gan.gan.losses.combinations import REFUSED, Refusal
from celeba_gan.gan.settings import TrainSettings

NONE = {"gradient_penalty": {"weight": 0}}
ENDING = {"name": "linear", "end_kimg": 5}
EXAMPLES: dict[str, dict[str, Any]] = {
    "objective wgan without": {"penalty": NONE},
    "objective wgan with a penalty.schedule": {"penalty": {"schedule": ENDING}},
    "weight_clip with penalty": {"weight_clip": 0.01},
    "micro_batch below": {"network": {"name": "article"}, "micro_batch": 4},
}


def make(**changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({"kimg": 1, "tick_kimg": 1, "batch_size": 8} | changes)


@pytest.mark.parametrize("start", EXAMPLES)
def test_refused_with_what_is_wrong_why_and_the_way_out(start: str) -> None:
    (refusal,) = (refusal for refusal in REFUSED if refusal.what.startswith(start))
    with pytest.raises(ValidationError) as raised:
        make(**EXAMPLES[start])
    assert f"{refusal.what}: {refusal.why}; {refusal.way_out}" in str(raised.value)


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda refusal: refusal.what)
def test_the_way_out_is_spelt_as_it_is_typed(refusal: Refusal) -> None:
    names = re.findall(r"train\.([a-z_0-9.]*[a-z0-9])", refusal.way_out)
    assert names
    for name in names:
        part: Any = make()
        for field in name.split("."):
            part = getattr(part, field)


def test_batch_norm_in_the_discriminator_is_refused_under_penalties_of_gradients_only() -> None:
    for penalty in ({}, NONE | {"r1": {"weight": 1}}):
        with pytest.raises(ValueError, match="batch norm in the discriminator"):
            make(penalty=penalty).check_combination({"discriminator"})
    make(penalty=NONE | {"drift": {"weight": 1}}, objective={"name": "hinge"}).check_combination({"discriminator"})


@pytest.mark.parametrize("bound", [{"weight_clip": 0.01}, {"penalty": NONE | {"r1": {"weight": 1}}}])
def test_any_bound_will_do_for_wgan(bound: dict[str, Any]) -> None:
    make(**{"penalty": NONE, **bound})


def test_the_name_that_penalties_had_is_explained() -> None:
    with pytest.raises(ValidationError, match=r"name is now called gradient_penalty\.weight"):
        make(penalty={"name": "none"})


def test_micro_batch_must_divide_the_batch() -> None:
    with pytest.raises(ValidationError, match="micro_batch 3 does not divide batch_size 8; give one of 1, 2, 4, 8"):
        make(micro_batch=3)
