"""The progress bar of work in several parts; where no bar can move, a line now and then."""

import logging
import sys
import time
from typing import Final

import rich
from rich.progress import Progress, ProgressColumn

from celeba_gan.foundation.cores import Contention
from celeba_gan.reporting.training.progress import bars_move

logger = logging.getLogger(__name__)

_SECONDS: Final = 10.0  # between two lines


class StepsProgress(Progress):
    """One bar, which shows what is being done now; it begins anew with each part."""

    def __init__(self, *columns: ProgressColumn, bar: bool | None = None) -> None:
        """Nothing is shown where bars cannot move, or with `bar` False; the columns are rich's own unless given."""
        moves = bars_move()
        super().__init__(*columns, console=rich.get_console(), transient=True, disable=bar is False or not moves)
        self._shown = self.add_task("", total=None, visible=False)
        self._lines = bar is not False and not moves
        self._said = time.monotonic()
        torch = sys.modules.get("torch")  # that of work which computes with it
        self._contention = Contention(torch.get_num_threads() if torch else 1)

    def show(self, doing: str, done: int, total: int) -> None:
        """Moves the bar of the part that is described by `doing`."""
        self._contention.look()
        if self._lines and time.monotonic() - self._said >= _SECONDS:
            self._said = time.monotonic()
            logger.info("%s: %s of %s", doing, f"{done:,}", f"{total:,}")
        if (self.tasks[0].description, self.tasks[0].total) != (doing, total):
            self.reset(self._shown, total=total, completed=done, visible=True, description=doing)
        else:
            self.update(self._shown, completed=done, total=total)
