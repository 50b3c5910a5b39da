"""Programs in a container: short ones, and conversations with long-lived ones.

A new exec for each trial would cost more than 0.2 s.
"""

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from docker import APIClient

from bench_action.engine.lines import LineBuffer
from bench_action.engine.protocol import KILLED
from bench_action.model.errors import StackError

_HEADER = 8  # Engine API, "Attach": stream type (1 byte), 3 zero bytes, length (4 bytes, big endian)
_STDOUT, _STDERR = 1, 2
_PIECE = 65536
_LONGEST_OUTPUT = 64 * 2**20  # MySQL's statistics of statements take up to 20 MiB
_LOOK_S = 1.0  # longest wait for the socket, which does not show what TLS has already read


def run_program(api: APIClient, container: str, argv: Sequence[str], where: str, limit_s: float) -> tuple[int, str]:
    """Run a short program in a container, and return its status and output. Raises StackError as `collect_output`."""
    started = api.exec_create(container, list(argv))["Id"]
    output = collect_output(api.exec_start(started, socket=True), f"{argv[0]} {where}", limit_s)
    status = api.exec_inspect(started)["ExitCode"]
    # the engine has no status for a program that died with its container: that is not success
    return KILLED if status is None else int(status), output.decode(errors="replace")


def collect_output(connection: Any, where: str, limit_s: float) -> bytes:
    """Read what a program prints until it ends, and close the connection, as `exec_start(socket=True)` returns it.

    Raises StackError if the program prints more than 64 MiB, or does not end within `limit_s` seconds.
    """
    connected: socket.socket = getattr(connection, "_sock", connection)
    deadline, output = time.monotonic() + limit_s, bytearray()
    try:
        frames = bytearray(_take_early(connection, connected))
        while True:
            for _, payload in _split_frames(frames):
                output += payload
            if len(output) > _LONGEST_OUTPUT or time.monotonic() >= deadline:
                break
            connected.settimeout(max(0.001, deadline - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                if not (data := connected.recv(_PIECE)):
                    return bytes(output)
                frames += data
    finally:
        _close(connection, connected)
    too_much = f"printed more than {_LONGEST_OUTPUT >> 20} MiB"
    problem = too_much if len(output) > _LONGEST_OUTPUT else f"did not end within {limit_s:g} s"
    raise StackError(f"a program {problem}", where=where, advice="use a command that ends soon and prints little")


class DockerSession:
    """Input and output of one program in a container. Raises StackError once the program has exited.

    One that has exited before the session begins raises it as well.
    """

    def __init__(self, connection: Any, where: str, explain: Callable[[], StackError | None] = lambda: None) -> None:
        """Take what the SDK's `exec_start(socket=True)` returns as `connection`.

        `explain` returns the error to raise if the container has exited, or None if it is still running.
        """
        self._connection = connection  # keeps the response, and with it the socket, alive
        self._socket: socket.socket = getattr(connection, "_sock", connection)
        self._where = where
        self._explain = explain
        self._lines = LineBuffer()
        self._stderr: deque[str] = deque(maxlen=15)
        try:
            self._frames = bytearray(_take_early(connection, self._socket))
        except OSError as error:
            self.close()
            raise self._make_exit_error() from error
        self._demultiplex()

    def send(self, text: str, patience_s: float = 30.0, waiting: Callable[[], None] = lambda: None) -> None:
        """Write to the program's input while reading its output, so that neither side blocks the other."""
        left = memoryview(text.encode())
        deadline = time.monotonic() + patience_s
        while left:
            sent = self._write(left[:_PIECE])
            left = left[sent:]
            if sent or self._receive(0):
                deadline = time.monotonic() + patience_s
            elif time.monotonic() > deadline:
                raise StackError("a helper program stopped reading its input", where=self._where)
            else:
                readable, writable, _ = select.select([self._socket], [self._socket], [], _LOOK_S)
                if not readable and not writable:
                    waiting()

    def read_line(self, timeout_s: float) -> str | None:
        """Return the next line without its newline, or None if none is complete within `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while not self._lines:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._receive(left_s):
                return None
        return self._lines.pop()

    def close(self) -> None:
        """End the conversation."""
        _close(self._connection, self._socket)

    def _write(self, data: memoryview) -> int:
        """Write what the socket accepts without blocking, and return the number of bytes."""
        try:
            self._socket.settimeout(0)
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise self._make_exit_error() from error

    def _receive(self, timeout_s: float) -> bool:
        """Read what arrives within `timeout_s` seconds; return False if that is nothing."""
        try:
            self._socket.settimeout(max(0.0, timeout_s))
            data = self._socket.recv(_PIECE)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            raise self._make_exit_error() from error
        if not data:
            raise self._make_exit_error()
        self._frames += data
        self._demultiplex()
        return True

    def _demultiplex(self) -> None:
        for stream, payload in _split_frames(self._frames):
            if stream == _STDOUT:
                self._lines.feed(payload)
            elif stream == _STDERR:
                self._stderr.extend(payload.decode(errors="replace").splitlines())

    def _make_exit_error(self) -> StackError:
        return self._explain() or StackError(
            "a helper program exited unexpectedly",
            where=self._where,
            cause="it failed or was killed; its container is still running",
            log=list(self._stderr),
        )


def _take_early(connection: Any, connected: socket.socket) -> bytes:
    """Take the output that came with the headers of the engine's answer.

    The SDK returns the socket, but its HTTP client reads ahead: on a busy machine, what a program prints first is in
    the client's buffer, and would be lost (docker-py issue 3332).
    """
    if (response := getattr(connection, "_response", None)) is None:
        return b""
    connected.settimeout(0)  # an empty buffer is filled from the socket
    with contextlib.suppress(ssl.SSLWantReadError):
        return bytes(response.raw._fp.fp.peek())  # noqa: SLF001 (as the SDK finds the socket)
    return b""


def _split_frames(frames: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the complete frames off the beginning, and yield the stream and the payload of each."""
    while len(frames) >= _HEADER:
        end = _HEADER + int.from_bytes(frames[4:_HEADER], "big")
        if len(frames) < end:
            return
        stream, payload = frames[0], bytes(frames[_HEADER:end])
        del frames[:end]
        yield stream, payload


def _close(connection: Any, connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        # the response first: its buffers use this socket, and Python 3.13 prints a traceback at exit if they are
        # flushed after the socket is closed
        if (response := getattr(connection, "_response", None)) is not None:
            response.close()
        connection.close()
        connected.close()  # the connection is only a file on it
