"""Errors as people read them: one message in place of a traceback of sixty lines."""

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError, DatasetNotFoundError

from celeba_gan.foundation.paths import shown
from celeba_gan.foundation.safety.secrets import mask_error, mask_logs, mask_secrets
from celeba_gan.ranks.group import current

TRACEBACK_VARIABLE: Final = "CELEBA_GAN_TRACEBACK"

_RUNNERS: Final = ("sequential_runner", "thread_runner", "parallel_runner")  # Kedro's, each with a logger

_ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]

# Modules whose errors are written for users: this project's, and those that read conf/ and --params.
_USER_ERRORS: Final = ("celeba_gan", "kedro.config", "kedro.validation", "omegaconf", "yaml")
# Classes whose errors are written for users only if these modules raise them: Kedro raises a plain ValueError for
# misspelt names of pipelines and nodes, and others for runners and versions; our datasets raise Kedro's DatasetError.
_USER_ERRORS_RAISED_IN: Final[dict[type[BaseException], tuple[str, ...]]] = {
    ValueError: ("kedro.framework", "kedro.pipeline", "kedro.runner"),
    TypeError: ("kedro.framework.cli",),
    DatasetNotFoundError: ("kedro",),
    DatasetError: ("celeba_gan",),
}
# Modules that refuse what a file contains.
_READERS: Final = ("codecs", "json", "pandas", "PIL", "pyarrow")


class ShortErrors:
    """Prints this project's errors, and Kedro's about what was typed, as one message; the exit status stays 1.

    Anything else is a bug, and keeps its traceback; so does everything where CELEBA_GAN_TRACEBACK=1 is set.
    """

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Puts itself before the traceback printer that Kedro's logging has installed by now.

        This is Kedro's first hook. The catalog, the parameters, datasets and nodes all come after it, and what they
        raise passes through Kedro and click unchanged to `sys.excepthook`.
        """
        shorten_errors()


def shorten_errors() -> None:
    """Prints errors short from now on, unless CELEBA_GAN_TRACEBACK=1 is set; masks secrets in them and in the log."""
    if isinstance(sys.excepthook, _ShortExceptHook):
        return
    mask_logs()
    sys.excepthook = _ShortExceptHook(sys.excepthook)
    if not _is_traced():
        for name in _RUNNERS:
            logging.getLogger(f"kedro.runner.{name}").addFilter(_is_no_advice)


def _is_traced() -> bool:
    return os.environ.get(TRACEBACK_VARIABLE, "0") != "0"


def _is_no_advice(record: logging.LogRecord) -> bool:
    """False for what Kedro advises before it raises: the same command, or some nodes of it, which would fail again."""
    message = record.getMessage()
    return not ("Repeat the previous command" in message or "You can resume the pipeline run" in message)


class _ShortExceptHook:
    """Prints errors written for users without a traceback, passes the others to the hook before it; masks secrets."""

    def __init__(self, before: _ExceptHook) -> None:
        self.before = before

    def __call__(self, kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        message = message_for_people(error)
        if message is None or _is_traced():
            masked = mask_error(error)
            self.before(type(masked), masked, at)
        else:
            from rich.console import Console
            from rich.text import Text

            console = Console(stderr=True, soft_wrap=True, highlight=False)
            console.print(Text.assemble(("Error: ", "bold red"), mask_secrets(message)))
            console.print(Text(f"({TRACEBACK_VARIABLE}=1 shows where it came from)", "dim"))
        current().tell_end(mask_secrets(message or f"{kind.__name__}: {error}"))  # after it is printed: ranks end then


def message_for_people(error: BaseException) -> str | None:
    """The message of the first error along the chain of causes that is complete for a person; None when there is none.

    Kedro wraps what a dataset raises in a DatasetError and names it as the cause. An error that arose while another
    was being handled has a context but no cause: that is a bug of its own, and its context is ignored.
    """
    link: BaseException | None = error
    of_the_system = False
    while link is not None:
        if _is_for_users(link):
            return str(link).strip()
        of_the_system |= isinstance(link, OSError)  # raised again as one, where a library has its own
        root, link = link, link.__cause__
    if isinstance(error, DatasetError):
        if found := _damaged_file(error, root):
            return (
                f"{shown(Path(found))} is damaged: {str(root).rstrip('.')}. Remove it, and run the stage that makes it "
                "with the same --env and --params"
            )
        if of_the_system:
            return str(error).strip()  # the entry, and which file is missing, which disk is full
    return None


def _damaged_file(error: DatasetError, root: BaseException) -> str | None:
    """The file that a reader of tables, JSON or pictures could not understand; None for any other failure."""
    at = root.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = at.tb_frame.f_globals.get("__name__", "") if at is not None else ""
    named = re.search(r"Failed while loading data .*filepath=(?:\w+\()?'(.+?)'", str(error))
    refused = isinstance(root, ValueError | LookupError) or type(root).__name__ == "UnidentifiedImageError"
    return named[1] if named and refused and _is_in(place, _READERS) else None


def _is_for_users(error: BaseException) -> bool:
    if _is_in(type(error).__module__, _USER_ERRORS):
        return True
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = at.tb_frame.f_globals.get("__name__", "") if at is not None else ""
    return _is_in(place, _USER_ERRORS_RAISED_IN.get(type(error), ()))


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
