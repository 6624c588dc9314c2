"""What the plan says to people, for plans of every kind."""

from dataclasses import replace
from typing import Any

import pytest
import rich

from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.plan import Plan, plan
from celeba_gan.gan.training.probe import Speed
from celeba_gan.reporting.training.plan import Labels, print_page

GIB = 2**30


@pytest.fixture(scope="module")
def planned() -> Plan:
    values: dict[str, Any] = {
        "kimg": 4,
        "tick_kimg": 1,
        "batch_size": 8,
        "n_critic": 2,
        "network": {"dcgan": {"width": 8}},
        "latent": {"size": 8},
        "threads": 1,
        "precision": "float32",
    }
    return plan(TrainSettings.model_validate(values), 16, free=GIB, seconds=0.0)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(rich, "_console", None)  # made anew, at the width that is asked for
    monkeypatch.setenv("COLUMNS", "200")

    def said(result: Plan, labels: Labels | None = None) -> str:
        print_page(result, labels or Labels(None))
        return " ".join(capsys.readouterr().out.split())

    return said


def with_settings(result: Plan, **changes: Any) -> Plan:
    return replace(result, settings=TrainSettings.model_validate(result.settings.model_dump() | changes))


def test_networks_with_totals_and_folded_rows(planned: Plan, say: Any) -> None:
    said = say(planned)
    for network in (planned.generator, planned.discriminator):
        assert f"{network.kind} {network.parameters:,} {network.macs:,}" in said
    row = planned.generator.layers[0]
    assert f"{row.kind} {' x '.join(map(str, row.shape))} {row.parameters:,} {row.macs:,}" in said
    twice = replace(planned.generator, layers=(row, row))
    said = say(replace(planned, generator=twice))
    assert f"2 x {row.kind} {' x '.join(map(str, row.shape))} {2 * row.parameters:,} {2 * row.macs:,}" in said


def test_objective_penalties_and_labels(planned: Plan, say: Any) -> None:
    assert "wgan; penalties: gradient_penalty 10 Generator" in say(planned)
    penalty = {"gradient_penalty": {"weight": 0}, "r1": {"weight": 0.5}, "drift": {"weight": 0.001}, "every": 4}
    said = say(with_settings(planned, penalty=penalty, condition={"name": "class"}), Labels(10, assumed=True))
    assert "penalties: r1 0.5, drift 0.001, every 4 steps" in said
    assert "class, 10 of them, a guess until the images are packed" in said
    assert "with the penalties" in said
    said = say(with_settings(planned, penalty={"gradient_penalty": {"weight": 0}}, objective={"name": "hinge"}))
    assert "hinge; penalties: none" in said
    assert "with the penalties" not in said


@pytest.mark.parametrize(
    ("train_images", "augment", "warned"),
    [
        (238, "none", True),
        (999, "none", True),
        (1000, "none", False),
        (238, "diffaugment", False),
        (None, "none", False),
    ],
)
def test_few_images_without_augmentation_say_what_to_set(
    planned: Plan, say: Any, train_images: int | None, augment: str, warned: bool
) -> None:
    said = say(with_settings(replace(planned, train_images=train_images), augment={"name": augment}))
    assert ("--params train.augment.name=diffaugment" in said) is warned
    assert (f"only {train_images} images" in said) is warned


def test_learning_rates_and_how_they_change(planned: Plan, say: Any) -> None:
    said = say(planned)
    assert "Generator's learning rate 0.0004 Discriminator's learning rate 0.0004 Factor of the penalties 1 " in said
    first, *others = planned.schedule.values
    moving = replace(planned.schedule, values=(replace(first, end=1e-05), *others))
    assert "Generator's learning rate 0.0004 at first, 0.0004 half-way, 1e-05 at the end" in say(
        replace(planned, schedule=moving)
    )


def test_memory_that_is_short_says_what_to_try(planned: Plan, say: Any) -> None:
    assert "1.1 GB are free" in say(planned)
    assert "Does not fit" not in say(planned)
    assert "Does not fit" not in say(replace(planned, free=None))
    said = say(replace(planned, free=planned.memory.total - 1))
    assert "Does not fit Memory does not hold 8 images at a time. Try train.micro_batch=4:" in said
    assert "the result does not depend on it" in said
    assert "Try train.micro_batch=2:" in say(with_settings(replace(planned, free=0), micro_batch=4))
    assert "does not hold a single image" in say(with_settings(replace(planned, free=0), micro_batch=1))
    article = with_settings(
        replace(planned, free=0),
        network={"name": "article"},
        penalty={"gradient_penalty": {"weight": 0}},
        objective={"name": "minimax"},
    )
    assert "Give a smaller train.batch_size" in say(article)


def test_memory_is_measured_or_extended_from_what_fits(planned: Plan, say: Any) -> None:
    assert planned.memory.measured == 1  # there was no time for more
    said = say(planned)
    assert "Extrapolated from one iteration with 1 image at a time" in said
    assert "activations of 8 images" in said
    said = say(replace(planned, memory=replace(planned.memory, measured=8)))
    assert "Measured in one iteration." in said
    assert "activations of 8 images" in said


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1000.0, "4.0 s at 1,000 images/s"),
        (4.0, "16 min 40 s at 4.00 images/s"),
        (0.5, "2 h 13 min"),
        (0.01, "4 days 15 h"),
    ],
)
def test_time_is_told_as_people_do(planned: Plan, say: Any, rate: float, words: str) -> None:
    said = say(replace(planned, speed=Speed(rate, 8, 12.3)))
    assert f"Time {words}" in said
    assert "12 s of training on noise, just now. Saving" in said
    assert "extrapolated to 8" not in said
    assert "with batches of up to 2, and extrapolated to 8" in say(replace(planned, speed=Speed(rate, 2, 12.3)))
    assert "the networks have seen all these images already" in say(replace(planned, speed=None))
