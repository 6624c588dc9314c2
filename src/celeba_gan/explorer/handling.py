"""What every event of the page needs: refusals that people can read, and uploads that do not stay."""

import functools
import logging
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import ParamSpec, TypeVar

import gradio as gr

from celeba_gan.explorer.png import MOST_FILE_BYTES
from celeba_gan.explorer.recipe import ExplorerError

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def refusing(handler: Callable[P, R]) -> Callable[P, R]:
    """Shows a refusal in the page. Other errors are logged with their traceback, and the page shows one sentence."""

    @functools.wraps(handler)
    def handle(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return handler(*arguments, **named)
        except ExplorerError as error:
            raise gr.Error(escape(str(error), quote=False), title="Not possible", print_exception=False) from None
        except Exception:
            logger.exception("An event of the page failed")
            raise gr.Error("This failed unexpectedly; the terminal has the details", print_exception=False) from None

    return handle


def take_upload(file: str | None) -> tuple[str, bytes]:
    """An uploaded file's name and content; the file is deleted.

    Raises:
        ExplorerError: There is none, or it is too large.
    """
    if not file:
        raise ExplorerError("There is no file. Choose one")
    path = Path(file)
    try:
        size = path.stat().st_size
        if size > MOST_FILE_BYTES:
            raise ExplorerError(f"{path.name} has {size / 1e6:,.0f} MB; at most {MOST_FILE_BYTES // 10**6} are taken")
        return path.name, path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
