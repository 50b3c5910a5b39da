"""The configuration's models (`bench.yml`). JSON Schema for editors comes from here (`bench-action schema`)."""

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from bench_action.config.gates import Gate, Gates, check_gates, default_gates
from bench_action.config.units import Seconds, WholeSeconds

# A variant's name becomes a host name (Django refuses `_` in one), a database and an image tag.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
UrlPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")]
Port = Annotated[int, Field(ge=1, le=65535)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[^\r\n\x00]*$")]
Headers = dict[Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")], HeaderValue]
Environment = dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str]
Ulimits = dict[Annotated[str, StringConstraints(pattern=r"^(nofile|nproc)$")], Annotated[int, Field(ge=64)]]


BUILT_IN = "built-in"
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9-]*)\.([a-z]+)\}")
SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Model(BaseModel):
    """Base of every part: immutable, and unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ready(Model):
    """When a container counts as ready: `path` answers 200 within `timeout`."""

    path: UrlPath = "/"
    timeout: Seconds = Field(30.0, gt=0, le=600)


class Service(Model):
    """A container that subjects depend on. PostgreSQL and Redis are known by `kind`, which the key implies."""

    kind: Literal["postgres", "redis", "other"]
    image: str
    settings: dict[str, str | int | float | bool] = {}
    env: Environment = {}
    command: list[str] = []
    port: Port | None = None
    ready: Ready = Ready()

    @model_validator(mode="after")
    def _other_has_port(self) -> Self:
        if self.kind == "other" and self.port is None:
            raise ValueError("a service of kind other needs `port`, so that its readiness can be seen")
        return self


class Build(Model):
    """How a variant's image is built. Paths are relative to the configuration file, `dockerfile` to the context."""

    context: str
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: dict[str, str] = {}


def _build_from_text(value: object) -> object:
    return {"context": value} if isinstance(value, str) else value


class Local(Model):
    """How a variant is run by the local engine: a command (`{port}` is its port), in an environment of its own."""

    command: list[str] = Field(min_length=1)
    requirements: str | None = None


class Variant(Model):
    """One way to build and serve the application."""

    build: Annotated[Build | None, BeforeValidator(_build_from_text, json_schema_input_type=str | Build)] = None
    image: str | None = None
    command: list[str] = []
    setup: list[str] = []
    port: Port = 8000
    ready: Ready = Ready()
    env: Environment = {}
    ulimits: Ulimits = {"nofile": 16384}
    local: Local | None = None
    keep_alive: bool = Field(True, description="whether the server keeps a connection open between requests")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.build is None) == (self.image is None):
            raise ValueError("exactly one of `build` and `image`")
        return self


StatusCode = Annotated[int, Field(ge=100, le=599)]
StatusClass = Annotated[str, StringConstraints(pattern=r"^[1-5]xx$")]


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


class ExpectedReply(Model):
    """What every reply to a profile's request is, when it is counted and under load."""

    status: Annotated[
        list[StatusCode | StatusClass],
        BeforeValidator(_as_list, json_schema_input_type=StatusCode | StatusClass | list[StatusCode | StatusClass]),
        Field(min_length=1, description="such as `200`, `2xx` or `[200, 404]`"),
    ] = ["2xx"]
    size: Literal["varies"] | None = Field(None, description="`varies`: replies need not be as large as when counted")

    def accepts(self, status: int) -> bool:
        """Whether a reply may have this status."""
        return any(expected in (status, f"{status // 100}xx") for expected in self.status)

    @property
    def statuses(self) -> str:
        """The expected statuses, as a message names them."""
        return " or ".join(map(str, self.status))


