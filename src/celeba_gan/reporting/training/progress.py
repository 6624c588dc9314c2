"""The progress bar of training, and a line per tick for logs that show no bar."""

import logging

import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)


class TrainingProgress(Progress):
    """A bar over the images seen by the discriminator."""

    def __init__(self) -> None:
        images = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("images"))
        times = (TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"))
        super().__init__(*images, *times, console=rich.get_console(), transient=True)
        self._training = self.add_task("training", total=None, visible=False)

    def show(self, images: int, total: int) -> None:
        """Moves the bar."""
        self.update(self._training, completed=images, total=total, visible=True)

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
                f"  swd_absolute_valid {row['swd_absolute_valid']:.4g}" if "swd_absolute_valid" in row else "",
            )
