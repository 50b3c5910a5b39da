"""A long-lived `docker exec`, talked to line by line: a new one for each trial would cost 0.2 s and more."""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from bench_action.engine.lines import Lines
from bench_action.model.errors import StackError

_HEADER = 8  # Engine API, "Attach": stream type (1 byte), 3 zero bytes, length (4 bytes, big endian)
_STDOUT, _STDERR = 1, 2


class DockerSession:
    """Standard input and output of one program in a container. Raises StackError once it is gone."""

    def __init__(self, connection: Any, where: str, explain: Callable[[], StackError | None] = lambda: None) -> None:
        """`connection` is what the SDK's `exec_start(socket=True)` returns.

        `explain` tells what became of the container, None where it still runs.
        """
        self._connection = connection  # keeps the response, and with it the socket, alive
        self._socket: socket.socket = getattr(connection, "_sock", connection)
        self._where = where
        self._explain = explain
        self._frames = bytearray()
        self._lines = Lines()
        self._stderr: deque[str] = deque(maxlen=15)

    def send(self, text: str) -> None:
        """Write to its standard input."""
        try:
            self._socket.settimeout(30)
            self._socket.sendall(text.encode())
        except OSError as error:
            raise self._gone() from error

    def read_line(self, timeout_s: float) -> str | None:
        """The next line without its end, None when none was complete within `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while not self._lines:
            if not self._receive(deadline - time.monotonic()):
                return None
        return self._lines.pop()

    def close(self) -> None:
        """End the conversation."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            # first: its buffers are above this socket, and a flush of them after the socket's end is reported as a
            # traceback when the interpreter ends (Python 3.13)
            if (response := getattr(self._connection, "_response", None)) is not None:
                response.close()
            self._connection.close()
            self._socket.close()  # what the SDK gives is a file of it only

    def _receive(self, timeout_s: float) -> bool:
        """Take in what has arrived; False when nothing did in time."""
        if timeout_s <= 0:
            return False
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(65536)
        except TimeoutError:
            return False
        except OSError as error:
            raise self._gone() from error
        if not data:
            raise self._gone()
        self._frames += data
        self._demultiplex()
        return True

    def _demultiplex(self) -> None:
        while len(self._frames) >= _HEADER:
            end = _HEADER + int.from_bytes(self._frames[4:_HEADER], "big")
            if len(self._frames) < end:
                return
            stream, payload = self._frames[0], bytes(self._frames[_HEADER:end])
            del self._frames[:end]
            if stream == _STDOUT:
                self._lines.feed(payload)
            elif stream == _STDERR:
                self._stderr.extend(payload.decode(errors="replace").splitlines())

    def _gone(self) -> StackError:
        return self._explain() or StackError(
            "the program that we talk to ended",
            where=self._where,
            cause="it was killed; its container still runs",
            log=list(self._stderr),
        )
