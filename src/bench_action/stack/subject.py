"""A subject: a variant at a revision, with a dedicated database and Redis number."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench_action.config.schema import Variant
from bench_action.engine.protocol import Handle
from bench_action.model.result import Revision, SubjectInfo
from bench_action.stack.images import Image
from bench_action.stack.postgres import Postgres, Statements
from bench_action.stack.redis import Redis


@dataclass(frozen=True, slots=True)
class Database:
    """A subject's database, copied from `template`, which holds schema and seed.

    `role` owns it, and the subject logs in as `role`: one role for all revisions of a variant.
    """

    server: Postgres
    name: str
    role: str
    template: str

    def url(self) -> str:
        """Return the URL by which the subject reaches it."""
        return self.server.url(self.role, self.name)

    def address(self) -> dict[str, str]:
        """Return what placeholders name of it, except host and port."""
        password = self.server.password(self.role)
        return {"user": self.role, "password": password, "database": self.name, "url": self.url()}

    def recreate(self) -> None:
        """Replace it with a fresh copy of the template; clients that are connected are cut off."""
        self.server.drop_database(self.name)
        self.server.create_database(self.name, self.role, self.template)

    def execute(self, text: str) -> list[str]:
        """Run statements in it as superuser, so that they do not count as the subject's; return their rows."""
        return self.server.execute(text, self.name)

    def connections(self) -> int:
        """Count the subject's connections to it now."""
        return self.server.connections(self.name, self.role)

    def statements(self) -> Statements:
        """Read the statements that were run in it so far."""
        return self.server.statements(self.name)


@dataclass(frozen=True, slots=True)
class Cache:
    """A subject's Redis database, known by its number."""

    server: Redis
    number: int

    def url(self) -> str:
        """Return the URL by which the subject reaches it."""
        return self.server.url(self.number)

    def address(self) -> dict[str, str]:
        """Return what placeholders name of it, except host and port."""
        return {"database": str(self.number), "url": self.url()}

    def integer(self, key: str) -> int:
        """Read the integer at a key; 0 if there is no integer."""
        return self.server.integer(self.number, key)

    def flush(self) -> None:
        """Delete all its keys."""
        self.server.flush(self.number)

    def command_calls(self) -> Mapping[str, int]:
        """Read the calls of each command, in all databases: Redis does not count them by database."""
        return self.server.command_calls()


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject that was started; it is ready once the stack is up.

    `slot`: the slot of a pair that it is in, and whose host name it has; empty outside pairs.
    """

    variant: str
    revision: Revision
    config: Variant
    image: Image
    handle: Handle
    database: Database | None
    cache: Cache | None
    startup_s: float = 0.0
    slot: str = ""

    @property
    def name(self) -> str:
        """Its name in messages: head is the normal case, so only base is marked."""
        return self.variant if self.revision == "head" else f"{self.variant}@{self.revision}"

    def describe(self, failure: str = "") -> SubjectInfo:
        """Describe it for the result; `failure`: the rules that it broke."""
        return SubjectInfo(
            variant=self.variant,
            revision=self.revision,
            image=self.image.name,
            image_id=self.image.id,
            startup_s=self.startup_s,
            verified=not failure,
            failure=failure,
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """All host names by which a variant is reached: head, base, and the two slots of a pair."""
        return (self.variant, *(f"{self.variant}-{suffix}" for suffix in ("base", "a", "b")))
