"""Talk to Redis through its own client, inside its container."""

import re
import secrets
from collections.abc import Mapping
from itertools import pairwise
from typing import Self
from urllib.parse import quote

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.stack.server import Setup

_ANSWER_S = 10.0
_FLUSH_S = 60.0
_PROGRAMS = ("redis-cli", "valkey-cli")  # an image has one of them, or both
_NOT_FOUND = (126, 127)  # how an engine reports a program that is not there
_DATABASE = re.compile(r"db(\d+):")  # a line of INFO keyspace


class Redis:
    """The Redis or Valkey server of a slot. Its subject may use any database number; number 0 is the usual one."""

    booleans = ("yes", "no")

    def __init__(self, engine: Engine, handle: Handle, password: str = "") -> None:
        """Keep what is needed to connect. `password`: of the default user, empty if it has none."""
        self.handle = handle
        self._password = password
        self._engine = engine
        self._session: Session | None = None
        self._program = _PROGRAMS[0]

    @classmethod
    def connect(cls, engine: Engine, handle: Handle, setup: Setup) -> Self:
        """Make the client; the password is a setting, or an option on the command line."""
        options = {name.lower(): value for name, value in pairwise(setup.command)}
        return cls(engine, handle, setup.settings.get("requirepass") or options.get("--requirepass", ""))

    @staticmethod
    def complete(env: Mapping[str, str], password: str) -> dict[str, str]:  # noqa: ARG004 (it may have no password)
        """Add nothing."""
        return dict(env)

    @property
    def password(self) -> str:
        """The password of the default user; empty if it has none."""
        return self._password

    def probe(self) -> str:
        """Return an empty text once it answers, else why not; while it loads its data, it does not answer."""
        status, output = self._engine.exec(self.handle, [*self._client(), "ping"])
        if status in _NOT_FOUND and self._program != _PROGRAMS[-1]:
            self._program = _PROGRAMS[-1]
            return self.probe()
        if output.startswith("NOAUTH"):
            raise StackError(
                f"{self.handle.name} wants a password that is not known here",
                advice="give it as `settings: {requirepass: …}`, not in a configuration file",
            )
        return "" if output.strip() == "PONG" else output.strip() or "no answer to PING"

    def open(self) -> None:
        """Connect to it."""
        self._session = self._engine.session(self.handle, self._client())
        self.command_calls()  # from now on our own INFO is among the calls, so that a reset is always noticed

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def address(self) -> dict[str, str]:
        """Return how an application reaches it: what placeholders name of it."""
        account = f":{quote(self._password, safe='')}@" if self._password else ""
        return {
            "host": self.handle.host,
            "port": str(self.handle.port),
            "password": self._password,
            "database": "0",
            "url": f"redis://{account}{self.handle.host}:{self.handle.port}/0",
        }

    def integer(self, key: str) -> int:
        """Read the integer at a key, in the first database that has the key; 0 if there is no integer."""
        numbers = [match[1] for line in self._converse("INFO keyspace") if (match := _DATABASE.match(line))]
        for number in numbers:
            _, *lines = self._converse(f'SELECT {number}\nGET "{key}"')
            if lines and lines != [""]:
                return int(lines[0]) if len(lines) == 1 and lines[0].lstrip("-").isdecimal() else 0
        return 0

    def flush(self) -> None:
        """Delete all keys of all databases."""
        self._converse("FLUSHALL", _FLUSH_S)

    def command_calls(self) -> dict[str, int]:
        """Read the calls of each command since the server started; a subcommand is named like `client|setinfo`."""
        calls = {}
        for line in self._converse("INFO commandstats"):
            name, _, detail = line.strip().partition(":calls=")
            if detail:
                calls[name.removeprefix("cmdstat_")] = int(detail.partition(",")[0])
        return calls

    def _client(self) -> list[str]:
        account = ["--no-auth-warning", "-a", self._password] if self._password else []
        return [self._program, "-p", str(self.handle.port), *account]

    def _converse(self, commands: str, patience_s: float = _ANSWER_S) -> list[str]:
        if self._session is None:
            raise StackError("Redis was queried before the connection was opened")
        mark = secrets.token_hex(16)  # a value may have lines of any kind, but not this one
        self._session.send(f"{commands}\nECHO {mark}\n")
        lines: list[str] = []
        while (line := self._session.read_line(patience_s)) != mark:
            if line is None:
                raise StackError("Redis did not answer", cause=f"no output for {patience_s:g} s")
            lines.append(line)
        return lines
