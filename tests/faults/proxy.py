"""A proxy in front of the Docker engine, which can go away, come back, and refuse what needs its disk."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

_ENGINE = "/var/run/docker.sock"
_FULL = "write /var/lib/docker/tmp/layer: no space left on device"


class EngineProxy:
    """Passes on every byte, unless it is set to refuse some. `address` is the value of DOCKER_HOST."""

    def __init__(self, path: Path) -> None:
        self._path, self._open = path, set[socket.socket]()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.refused = ""  # requests with this in their first line find a full disk

    @property
    def address(self) -> str:
        return f"unix://{self._path}"

    def come(self) -> None:
        """Accept connections."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def go(self) -> None:
        """End every connection, and accept none, as when the engine is stopped."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._path.unlink(missing_ok=True)
            _close(listener)
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            _close(connection)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(_ENGINE)
                with self._lock:
                    self._open |= {client, engine}
                for source, target in ((client, engine), (engine, client)):
                    threading.Thread(target=self._pass_on, args=(source, target, client), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                if source is client and self.refused and self.refused.encode() in chunk.partition(b"\r\n")[0]:
                    client.sendall(_refuse())
                    break
                target.sendall(chunk)
            else:
                target.shutdown(socket.SHUT_WR)  # a session that has ended on one side is read to its end
                return
        for connection in (source, target):
            _close(connection)


def _refuse() -> bytes:
    body = json.dumps({"message": _FULL}).encode()
    head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextlib.contextmanager
def open_proxy(folder: Path) -> Iterator[EngineProxy]:
    """Open a proxy that accepts connections; it goes away with the context."""
    proxy = EngineProxy(folder / "engine.sock")
    proxy.come()
    try:
        yield proxy
    finally:
        proxy.go()
