"""Ask the agent on another machine for what only it can read there, such as the counters of a container.

Part of the agent: sent to the load container with it, standard library only, Python 3.9. A question is one line of JSON
over a connection that is kept, and so is its answer.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX = "peer:"
_LATE_S = 5.0
_LONGEST = 2**20  # characters of a question


class PeerError(Exception):
    """An agent on another machine that does not answer."""


def find_peer(part: str) -> str:
    """Return the address (`host:port`) of the agent that reads a part, written `peer:host:port/id`; empty for us."""
    return part[len(_PREFIX) :].partition("/")[0] if part.startswith(_PREFIX) else ""


def strip_peer(part: str) -> str:
    """Return what the agent that reads a part calls it."""
    return part.partition("/")[2] if part.startswith(_PREFIX) else part


class _Line:
    """A connection to another agent, for one question at a time."""

    def __init__(self, address: str) -> None:
        self._address, self._turn = address, threading.Lock()
        self._connection: socket.socket | None = None
        self._reader: Any = None

    def ask(self, question: dict[str, str]) -> Any:
        """Send a question, and return the answer. Raises PeerError."""
        with self._turn:
            try:
                return self._exchange(question)
            except (OSError, ValueError) as error:
                self.close()
                raise PeerError(f"the agent at {self._address} does not answer: {error}") from None

    def _exchange(self, question: dict[str, str]) -> Any:
        if self._connection is None:
            self._connection = connect(self._address, _LATE_S)
            self._reader = self._connection.makefile("r", encoding="ascii")
        self._connection.sendall(write_question(question))
        line = self._reader.readline()
        if not line:
            raise ConnectionError("it closed the connection")
        return json.loads(line)

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        for each in (self._reader, self._connection):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.close()
        self._connection = self._reader = None


_LINES: dict[str, _Line] = {}


def ask_peer(address: str, question: dict[str, str]) -> Any:
    """Ask another agent, and return its answer. Raises PeerError."""
    return _LINES.setdefault(address, _Line(address)).ask(question)


# what agents of one run know, and nobody else; and the server, while there is one
_SECRET: dict[str, str] = {}
_SERVERS: list[socketserver.ThreadingTCPServer] = []


def write_question(question: dict[str, str]) -> bytes:
    """Write a question as it is sent: with the secret, by which agents know each other."""
    return json.dumps({**question, **_SECRET}).encode() + b"\n"


def connect(address: str, timeout_s: float) -> socket.socket:
    """Connect to `host:port`. Raises OSError."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def serve(port: int, token: str, answer: Callable[[dict[str, str]], object]) -> None:
    """Answer the questions of agents that know the token, in threads. Raises OSError if the port is taken."""
    _SECRET["token"] = token

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                while line := self.rfile.readline(_LONGEST):
                    question = json.loads(line)
                    if not secrets.compare_digest(question.pop("token"), token):
                        return  # not an agent: an application that has found this port
                    self.wfile.write(json.dumps(answer(question)).encode() + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    _SERVERS.append(Server(("", port), Handler))
    threading.Thread(target=_SERVERS[-1].serve_forever, daemon=True).start()


def stop_serving() -> None:
    """Answer no further agent."""
    while _SERVERS:
        server = _SERVERS.pop()
        server.shutdown()
        server.server_close()
