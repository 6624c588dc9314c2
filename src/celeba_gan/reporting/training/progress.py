"""The progress bar of training, and a line per tick for logs that show no bar."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from typing import Final

import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

_FIRST_LINE: Final = 20.0  # seconds, after which a log says how fast it goes, if the first tick is still to come


class TrainingProgress(Progress):
    """A bar over the images seen by the discriminator."""

    def __init__(self, *, bar: bool = True) -> None:
        """With `bar` False, or where no bar can move, lines alone."""
        images = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("images"))
        times = (TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"))
        super().__init__(*images, *times, console=rich.get_console(), transient=True, disable=not (bar and bars_move()))
        # Visible from the start: the first iteration may compile the networks for a minute.
        self._training = self.add_task("training", total=None)
        self._began: tuple[int, float] | None = None  # images and seconds when it was first shown
        self._said = False  # a line of this training

    def show(self, images: int, total: int) -> None:
        """Moves the bar."""
        now = time.monotonic()
        if self._began is None:
            self._began = images, now
        self.update(self._training, completed=images, total=total)
        first, began = self._began
        if self.disable and not self._said and now - began > _FIRST_LINE and images > first:
            self._said = True
            rate = (images - first) / (now - began)
            logger.info("%s", f"{self._so_far(images)}  {rate:.0f}/s{self._left(images)}")

    def tick(self, images: int, rows: list[dict[str, float]]) -> None:
        """Logs one line about the tick."""
        self._said = True
        if rows:
            row = rows[-1]
            measured = f"  swd {row['swd_absolute_valid']:.4g}" if "swd_absolute_valid" in row else ""
            values = (row["discriminator_loss"], row["generator_loss"], row["images_per_second"])
            logger.info("%s", self._line(images, *values) + self._left(images) + measured)

    def _line(self, images: int, discriminator_loss: float, generator_loss: float, rate: float) -> str:
        """Within the 60 columns that a log of 80 columns has after the time and the level, mostly."""
        return f"{self._so_far(images)}  D {discriminator_loss:.2f} G {generator_loss:.2f}  {rate:.0f}/s"

    def _so_far(self, images: int) -> str:
        total = self.tasks[self._training].total
        return f"{images / 1000:g}{f'/{total / 1000:g}' if total else ''} kimg"

    def _left(self, images: int) -> str:
        """The time that is left at the rate so far, with what ticks cost."""
        total = self.tasks[self._training].total
        if total is None or self._began is None or not self._began[0] < images < total:
            return ""
        first, began = self._began
        seconds = (total - images) * (time.monotonic() - began) / (images - first)
        return f"  {timedelta(seconds=round(seconds))} left"


class ScriptProgress(TrainingProgress):
    """For scripts and notebooks: a bar where one can move, and lines that say how many images there are in all."""

    def __init__(self) -> None:
        super().__init__(bar=bars_move())

    def _line(self, images: int, discriminator_loss: float, generator_loss: float, rate: float) -> str:
        losses = f"loss D {discriminator_loss:.2f} G {generator_loss:.2f}"
        return f"{self._so_far(images)}  {rate:4.0f}/s  {losses}"  # within 80 columns, mostly

    def _so_far(self, images: int) -> str:
        total = f"{self.tasks[self._training].total or images:,.0f}"
        return f"{images:{len(total)},} of {total} images"


def bars_move() -> bool:
    """Whether output goes to a terminal, or to a notebook that can move bars.

    In a file each bar would be an empty line, and in a notebook without ipywidgets a warning.
    """
    console = rich.get_console()
    return find_spec("ipywidgets") is not None if console.is_jupyter else console.is_interactive


@contextmanager
def lines_shown() -> Iterator[None]:
    """Shows the lines of ticks where nobody has configured what the logger `celeba_gan` shows.

    They go to the program's handlers or, where it has none, to stderr. A level of the logger `celeba_gan`, or one above
    WARNING for all, decides as it does elsewhere: `logging.getLogger("celeba_gan").setLevel(logging.WARNING)` silences
    them.
    """
    package = logging.getLogger("celeba_gan")
    if package.level != logging.NOTSET or logger.level != logging.NOTSET or not logger.isEnabledFor(logging.WARNING):
        yield
        return
    own = None if logger.hasHandlers() else _Stderr()
    logger.setLevel(logging.INFO)
    if own is not None:
        logger.addHandler(own)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)
        if own is not None:
            logger.removeHandler(own)


class _Stderr(logging.Handler):
    """Prints to what is `sys.stderr` now: while a bar moves, that is rich's, which prints above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)
