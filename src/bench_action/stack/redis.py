"""Talk to Redis through its own client, inside its container."""

import secrets

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError

_ANSWER_S = 10.0


class Redis:
    """The one Redis server of a run."""

    def __init__(self, engine: Engine, handle: Handle) -> None:
        self.handle = handle
        self._engine = engine
        self._session: Session | None = None

    def probe(self) -> str:
        """Return an empty text once it answers, else why not; while it loads its data, it does not answer."""
        _, output = self._engine.exec(self.handle, ["redis-cli", "-p", str(self.handle.port), "ping"])
        return "" if output.strip() == "PONG" else output.strip() or "no answer to PING"

    def open(self) -> None:
        """Connect to it."""
        self._session = self._engine.session(self.handle, ["redis-cli", "-p", str(self.handle.port)])
        self.command_calls()  # from now on our own INFO is among the calls, so that a reset is always noticed

    def url(self, database: int) -> str:
        """Return the URL by which a client reaches a database."""
        return f"redis://{self.handle.host}:{self.handle.port}/{database}"

    def integer(self, database: int, key: str) -> int:
        """Read the integer at a key; 0 if there is no integer."""
        _, *lines = self._converse(f'SELECT {database}\nGET "{key}"')
        value = lines[0] if len(lines) == 1 else ""
        return int(value) if value.lstrip("-").isdecimal() else 0

    def flush(self, database: int) -> None:
        """Delete all keys of a database."""
        self._converse(f"SELECT {database}\nFLUSHDB")

    def command_calls(self) -> dict[str, int]:
        """Read the calls of each command since the server started; a subcommand is named like `client|setinfo`."""
        calls = {}
        for line in self._converse("INFO commandstats"):
            name, _, detail = line.strip().partition(":calls=")
            if detail:
                calls[name.removeprefix("cmdstat_")] = int(detail.partition(",")[0])
        return calls

    def _converse(self, commands: str) -> list[str]:
        if self._session is None:
            raise StackError("Redis was queried before the connection was opened")
        mark = secrets.token_hex(16)  # a value may have lines of any kind, but not this one
        self._session.send(f"{commands}\nECHO {mark}\n")
        lines: list[str] = []
        while (line := self._session.read_line(_ANSWER_S)) != mark:
            if line is None:
                raise StackError("Redis did not answer", cause=f"no output for {_ANSWER_S:g} s")
            lines.append(line)
        return lines
