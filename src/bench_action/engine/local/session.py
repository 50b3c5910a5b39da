"""A conversation with a long-lived process of this machine."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable

from bench_action.engine.lines import LineBuffer
from bench_action.engine.local.processes import stop
from bench_action.model.errors import StackError

_EXIT_S = 1.0
_PIECE = 65536
_LOOK_S = 1.0


class LocalSession:
    """Input and output of one process. Raises StackError once the process has exited."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", where: str, explain: Callable[[], StackError | None] = lambda: None
    ) -> None:
        """`explain` returns the error to raise if the service has exited, or None if it is still running."""
        if process.stdin is None or process.stdout is None:
            raise ValueError("a session needs a process with pipes")
        self._process, self._input, self._output = process, process.stdin, process.stdout
        self._where, self._explain = where, explain
        self._lines = LineBuffer()
        self._recent: list[str] = []

    @property
    def pid(self) -> int:
        """The process number."""
        return self._process.pid

    def send(self, text: str, patience_s: float = 30.0, waiting: Callable[[], None] = lambda: None) -> None:
        """Write to the program's input while reading its output, so that neither side blocks the other."""
        left = memoryview(text.encode())
        os.set_blocking(self._input.fileno(), False)
        deadline = time.monotonic() + patience_s
        while left:
            readable, writable, _ = select.select([self._output], [self._input], [], min(_LOOK_S, patience_s))
            if readable or writable:
                deadline = time.monotonic() + patience_s
            elif time.monotonic() > deadline:
                raise StackError("a helper program stopped reading its input", where=self._where)
            else:
                waiting()
            if readable:
                self._receive()
            if writable:
                left = left[self._write(left[:_PIECE]) :]

    def read_line(self, timeout_s: float) -> str | None:
        """Return the next line without its newline, or None if none is complete within `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while not self._lines:
            readable, _, _ = select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                return None
            self._receive()
        line = self._lines.pop()
        self._recent = [*self._recent[-14:], line]
        return line

    def close(self) -> None:
        """End the conversation."""
        for stream in (self._input, self._output):
            with contextlib.suppress(OSError):
                stream.close()
        try:
            self._process.wait(_EXIT_S)  # most exit when their input ends, and `stop` has to search all processes
        except subprocess.TimeoutExpired:
            stop(self._process, grace_s=1.0)

    def _receive(self) -> None:
        data = os.read(self._output.fileno(), _PIECE)
        if not data:
            raise self._make_exit_error()
        self._lines.feed(data)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._input.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._make_exit_error() from error

    def _make_exit_error(self) -> StackError:
        return self._explain() or StackError(
            "a helper program exited unexpectedly",
            where=self._where,
            cause="it failed or was killed",
            log=self._recent,
        )
