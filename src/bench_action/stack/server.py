"""What every kind of service that we know can do: one class for each kind, listed in `kinds.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable
from urllib.parse import quote

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.model.result import Revision

_MOST, _LINE = 512 * 2**20, 50  # bytes of an answer, and what Python needs for each of its lines


class QueryError(StackError):
    """A database refused a statement. A caller that ran the user's own SQL turns it into an InputError."""


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements that were run in a database so far: key, text, calls and rows of each top-level one.

    `generation` changes when counters are reset, or discarded for lack of room. `whole`: nothing indicates that some
    statements were not counted.
    """

    rows: Sequence[tuple[str, str, int, int]]
    generation: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """The account of a server that applications use, and the name of their database."""

    user: str
    password: str = field(repr=False)
    database: str

    def address(self, handle: Handle, scheme: str) -> dict[str, str]:
        """Return how an application reaches its database on a server: what placeholders name of it."""
        account = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return {
            "host": handle.host,
            "port": str(handle.port),
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "url": f"{scheme}://{account}@{handle.host}:{handle.port}/{quote(self.database, safe='')}",
        }


@dataclass(frozen=True, slots=True)
class Setup:
    """How a service is configured: its environment, its settings and what else is on its command line."""

    env: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: Sequence[str] = ()


def require_copied(lines: Sequence[str], mark: str, what: str) -> None:
    """Require that what copies a database said that it was both written and read. Raises StackError with its log."""
    if lines[-1] != f"{mark} read 0" or f"{mark} written 0" not in lines:
        raise StackError(f"could not copy the initial data of {what}", log=[x for x in lines if mark not in x][-10:])


def read_until(session: Session, mark: str, patience_s: float, name: str) -> list[str]:
    """Read lines up to and including the one that begins with the mark, which nothing else can contain.

    Raises StackError if none comes for so many seconds, or if there are more than any answer of a service needs.
    """
    lines: list[str] = []
    size = 0
    while not lines or not lines[-1].startswith(mark):
        line = session.read_line(patience_s)
        if line is None:
            raise StackError(f"{name} did not answer", cause=f"no output for {patience_s:g} s")
        size += len(line) + _LINE
        if size > _MOST:
            raise StackError(
                f"{name} answered with more than {_MOST // 2**20} MiB",
                cause="a query of a check returned that much",
                advice="ask for less: a check needs one number",
            )
        lines.append(line)
    return lines


class Server(Protocol):
    """A running service of a kind that we know. Every method may raise StackError.

    `booleans`: how its settings write true and false.
    """

    handle: Handle
    booleans: tuple[str, str]

    @classmethod
    def connect(cls, engine: Engine, handle: Handle, setup: Setup) -> Self:
        """Make the client of a server that has been started; nothing is sent to it yet."""

    @staticmethod
    def complete(env: Mapping[str, str], password: str) -> dict[str, str]:
        """Add to a service's environment what its image needs and the configuration leaves open."""

    def probe(self) -> str:
        """Return an empty text once it answers over the network, else why not."""

    def open(self) -> None:
        """Prepare it for counting, once it is ready."""

    def close(self) -> None:
        """Close all connections."""

    def address(self) -> dict[str, str]:
        """Return how an application reaches it: what placeholders name of it."""


@runtime_checkable
class DatabaseServer(Server, Protocol):
    """A database server of a slot, whose data are made once, in one slot, and copied to the others.

    Applications use `login`. We use an account and a database of our own, so that what we do is not counted as theirs.
    A template is a database that holds what a subject begins with.
    """

    login: Login

    def copied_to(self, handle: Handle) -> Self:
        """Return the server of another slot, whose data are a copy of this one's."""

    def adopt(self, origin: Handle, revision: Revision) -> None:
        """Copy the application's database of another server of the same image, in the same slot.

        A revision's subjects begin with it in the place of what this server's image has made.
        """

    def renew(self, template: str = "", *, revision: Revision = "head") -> None:
        """Replace the application's database by a copy of a template; clients that are connected are cut off.

        `template`: empty for the database as the image has made it, for this revision. With a template, a subject
        follows, so what the last one has changed outside its database is undone too, as far as the server allows.
        """

    def analyse(self, patience_s: float) -> None:
        """Collect the planner's statistics on the tables of the application's database."""

    def keep_as(self, template: str) -> None:
        """Turn the application's database into a template; clients that are connected are cut off."""

    def drop_template(self, template: str) -> None:
        """Drop a template."""

    def describe_template(self, template: str) -> list[str]:
        """List the schema of a template and the rows of each table: equal for two that look the same to the planner."""

    def execute(self, text: str) -> list[str]:
        """Run statements in the application's database as our account; return their rows, one line each.

        Raises QueryError for the first that fails.
        """

    def connections(self) -> int:
        """Count the connections that applications have to their database now."""

    def statements(self) -> Statements:
        """Read what has been run on the server, except by us."""
