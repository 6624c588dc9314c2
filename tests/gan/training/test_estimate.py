"""Whoever starts a training of months on a CPU is told so within its first iterations."""

from collections.abc import Callable
from typing import Any

import pytest

from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.clock import Clock
from celeba_gan.gan.training.estimate import Estimate
from celeba_gan.gan.training.loop import train


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """What is logged of a training of 1,000 kimg whose iterations of 100 images take these seconds."""

    def run(*seconds: float, device: str = "cpu", first: int = 0) -> list[str]:
        now = 0.0
        monkeypatch.setattr("celeba_gan.gan.training.estimate.time.monotonic", lambda: now)
        caplog.clear()
        settings = TrainSettings.model_validate({"kimg": 1000, "tick_kimg": 10, "batch_size": 50, "n_critic": 2})
        estimate = Estimate(Clock.of(settings), first, device)
        for number, taken in enumerate(seconds, start=1):
            now += taken
            estimate.iterated(first + 100 * number)
        return [record.getMessage() for record in caplog.records]

    return run


def test_long_iterations_are_reported_after_the_first_and_once(warnings: Any) -> None:
    (message,) = warnings(100, 100, 100)
    assert "11 days 13 h more on this device (cpu), at 1 images/s" in message
    assert "Train on a GPU" in message
    assert "train.kimg=86.5 would take a day" in message  # 100 images, and a day of one a second


def test_a_first_iteration_that_compiles_is_not_counted(warnings: Any) -> None:
    assert warnings(29, *[0.5] * 100) == []  # 200 images a second: an hour and a half
    (message,) = warnings(29, *[9] * 4)
    assert "at 11.1 images/s" in message


def test_less_than_a_day_is_no_warning(warnings: Any) -> None:
    assert warnings(*[8] * 100) == []
    assert len(warnings(*[9] * 100)) == 1
    assert warnings(*[9] * 100, first=500_000) == []  # half is done


def test_training_measures_itself(
    images: Any, make_settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(Estimate, "iterated", lambda _, images: seen.append(images))
    list(train(images, make_settings(kimg=0.064, tick_kimg=0.032, batch_size=8, n_critic=2)))
    assert seen == [16, 32, 48, 64]
