"""The choice of a precision by trial."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runtime import hardware as hardware_module
from celeba_gan.gan.runtime.hardware import Hardware, HardwareError, choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training import trial
from celeba_gan.gan.training.loop import train
from celeba_gan.gan.training.trial import faster_precision

MakeSettings = Callable[..., TrainSettings]
FLOAT32 = Hardware("cpu", "", "float32", 1, torch.__version__)
BOTH = [FLOAT32, replace(FLOAT32, precision="bfloat16")]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds that a step takes in each precision."""
    seconds = {"float32": 1.0, "bfloat16": 1.0}
    monkeypatch.setattr(trial._Trial, "seconds", lambda self, images: seconds[self.steps.hardware.precision])
    return seconds


@pytest.mark.parametrize(
    ("float32", "bfloat16", "chosen"),
    [
        (1.0, 0.5, "bfloat16"),
        (1.0, 0.90, "bfloat16"),
        (1.0, 0.95, "float32"),
        (1.0, 1.0, "float32"),
        (0.5, 1.0, "float32"),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster_by_a_margin(
    make_settings: MakeSettings,
    clock: dict[str, float],
    caplog: pytest.LogCaptureFixture,
    float32: float,
    bfloat16: float,
    chosen: str,
) -> None:
    clock |= {"float32": float32, "bfloat16": bfloat16}
    with caplog.at_level(logging.INFO):
        assert faster_precision(make_settings(), 16, None, BOTH).precision == chosen
    assert caplog.messages[-1].startswith(f"Precision: {chosen} (float32 {float32 * 1000:.0f} ms, bfloat16 ")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augment": {"name": "ada"}},
        {"objective": {"name": "rpgan"}, "penalty": {"gradient_penalty": {"weight": 0}, "drift": {"weight": 1}}},
        {"network": {"name": "r3", "r3": {"width": 8}}, "micro_batch": 4},
    ],
)
def test_both_are_really_timed(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    size = 32 if "network" in changes else 16
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert faster_precision(make_settings(**changes), size, 3, BOTH) in BOTH
    monkeypatch.setattr(trial, "MARGIN", 1e9)
    assert faster_precision(make_settings(**changes), size, 3, BOTH) is BOTH[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_slow_step_is_tried_on_few_images(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def seconds(self: trial._Trial, images: int) -> float:
        asked.append(images)
        return images / 16  # a quarter of a second for four

    monkeypatch.setattr(trial._Trial, "seconds", seconds)
    faster_precision(make_settings(batch_size=64, kimg=1, tick_kimg=1), 16, None, BOTH)
    assert max(asked) == 4
    monkeypatch.setattr(trial._Trial, "seconds", lambda self, images: asked.append(images) or images / 160)
    faster_precision(make_settings(batch_size=64, kimg=1, tick_kimg=1), 16, None, BOTH)
    assert max(asked) == 40


@pytest.mark.parametrize("fast", ["float32", "bfloat16"])
def test_a_new_run_takes_the_faster_and_a_resumed_one_what_the_state_says(
    images: TrainingImages,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    clock: dict[str, float],
    fast: str,
) -> None:
    monkeypatch.setattr(hardware_module, "computes_bfloat16", lambda device: True)
    clock[fast] = 0.1
    settings = make_settings(precision="auto", device="cpu")
    first = next(train(images, settings))
    assert first.state.card["hardware"]["precision"] == fast
    clock[fast] = 10.0
    assert next(train(images, settings, first.state)).state.card["hardware"]["precision"] == fast
    given = {"bfloat16": "float32", "float32": "bfloat16"}[fast]
    other = make_settings(precision=given, device="cpu")
    assert next(train(images, other)).state.card["hardware"]["precision"] == given


def test_the_trial_leaves_no_trace_in_the_training(
    images: TrainingImages, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware_module, "computes_bfloat16", lambda device: True)
    monkeypatch.setattr(trial, "MARGIN", 1e9)  # float32 wins
    settings = make_settings(kimg=0.08, device="cpu", precision="auto")
    *_, tried = train(images, settings)
    *_, plain = train(images, settings.model_copy(update={"precision": "float32"}))
    assert tried.state.card["hardware"] == plain.state.card["hardware"]
    assert all(torch.equal(tensor, plain.state.tensors[name]) for name, tensor in tried.state.tensors.items())


def test_without_bfloat16_there_is_nothing_to_try(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fastest(candidates: list[Hardware]) -> Hardware:
        raise AssertionError(candidates)

    monkeypatch.setattr(hardware_module, "computes_bfloat16", lambda device: False)
    assert choose_hardware(make_settings(precision="auto", device="cpu"), None, fastest).precision == "float32"


def test_tf32_is_refused_off_cuda(make_settings: MakeSettings) -> None:
    with pytest.raises(HardwareError, match=r"train\.precision: tf32 is .* the device is cpu; give auto, float32 or"):
        choose_hardware(make_settings(precision="tf32", device="cpu"), None)


def test_states_of_before_there_was_compilation_are_carried_on_without_a_word(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    before = choose_hardware(make_settings(), None).card()
    del before["compiled"]
    choose_hardware(make_settings(), before)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    choose_hardware(make_settings(compile=True), before)
    assert "compiled False -> True" in caplog.text
