"""Errors as people read them: one message in place of a traceback of sixty lines."""

import os
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError

TRACEBACK_VARIABLE: Final = "CELEBA_GAN_TRACEBACK"

_ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]

# The modules whose exception classes speak to the person at the keyboard: this project's, and those that read what
# people write in conf/ and --params.
_SPEAKING_CLASSES: Final = ("celeba_gan", "kedro.config", "kedro.validation", "omegaconf", "yaml")
# Classes that speak only when raised in these modules: Kedro answers misspelt names of pipelines and nodes with a plain
# ValueError, and our datasets may raise Kedro's DatasetError themselves.
_SPEAKING_PLACES: Final[dict[type[BaseException], tuple[str, ...]]] = {
    ValueError: ("kedro.framework.session", "kedro.pipeline"),
    DatasetError: ("celeba_gan",),
}


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
        if os.environ.get(TRACEBACK_VARIABLE, "0") == "0" and not isinstance(sys.excepthook, _ShortExceptHook):
            sys.excepthook = _ShortExceptHook(sys.excepthook)


class _ShortExceptHook:
    """An excepthook that knows which errors need no traceback, and leaves the others to the one before it."""

    def __init__(self, before: _ExceptHook) -> None:
        self.before = before

    def __call__(self, kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        message = message_for_people(error)
        if message is None:
            self.before(kind, error, at)
        else:
            from rich.console import Console
            from rich.text import Text

            console = Console(stderr=True, soft_wrap=True, highlight=False)
            console.print(Text.assemble(("Error: ", "bold red"), message))
            console.print(Text(f"({TRACEBACK_VARIABLE}=1 shows where it came from)", "dim"))


def message_for_people(error: BaseException) -> str | None:
    """The message of the first error along the chain of causes that is complete for a person; None when there is none.

    Kedro wraps what a dataset raises in a DatasetError and names it as the cause. An error that arose while another
    was being handled has a context but no cause: that is a bug of its own, and is not looked behind.
    """
    chain = list(_causes(error))
    for link in chain:
        if _speaks(link):
            return str(link).strip()
    if isinstance(error, DatasetError) and isinstance(chain[-1], OSError):
        return str(error).strip()  # the entry, and which file is missing, which disk is full
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _speaks(error: BaseException) -> bool:
    if _is_in(type(error).__module__, _SPEAKING_CLASSES):
        return True
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = at.tb_frame.f_globals.get("__name__", "") if at is not None else ""
    return _is_in(place, _SPEAKING_PLACES.get(type(error), ()))


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
