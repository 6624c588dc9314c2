"""Serves the page: on this computer only, nothing loaded from elsewhere, nothing sent."""

import json
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from celeba_gan.explorer.models import Models
from celeba_gan.explorer.recipe import ExplorerError
from celeba_gan.foundation.wording import install_command

HOST: Final = "127.0.0.1"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_MOST_REQUEST: Final = 20_000_000  # bytes; an uploaded photograph is the largest
_POLICY: Final = (  # of what a browser may load: this server's own, and pictures that are in the page
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Guard:
    """ASGI middleware: refuses foreign host names and large requests, and makes browsers load from this server only.

    A page elsewhere whose name is made to point to 127.0.0.1 would otherwise be the same origin (DNS rebinding).
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], hosts: tuple[str, ...]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a reason."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self.hosts and _host_name(headers.get("host", "")) not in self.hosts:
            await _refuse(send, 400, f"This page is at http://{HOST}, not at {headers.get('host', '')[:100]}")
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _MOST_REQUEST:
            await _refuse(send, 413, f"At most {_MOST_REQUEST // 10**6} MB are taken")
            return

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                more = [(b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, with_policy)


def _host_name(header: str) -> str | None:
    """The name in a Host header, without its port; None if it is none."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+))(?::\d+)?", header)
    return None if match is None else (match[1] or match[2]).lower()


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serve(models: Models, first: str, port: int | None = None, host: str = HOST) -> Iterator[str]:
    """Serves the page while the block runs; gives its address.

    Args:
        models: What can be picked; listed already.
        first: The model that the page opens with.
        port: None: the first free one from 7860 on.
        host: The address to listen at; other ones than this computer's let others in.

    Raises:
        ExplorerError: Gradio is not installed, the model cannot be loaded, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="celeba_gan-explorer-", ignore_cleanup_errors=True) as uploads:
        _prepare_gradio(Path(uploads))
        from starlette.middleware import Middleware

        from celeba_gan.explorer.page import HERE, Page
        from celeba_gan.explorer.theme import make_theme

        blocks = Page(models, first).blocks
        guard = Middleware(Guard, hosts=_LOOPBACK if host in _LOOPBACK else ())
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                inbrowser=False,
                show_error=True,
                footer_links=[],
                run_history=False,
                allowed_paths=[],
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                max_file_size=_MOST_REQUEST,
                theme=make_theme(),
                css_paths=[HERE / "page.css"],
                app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None},
            )
        except (OSError, OverflowError) as error:
            # Gradio's own words name an environment variable and an argument of a function.
            where = f"Port {port} of {host} is" if port else f"Ports 7860 to 7959 of {host} are"
            other = "another one, or leave --port out for the first free one from 7860 on" if port else "a free one"
            raise ExplorerError(f"{where} taken, or cannot be used. With --port, give {other}") from error
        try:
            yield address
        finally:
            blocks.close(verbose=False)


def _prepare_gradio(uploads: Path) -> None:
    """Switches off what Gradio sends and looks up; before it is imported, which reads some of this.

    Raises:
        ExplorerError: It is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ExplorerError(f"The explorer needs Gradio ({error}). Install it: {install_command('explore')}") from error
