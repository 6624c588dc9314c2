import logging
from importlib.util import find_spec

import pytest
import rich

from celeba_gan.reporting.training.progress import ScriptProgress, TrainingProgress, bars_move


@pytest.mark.parametrize(("measured", "end"), [({}, "300/s"), ({"swd_absolute_valid": 11.53}, "300/s  swd 11.53")])
def test_a_tick_is_a_line_with_the_distance_where_it_was_measured(
    measured: dict[str, float], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"discriminator_loss": -1.0, "generator_loss": 2.0, "images_per_second": 300.0}
    with caplog.at_level(logging.INFO, "celeba_gan.reporting.training.progress"):
        TrainingProgress().tick(10_000, [row | {"swd_absolute_valid": 99.0}, row | measured])
    (line,) = caplog.messages
    assert line == f"10 kimg  D -1.00 G 2.00  {end}"


def test_a_tick_says_how_far_it_is_and_what_time_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"discriminator_loss": -123.456, "generator_loss": 2.0, "images_per_second": 3000.0}
    now = iter([100.0, 160.0])
    monkeypatch.setattr("celeba_gan.reporting.training.progress.time.monotonic", lambda: next(now))
    progress = TrainingProgress(bar=False)
    progress.show(20_000, 150_000)  # resumed
    with caplog.at_level(logging.INFO, "celeba_gan.reporting.training.progress"):
        progress.tick(30_000, [row])
        progress.tick(150_000, [row])
    middle, end = caplog.messages
    assert middle == "30/150 kimg  D -123.46 G 2.00  3000/s  0:12:00 left"  # 120 more, a minute for ten
    assert end == "150/150 kimg  D -123.46 G 2.00  3000/s"
    assert len(middle) + len("  swd 113.9") <= 60 + 2


def test_a_log_says_how_fast_it_goes_before_a_late_first_tick(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([100.0, 119.0, 125.0, 125.0, 130.0])
    monkeypatch.setattr("celeba_gan.reporting.training.progress.time.monotonic", lambda: next(now))
    progress = TrainingProgress(bar=False)
    with caplog.at_level(logging.INFO, "celeba_gan.reporting.training.progress"):
        for images in (1000, 2000, 3500, 3600):
            progress.show(images, 10_000)
    assert caplog.messages == ["3.5/10 kimg  100/s  0:01:05 left"]


def test_a_script_is_told_how_many_images_there_are_in_all(caplog: pytest.LogCaptureFixture) -> None:
    row = {"discriminator_loss": -1.0, "generator_loss": 2.0, "images_per_second": 300.0, "swd_absolute_valid": 11.53}
    progress = ScriptProgress()
    progress.show(9_600, 150_016)
    with caplog.at_level(logging.INFO, "celeba_gan.reporting.training.progress"):
        progress.tick(9_600, [row])
    assert caplog.messages == ["  9,600 of 150,016 images   300/s  loss D -1.00 G 2.00  swd 11.53"]
    assert len(caplog.messages[0]) <= 80


@pytest.mark.parametrize(
    ("terminal", "notebook", "expected"),
    [(False, False, False), (True, False, True), (False, True, find_spec("ipywidgets") is not None)],
)
def test_bars_are_shown_where_they_can_move(
    terminal: bool, notebook: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rich.get_console(), "is_interactive", terminal)
    monkeypatch.setattr(rich.get_console(), "is_jupyter", notebook)
    assert bars_move() == expected
    assert ScriptProgress().disable != expected


def test_the_bar_is_there_before_the_first_iteration_which_may_compile() -> None:
    (task,) = TrainingProgress().tasks
    assert task.visible
    assert task.total is None  # then rich's bar moves by itself
