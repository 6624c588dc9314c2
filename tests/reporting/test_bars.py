import io
import logging

import pytest
import rich
from rich.console import Console

from celeba_gan.reporting import bars
from celeba_gan.reporting.bars import StepsProgress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal gets to show."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    monkeypatch.setattr(rich, "get_console", lambda: console)
    return shown


def test_each_part_begins_anew_and_ends_full(terminal: io.StringIO) -> None:
    with StepsProgress() as bar:
        for doing, total in (("Reading", 8), ("Writing", 3)):
            for done in range(total + 1):
                bar.show(doing, done, total)
                (task,) = bar.tasks
                assert (task.description, task.completed, task.total) == (doing, done, total)
                assert task.finished == (done == total)
            bar.refresh()
            assert "100%" in terminal.getvalue().rsplit(doing, 1)[1]


def test_without_a_bar_nothing_is_shown(terminal: io.StringIO) -> None:
    with StepsProgress(bar=False) as bar:
        bar.show("Reading", 1, 2)
        bar.refresh()
    assert terminal.getvalue() == ""


def test_where_bars_cannot_move_there_is_not_even_an_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=file))
    with StepsProgress() as bar:
        bar.show("Reading", 1, 2)
    assert file.getvalue() == ""


@pytest.mark.parametrize(
    ("bar", "seconds", "lines"), [(None, 0.0, 2), (True, 0.0, 2), (False, 0.0, 0), (None, 60.0, 0)]
)
def test_a_log_gets_a_line_now_and_then(
    bar: bool | None,
    seconds: float,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=io.StringIO()))
    monkeypatch.setattr(bars, "_SECONDS", seconds)
    with caplog.at_level(logging.INFO), StepsProgress(bar=bar) as progress:
        progress.show("Reading", 1_000, 2_000)
        progress.show("Reading", 2_000, 2_000)
    said = [record.getMessage() for record in caplog.records if record.name == bars.__name__]
    assert said == ["Reading: 1,000 of 2,000", "Reading: 2,000 of 2,000"][:lines]
