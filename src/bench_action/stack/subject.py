"""A subject: a variant at a revision, with a database and a Redis number of its own."""

from dataclasses import dataclass

from bench_action.config.schema import Variant
from bench_action.engine.protocol import Handle
from bench_action.model.result import Revision, SubjectInfo
from bench_action.stack.images import Image
from bench_action.stack.postgres import Postgres
from bench_action.stack.redis import Redis


@dataclass(frozen=True, slots=True)
class Database:
    """A subject's own database, made from `template`, which holds schema and seed.

    `role` owns it, and is who the subject logs in as: one for all revisions of a variant.
    """

    server: Postgres
    name: str
    role: str
    template: str

    def url(self, database: str | None = None) -> str:
        """How the subject reaches it."""
        return self.server.url(self.role, database or self.name)

    def recreate(self) -> None:
        """A fresh copy of the template; whoever is connected is cut off."""
        self.server.drop_database(self.name)
        self.server.create_database(self.name, self.role, self.template)

    def execute(self, text: str) -> list[str]:
        """Run statements in it as superuser, so that they do not count as the subject's; their rows."""
        return self.server.execute(text, self.name)

    def connections(self) -> int:
        """The subject's connections to it now."""
        return self.server.connections(self.name, self.role)


@dataclass(frozen=True, slots=True)
class Cache:
    """A subject's own Redis database number."""

    server: Redis
    number: int

    def url(self) -> str:
        """How the subject reaches it."""
        return self.server.url(self.number)

    def integer(self, key: str) -> int:
        """The integer at a key, 0 where there is none."""
        return self.server.integer(self.number, key)

    def flush(self) -> None:
        """Empty it."""
        self.server.flush(self.number)


@dataclass(frozen=True, slots=True)
class Subject:
    """Started, and ready once the stack is up."""

    variant: str
    revision: Revision
    config: Variant
    image: Image
    handle: Handle
    database: Database | None
    cache: Cache | None
    startup_s: float = 0.0
    slot: str = ""  # of a pair, whose name it then has; empty in its own place

    @property
    def name(self) -> str:
        """Head is the normal case and not named."""
        return self.variant if self.revision == "head" else f"{self.variant}@{self.revision}"

    def describe(self, failure: str = "") -> SubjectInfo:
        """Describe it for the result; `failure`: the rule that it broke."""
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


def redis_databases(count: int) -> int:
    """How many database numbers Redis must offer: number 0 is left to the user's own tools."""
    return max(16, count + 1)
