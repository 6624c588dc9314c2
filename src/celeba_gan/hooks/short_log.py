"""What Kedro logs of a run, without what says nothing new to its reader, and as text where nothing else is wanted."""

import logging
from typing import Final

from rich.console import Console
from rich.logging import RichHandler

_INDENT: Final = " " * len("[00:00:00] CRITICAL ")


def shorten_log() -> None:
    """Shortens Kedro's log from now on.

    Nodes are named without their inputs and outputs, and --async, which is refused here, is not advised. Square
    brackets in a message, as in a file's name, are no colours. In a file, a record is one line, however long.
    """
    logging.getLogger("kedro.pipeline.node").addFilter(_by_name)
    for name in ("sequential_runner", "parallel_runner"):
        logging.getLogger(f"kedro.runner.{name}").addFilter(_is_not_about_async)
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, RichHandler)]:
        if handler.console.is_terminal or handler.console.is_jupyter:
            handler.addFilter(_mark_colours)
        else:
            root.removeHandler(handler)
            root.addHandler(_Lines(handler))


class _Lines(logging.Handler):
    """Rich fits its lines into 80 columns where it knows no width, which tears paths and the line of a tick apart."""

    def __init__(self, rich: RichHandler) -> None:
        super().__init__(rich.level)
        self._console: Console = rich.console
        self.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)-8s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Prints it; further lines of a message begin below its first one."""
        text = self.format(record).replace("\n", f"\n{_INDENT}")
        self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _mark_colours(record: logging.LogRecord) -> bool:
    """Colours are asked for by Kedro's own records alone, of which `rich_format` has the colours."""
    record.markup = hasattr(record, "rich_format")
    return True


def _by_name(record: logging.LogRecord) -> bool:
    """`Running node: train_gan: train_gan([packed_images;...]) -> [...]`, up to the name."""
    if record.msg == "Running node: %s" and record.args:
        record.args = (str(record.args[0]).partition(":")[0],)  # type: ignore[index]  # a tuple
    return True


def _is_not_about_async(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Using synchronous mode")
