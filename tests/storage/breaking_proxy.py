"""A proxy on loopback that breaks connections on request."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class BreakingProxy:
    """Passes bytes on to a server; `cut_after` breaks the next connections once so many bytes of an answer passed."""

    def __init__(self, port: int) -> None:
        self.behind = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.cuts: list[int] = []  # bytes of an answer after which a connection is cut, one for each cut
        self.down = False  # nothing is answered at all
        self.broken = 0
        self.answered = 0  # bytes
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.down:
                self.broken += 1
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.behind))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answer: bool) -> None:
        passed = 0
        try:
            while data := source.recv(65536):
                if answer:
                    self.answered += len(data)
                    passed += len(data)
                    if self.down or (self.cuts and passed > self.cuts[0]):
                        if self.cuts and not self.down:
                            target.sendall(data[: max(0, len(data) - (passed - self.cuts.pop(0)))])
                        self.broken += 1
                        break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def breaking_proxy(port: int) -> Iterator[BreakingProxy]:
    proxy = BreakingProxy(port)
    try:
        yield proxy
    finally:
        proxy.listener.close()
