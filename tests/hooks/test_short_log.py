"""The log of `kedro run`: a line a record in a file, and no colours that nobody asked for."""

import io
import logging
import re
from collections.abc import Callable, Iterator

import pytest
from kedro.logging import RichHandler
from rich.console import Console

from celeba_gan.hooks.short_log import shorten_log

LogTo = Callable[[Console], logging.Logger]


@pytest.fixture
def log_to() -> Iterator[LogTo]:
    """Logs as Kedro does, to a console."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def log_to(console: Console) -> logging.Logger:
        root.handlers[:] = [RichHandler(console=console, show_path=False)]
        root.setLevel(logging.INFO)
        shorten_log()
        return root

    yield log_to
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_record_in_a_file_is_a_line_of_any_length(log_to: LogTo) -> None:
    file = io.StringIO()
    log = log_to(Console(file=file))
    log.info("%s at %s", "words " * 40, "/a/path/" + "of-many-letters" * 20)
    log.warning("two\nlines")
    first, second, third = file.getvalue().splitlines()
    assert first.endswith("] INFO     " + "words " * 40 + " at /a/path/" + "of-many-letters" * 20)
    assert (second[10:], third) == (" WARNING  two", " " * 20 + "lines")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", ["a[red]b.jpg", "a[b]c[/d].jpg", "[/].png", ":smile:.png", "100%.png"])
def test_brackets_in_a_name_are_letters(terminal: bool, name: str, log_to: LogTo) -> None:
    file = io.StringIO()
    log_to(Console(file=file, force_terminal=terminal, no_color=True, width=200)).info("%s cannot be read", name)
    assert f"{name} cannot be read" in re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())


def test_kedro_has_its_colours_in_a_terminal(log_to: LogTo) -> None:
    file = io.StringIO()
    log = log_to(Console(file=file, force_terminal=True, color_system="truecolor", width=200))
    log.info("Loading %s", "images", extra={"rich_format": ["dark_orange"]})
    assert "dark_orange" not in file.getvalue()
    assert "\x1b[" in file.getvalue().partition("Loading")[2]
