"""What Kedro logs of a run, without what says nothing new to its reader."""

import logging


def shorten_log() -> None:
    """Shortens Kedro's log from now on.

    Nodes are named without their inputs and outputs, and --async, which is refused here, is not advised.
    """
    logging.getLogger("kedro.pipeline.node").addFilter(_by_name)
    for name in ("sequential_runner", "parallel_runner"):
        logging.getLogger(f"kedro.runner.{name}").addFilter(_is_not_about_async)


def _by_name(record: logging.LogRecord) -> bool:
    """`Running node: train_gan: train_gan([packed_images;...]) -> [...]`, up to the name."""
    if record.msg == "Running node: %s" and record.args:
        record.args = (str(record.args[0]).partition(":")[0],)  # type: ignore[index]  # a tuple
    return True


def _is_not_about_async(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Using synchronous mode")
