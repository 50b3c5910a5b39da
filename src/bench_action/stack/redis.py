"""Talk to Redis through its own client, inside its container."""

import re
import secrets
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Self
from urllib.parse import quote

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.stack.meters.cache import was_reset
from bench_action.stack.server import Setup, read_until

_ANSWER_S = 10.0
_FLUSH_S = 60.0
_RESTART_S, _POLL_S = 30.0, 0.05
_PROGRAMS = ("redis-cli", "valkey-cli")  # an image has one of them, or both
_NOT_FOUND = (126, 127)  # how an engine reports a program that is not there
_DATABASE = re.compile(r"db(\d+):")  # a line of INFO keyspace
# The shell reads the password from the first line of its input, because every process can read a command line.
_SIGN_IN = 'read -r REDISCLI_AUTH; export REDISCLI_AUTH; exec "$@"'


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
        self._state: list[tuple[str, ...]] = []

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
        status, output = self._engine.exec(self.handle, [self._program, "-p", str(self.handle.port), "ping"])
        if status in _NOT_FOUND and self._program != _PROGRAMS[-1]:
            self._program = _PROGRAMS[-1]
            return self.probe()
        if output.startswith("NOAUTH") and self._password:
            output = self._ping()
        if output.startswith("NOAUTH"):
            raise StackError(
                f"{self.handle.name} requires a password that bench-action does not have",
                advice="give it as `settings: {requirepass: …}`, not in a configuration file",
            )
        return "" if output.strip() == "PONG" else output.strip() or "no answer to PING"

    def open(self) -> None:
        """Connect to it."""
        self._session = self._start_client()
        self.command_calls()  # from now on our own INFO is among the calls, so that a reset is always noticed
        self._state = self._state or self._read_state()

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
        """Delete all keys of all databases, and undo what the last subject has changed about the server."""
        self._converse("FLUSHALL", _FLUSH_S)
        if was_reset(self.command_calls()) or self._read_state() != self._state:
            self._restart()
            if self._read_state() != self._state:
                raise StackError(
                    f"could not undo what an application changed in the settings of {self.handle.name}",
                    cause="they are different after a restart too",
                    advice="keep the application from writing the server's configuration file (CONFIG REWRITE)",
                )

    def command_calls(self) -> dict[str, int]:
        """Read the calls of each command since the server started; a subcommand is named like `client|setinfo`."""
        calls = {}
        for line in self._converse("INFO commandstats"):
            name, _, detail = line.strip().partition(":calls=")
            if detail:
                calls[name.removeprefix("cmdstat_")] = int(detail.partition(",")[0])
        return calls

    def _read_state(self) -> list[tuple[str, ...]]:
        """Read what an application can change that outlives FLUSHALL; an older server refuses a part of it each time.

        Each start of a server gives its settings another order.
        """
        settings = self._converse("CONFIG GET *")
        others = self._converse("ACL LIST\nFUNCTION LIST")
        return sorted([*zip(settings[::2], settings[1::2], strict=False), *((line,) for line in others)])

    def _restart(self) -> None:
        """Restart the server, which has kept nothing that is needed. Raises StackError."""
        self.close()
        self._engine.stop(self.handle)
        self._engine.restart(self.handle)
        deadline = time.monotonic() + _RESTART_S
        while problem := self.probe():
            if time.monotonic() > deadline:
                raise StackError(f"{self.handle.name} did not restart", cause=problem)
            time.sleep(_POLL_S)
        self.open()

    def _ping(self) -> str:
        """Sign in, and return the first line of the answer to PING."""
        session = self._start_client("ping")
        try:
            return session.read_line(_ANSWER_S) or ""
        finally:
            session.close()

    def _start_client(self, *words: str) -> Session:
        client = [self._program, "-p", str(self.handle.port), *words]
        if not self._password:
            return self._engine.session(self.handle, client)
        session = self._engine.session(self.handle, ["sh", "-c", _SIGN_IN, "sh", *client])
        session.send(f"{self._password}\n")
        return session

    def _converse(self, commands: str, patience_s: float = _ANSWER_S) -> list[str]:
        if self._session is None:
            raise StackError("Redis was queried before the connection was opened")
        mark = secrets.token_hex(16)  # a value may have lines of any kind, but not this one
        self._session.send(f"{commands}\nECHO {mark}\n")
        return read_until(self._session, mark, patience_s, "Redis")[:-1]
