"""A long-lived conversation with a process of this machine."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable

from bench_action.engine.lines import Lines
from bench_action.engine.local.processes import stop
from bench_action.model.errors import StackError

_GOODBYE_S = 1.0
_PIECE = 65536


class LocalSession:
    """Standard input and output of one process. Raises StackError once it is gone."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", where: str, explain: Callable[[], StackError | None] = lambda: None
    ) -> None:
        """`explain` is asked for a better reason when the process is gone."""
        if process.stdin is None or process.stdout is None:
            raise ValueError("a session needs a process with pipes")
        self._process, self._input, self._output = process, process.stdin, process.stdout
        self._where, self._explain = where, explain
        self._lines = Lines()
        self._recent: list[str] = []

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def send(self, text: str, patience_s: float = 30.0) -> None:
        """Write to its standard input, and read what it answers at the same time: else both sides might wait."""
        left = memoryview(text.encode())
        os.set_blocking(self._input.fileno(), False)
        while left:
            readable, writable, _ = select.select([self._output], [self._input], [], patience_s)
            if not readable and not writable:
                raise StackError("a program does not read what it is sent", where=self._where)
            if readable:
                self._receive()
            if writable:
                left = left[self._write(left[:_PIECE]) :]

    def read_line(self, timeout_s: float) -> str | None:
        """The next line without its end, None when none was complete within `timeout_s` seconds."""
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
            self._process.wait(_GOODBYE_S)  # most end with their input; `stop` looks through all processes
        except subprocess.TimeoutExpired:
            stop(self._process, grace_s=1.0)

    def _receive(self) -> None:
        data = os.read(self._output.fileno(), _PIECE)
        if not data:
            raise self._gone()
        self._lines.feed(data)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._input.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> StackError:
        return self._explain() or StackError(
            "the program that we talk to ended", where=self._where, cause="it was killed, or gave up", log=self._recent
        )