class Profile(Model):
    """A named wrk load."""

    path: UrlPath = "/"
    method: Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")] = "GET"
    headers: Headers = {}
    body: str = ""
    connections: int = Field(ge=1, le=60_000)
    threads: int = Field(ge=1, le=512)
    duration: WholeSeconds = Field(ge=1, le=3600)
    timeout: WholeSeconds = Field(2, ge=1, le=60)
    expect: ExpectedReply = ExpectedReply()

    @property
    def writes(self) -> bool:
        """Whether its requests may change data (RFC 9110, 9.2.1: safe methods do not)."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}

    @model_validator(mode="after")
    def _has_bodies(self) -> Self:
        if self.method == "HEAD":  # its parser does not know which request a reply belongs to
            raise ValueError("wrk cannot measure HEAD: it waits for the body that the reply announces; use GET")
        return self

    @model_validator(mode="after")
    def _every_thread_equal(self) -> Self:
        # wrk gives every thread connections // threads and silently drops the rest (facts: `-c 16 -t 10` is 10).
        if self.connections % self.threads:
            raise ValueError(
                f"connections must be a multiple of threads: wrk would open only "
                f"{self.connections // self.threads * self.threads} of {self.connections}"
            )
        return self


class Request(Model):
    """A request of a check."""

    path: UrlPath = "/"
    method: Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")] = "GET"
    headers: Headers = {}
    body: str = ""


class ExpectedWork(Model):
    """Work per request, exact; left out means not looked at."""

    queries: int | None = Field(None, ge=0)
    rows: int | None = Field(None, ge=0)
    cache_commands: int | None = Field(None, ge=0)


class Changes(Model):
    """What each request must change, exactly."""

    sql: dict[str, int] = Field({}, description="a query of one number → how much each request adds to it")
    redis: dict[str, int] = Field({}, description="an integer key → how much each request adds to it")


class Expect(Model):
    """What a check expects of every reply. Texts are compared after white space has been collapsed."""

    status: int | None = Field(None, ge=100, le=599)
    headers: Headers = {}
    contains: list[str] = []
    excludes: list[str] = []
    body: str | None = None
    json_sql: dict[str, str] = Field({}, description="a key of the JSON reply → the query whose number it must be")
    work: ExpectedWork = ExpectedWork()
    changes: Changes = Changes()
    same: Literal["all-variants"] | None = None


class Check(Model):
    """A rule that every variant must pass before it is measured."""

    name: Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$")]
    rule: str = Field("", description="where the rule is written down, for the message")
    request: Request = Request()
    repeat: int = Field(1, ge=1, le=1000)
    before_sql: str = Field("", description="run in the subject's database before the requests")
    after_sql: str = Field("", description="run after them, also when they failed")
    expect: Expect = Expect()

    def require(self, kinds: Collection[str]) -> None:
        """Raises ValueError where it asks a service that there is none of."""
        expect = self.expect
        if "redis" not in kinds and (expect.changes.redis or expect.work.cache_commands):
            raise ValueError(f"the check {self.name!r} looks at Redis, and there is no such service")
        sql = self.before_sql or self.after_sql or expect.changes.sql or expect.json_sql
        if "postgres" not in kinds and (sql or expect.work.queries or expect.work.rows):
            raise ValueError(f"the check {self.name!r} looks at PostgreSQL, and there is no such service")


class Load(Model):
    """The container that wrk runs in."""

    image: str | None = Field(None, description="an image with wrk and python3; left out: built when first needed")
    ulimits: Ulimits = {"nofile": 16384}


def _services_with_kind(value: object) -> object:
    """The keys `postgres` and `redis` imply their kind."""
    if not isinstance(value, dict):
        return value
    return {
        key: {"kind": key, **body} if key in ("postgres", "redis") and isinstance(body, dict) else body
        for key, body in value.items()
    }


DEFAULT_SERVICES: dict[str, Any] = {
    "postgres": {"image": "postgres:17", "settings": {"max_connections": 500}},
    "redis": {"image": "redis:8"},
}


class Config(Model):
    """The whole configuration."""

    services: Annotated[dict[Name, Service], BeforeValidator(_services_with_kind)] = Field(
        default_factory=lambda: dict(DEFAULT_SERVICES), validate_default=True
    )
    load: Load = Load()
    seed: str | None = None
    secrets: list[str] = []
    variants: dict[Name, Variant] = Field(min_length=1)
    profiles: dict[Name, Profile] = {}
    compare: list[tuple[Name, Name]] = Field([], description="pairs of variants whose ratio the report states")
    control: Name | None = Field(
        None, description="a variant that stays as it is, or `built-in` for the tool's own: trends are ratios to it"
    )
    checks: list[Check] = []
    work: dict[Name, ExpectedWork] = Field({}, description="profile → work per request; a deviation fails the run")
    gates: dict[str, Gate | None] = Field({}, description="metric → which change counts; `null`: none does")

    @property
    def all_gates(self) -> Gates:
        """The gates of this configuration, and the defaults of the metrics that it does not mention."""
        merged = {**default_gates(), **self.gates}
        return {name: gate for name, gate in merged.items() if gate is not None}

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        check_gates(self.gates)
        if self.profiles and (unknown := set(self.work) - set(self.profiles)):
            raise ValueError(f"`work` names profiles that do not exist: {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _requests_are_literal(self) -> Self:
        """A request is sent as it is written: one that asks for a secret would be refused by the application."""
        named: list[tuple[str, Request | Profile]] = [(f"profile {name}", one) for name, one in self.profiles.items()]
        named += [(f"check {check.name!r}", check.request) for check in self.checks]
        for where, request in named:
            found = {match[1] for text in request.headers.values() for match in SECRET.finditer(text)}
            found |= {match[1] for match in SECRET.finditer(request.path + request.body)} & set(self.secrets)
            if found:
                raise ValueError(
                    f"the {where} has `${{{min(found)}}}` in its request, which would be sent as it is: secrets are "
                    "filled into a variant's `env` only. Write a token for tests that its `env` or the seed makes valid"
                )
        return self

    @model_validator(mode="after")
    def _control_exists(self) -> Self:
        if self.control is not None and self.control not in {*self.variants, BUILT_IN}:
            raise ValueError(f"`control` names a variant that does not exist: {self.control}")
        return self

    @model_validator(mode="after")
    def _bases_have_names(self) -> Self:
        if taken := [name for name in self.variants if f"{name}-base" in self.variants]:
            raise ValueError(f"{taken[0]}-base is what the base revision of {taken[0]} is called: choose another name")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        unknown = {name for pair in self.compare for name in pair} - set(self.variants)
        if unknown:
            raise ValueError(f"`compare` names variants that do not exist: {', '.join(sorted(unknown))}")
        if same := [name for name, other in self.compare if name == other]:
            raise ValueError(f"`compare` pairs {same[0]} with itself")
        if ours := [name for name in (*self.variants, *self.services) if name.startswith("bench-action")]:
            raise ValueError(f"the name {ours[0]} is ours: it must not begin with bench-action")
        if clash := set(self.variants) & set(self.services):
            raise ValueError(f"a variant and a service share the name {', '.join(sorted(clash))}")
        kinds = [service.kind for service in self.services.values()]
        for kind in ("postgres", "redis"):
            if kinds.count(kind) > 1:
                raise ValueError(f"one service of kind {kind}, not {kinds.count(kind)}")
        if self.seed and "postgres" not in kinds:
            raise ValueError("`seed` needs a service of kind postgres")
        for check in self.checks:
            check.require(kinds)
        doubled = {check.name for check in self.checks if sum(c.name == check.name for c in self.checks) > 1}
        if doubled:
            raise ValueError(f"two checks share the name {', '.join(sorted(doubled))}")
        return self


class Paced(Model):
    """A phase of pairs: `warmup` and `slice` of a block, and its end, by blocks or by seconds a pair."""

    warmup: WholeSeconds = Field(ge=0, le=60)
    slice: WholeSeconds = Field(ge=1, le=60)
    blocks: int = Field(1000, ge=0, le=1000)
    seconds: Seconds = Field(3600.0, gt=0)


class Policy(Model):
    """A preset: how to measure. Its profiles are used where the configuration has none."""

    blocks: int = Field(ge=1, le=1000, description="of `capacity`; with a baseline, `paired_blocks`")
    paired_blocks: int = Field(ge=1, le=1000)
    warmup: WholeSeconds = Field(ge=0, le=600)
    count_requests: int = Field(ge=1, le=10_000)
    latency: Paced
    duet: Paced
    minutes: float | None = Field(None, gt=0, description="after which measuring ends, at a block's end")
    profiles: dict[Name, Profile]
