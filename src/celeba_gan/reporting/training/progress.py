"""The progress bar of training, and a line per tick for logs that show no bar."""

import logging
from types import TracebackType
from typing import Self

import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)


class TrainingProgress:
    """A bar over the images seen by the discriminator."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=rich.get_console(),
            transient=True,
        )
        self._task = self._bar.add_task("training", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, images: int, total: int) -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=images, total=total, visible=True)

    def tick(self, images: int, rows: list[dict[str, float]]) -> None:
        """Logs one line about the tick."""
        if rows:
            row = rows[-1]
            logger.info(
                "%8.2f kimg  loss D %7.2f  G %7.2f  %5.0f images/s%s",
                images / 1000,
                row["discriminator_loss"],
                row["generator_loss"],
                row["images_per_second"],
                f"  swd_valid {row['swd_valid']:.4g}" if "swd_valid" in row else "",
            )
