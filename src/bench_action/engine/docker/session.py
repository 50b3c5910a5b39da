"""A long-lived `docker exec`, talked to line by line: a new one for each trial would cost 0.2 s and more."""

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from bench_action.engine.lines import Lines
from bench_action.model.errors import StackError

_HEADER = 8  # Engine API, "Attach": stream type (1 byte), 3 zero bytes, length (4 bytes, big endian)
_STDOUT, _STDERR = 1, 2
_PIECE = 65536
_LOOK_S = 1.0  # how long to wait for the socket at most: what TLS has already taken in does not show on it


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

    def send(self, text: str, patience_s: float = 30.0) -> None:
        """Write to its standard input, and read what it answers at the same time: else both sides might wait."""
        left = memoryview(text.encode())
        deadline = time.monotonic() + patience_s
        while left:
            sent = self._write(left[:_PIECE])
            left = left[sent:]
            if sent or self._receive(0):
                deadline = time.monotonic() + patience_s
            elif time.monotonic() > deadline:
                raise StackError("a program does not read what it is sent", where=self._where)
            else:
                select.select([self._socket], [self._socket], [], _LOOK_S)

    def read_line(self, timeout_s: float) -> str | None:
        """The next line without its end, None when none was complete within `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while not self._lines:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._receive(left_s):
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

    def _write(self, data: memoryview) -> int:
        """Write what the socket takes at once; how many bytes that were."""
        try:
            self._socket.settimeout(0)
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise self._gone() from error

    def _receive(self, timeout_s: float) -> bool:
        """Take in what has arrived, or arrives within `timeout_s` seconds; False for nothing."""
        try:
            self._socket.settimeout(max(0.0, timeout_s))
            data = self._socket.recv(_PIECE)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
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
