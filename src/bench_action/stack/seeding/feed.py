"""Send a stream of any length to a program next to a service, while reading what it prints."""

import binascii
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench_action.engine.protocol import Engine, Handle, Session

_BATCH = 2**18  # characters
_MOST_LINES = 50
_LOOK_S = 0.001
_WAIT_S = 1.0
_CODED = 3 * 2**14  # bytes of a line of base64: a multiple of three needs no padding
# The shell reads a password from the first line of its input, because every process can read a command line; `read`
# takes no byte beyond that line. `sed` ends the program's input at the mark, even if a script ends in COPY's data. What
# the program does not read is discarded, so that we can write all of it. Errors are the output; the rest is discarded.
_FEED = (
    'read -r secret; [ -z "$2" ] || export "$2=$secret"; mark=$1 decode=$3; shift 3; '
    'LC_ALL=C sed -n "/^$mark\\$/q;p" | $decode | '
    '{ "$@" 2>&1 >/dev/null; status=$?; echo; echo "$mark $status"; cat >/dev/null; }'
)


class Watch(Protocol):
    """Sees how a stream advances. Both methods may raise to give up."""

    def move(self) -> None:
        """Notice that a part of the stream was taken."""

    def wait(self) -> None:
        """Notice, about once a second, that nothing moves."""


class Unwatched:
    """Waits for as long as it takes, without a word."""

    def move(self) -> None:
        """Do nothing."""

    def wait(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that reads a stream: its command line, and a password in an environment variable."""

    argv: Sequence[str]
    variable: str = ""
    password: str = field(default="", repr=False)


def feed(
    engine: Engine, handle: Handle, program: Program, stream: Iterable[str], watch: Watch, *, coded: bool = False
) -> tuple[int, list[str]]:
    """Send a stream to a program next to a service; return its status and the first lines of its errors.

    `coded`: the stream is base64, and the program gets the bytes. If the program exits early, the rest is not sent.
    Raises StackError if the service ends, and what `watch` raises.
    """
    mark = secrets.token_hex(16)
    decode = "base64 -d" if coded else "cat"
    session = engine.session(handle, ["sh", "-c", _FEED, "sh", mark, program.variable, decode, *program.argv])
    try:
        return _Feed(session, mark, watch).run(program.password, stream)
    finally:
        session.close()


def encode(chunks: Iterable[bytes]) -> Iterator[str]:
    """Write bytes as lines of base64."""
    waiting = b""
    for chunk in chunks:
        waiting += chunk
        whole = len(waiting) - len(waiting) % _CODED
        for at in range(0, whole, _CODED):
            yield binascii.b2a_base64(waiting[at : at + _CODED]).decode("ascii")
        waiting = waiting[whole:]
    yield binascii.b2a_base64(waiting).decode("ascii")


class _Feed:
    """One stream to one program."""

    def __init__(self, session: Session, mark: str, watch: Watch) -> None:
        self._session, self._mark, self._watch = session, mark, watch
        self._lines: list[str] = []
        self._status: int | None = None

    def run(self, password: str, stream: Iterable[str]) -> tuple[int, list[str]]:
        self._send(f"{password}\n")
        end = "\n"
        for batch in _make_batches(stream):
            self._send(batch)
            end = batch[-1:] or end
            self._watch.move()
            self._read(_LOOK_S)
            if self._status is not None:
                break
        self._send(f"{self._mark}\n" if end == "\n" else f"\n{self._mark}\n")  # an empty line would be data of COPY
        while self._status is None:
            if not self._read(_WAIT_S):
                self._watch.wait()
        return self._status, [line for line in self._lines if line]

    def _send(self, text: str) -> None:
        self._session.send(text, float("inf"), self._watch.wait)

    def _read(self, wait_s: float) -> bool:
        """Read the lines that are there, and wait so long for the first; return whether there was one."""
        line = self._session.read_line(wait_s)
        received = line is not None
        while line is not None:
            if line.startswith(self._mark):
                self._status = int(line.split()[1])
                break
            if len(self._lines) < _MOST_LINES:
                self._lines.append(line)
            line = self._session.read_line(_LOOK_S)
        return received


def _make_batches(stream: Iterable[str]) -> Iterator[str]:
    """Join small parts, as most statements are."""
    batch: list[str] = []
    size = 0
    for text in stream:
        batch.append(text)
        size += len(text)
        if size >= _BATCH:
            yield "".join(batch)
            batch.clear()
            size = 0
    yield "".join(batch)
