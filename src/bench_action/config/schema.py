"""Models of the configuration (`bench.yml`). `bench-action schema` generates the JSON Schema for editors from them."""

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from bench_action.config.gates import Gate, Gates, check_gates, default_gates
from bench_action.config.units import Seconds, WholeSeconds
from bench_action.model.machine import OPEN_FILES

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
    """Base class of every part: immutable, and rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ready(Model):
    """When a container counts as ready: once `path` answers with status 200, within `timeout`."""

    path: UrlPath = "/"
    timeout: Seconds = Field(30.0, gt=0, le=600)


class Service(Model):
    """A container that subjects depend on. The keys `postgres` and `redis` imply their `kind`."""

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
            raise ValueError("a service of kind other needs `port`: it is ready when `ready.path` answers on it")
        return self


class Build(Model):
    """How a variant's image is built. `context` is relative to the configuration file, `dockerfile` to `context`."""

    context: str
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: dict[str, str] = {}


def _build_from_text(value: object) -> object:
    return {"context": value} if isinstance(value, str) else value


class Local(Model):
    """How the local engine runs a variant: a command (`{port}` is its port) in its own virtual environment."""

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
    ulimits: Ulimits = {"nofile": OPEN_FILES}
    local: Local | None = None
    keep_alive: bool = Field(True, description="whether the server keeps connections open between requests")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.build is None) == (self.image is None):
            raise ValueError("set exactly one of `build` and `image`")
        return self


StatusCode = Annotated[int, Field(ge=100, le=599)]
StatusClass = Annotated[str, StringConstraints(pattern=r"^[1-5]xx$")]


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


class ExpectedReply(Model):
    """What is expected of every reply to a profile's requests, both when counting and under load."""

    status: Annotated[
        list[StatusCode | StatusClass],
        BeforeValidator(_as_list, json_schema_input_type=StatusCode | StatusClass | list[StatusCode | StatusClass]),
        Field(min_length=1, description="such as `200`, `2xx` or `[200, 404]`"),
    ] = ["2xx"]
    size: Literal["varies"] | None = Field(None, description="`varies`: the size of replies may differ under load")

    def accepts(self, status: int) -> bool:
        """Whether this status is expected."""
        return any(expected in (status, f"{status // 100}xx") for expected in self.status)

    @property
    def statuses(self) -> str:
        """The expected statuses, for messages."""
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
        """Whether its requests may change data (RFC 9110, 9.2.1: requests with safe methods do not)."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}

    @model_validator(mode="after")
    def _replies_have_bodies(self) -> Self:
        if self.method == "HEAD":  # wrk's parser does not know which request a reply belongs to
            raise ValueError("wrk cannot measure HEAD: it waits for the body that the reply announces; use GET")
        return self

    @model_validator(mode="after")
    def _threads_share_equally(self) -> Self:
        # wrk gives every thread connections // threads and drops the rest (docs/architecture.md, "Reading wrk")
        if self.connections % self.threads:
            raise ValueError(
                f"connections must be a multiple of threads: wrk would open only "
                f"{self.connections // self.threads * self.threads} of {self.connections}"
            )
        return self


class Request(Model):
    """A request that a check sends."""

    path: UrlPath = "/"
    method: Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")] = "GET"
    headers: Headers = {}
    body: str = ""


class ExpectedWork(Model):
    """The exact work per request. What is left out is not checked."""

    queries: int | None = Field(None, ge=0)
    rows: int | None = Field(None, ge=0)
    cache_commands: int | None = Field(None, ge=0)


class Changes(Model):
    """The exact changes that each request must make."""

    sql: dict[str, int] = Field({}, description="a query that returns one number → how much each request adds to it")
    redis: dict[str, int] = Field({}, description="the key of an integer → how much each request adds to it")


class Expect(Model):
    """What a check expects of every reply. White space is collapsed before texts are compared."""

    status: int | None = Field(None, ge=100, le=599)
    headers: Headers = {}
    contains: list[str] = []
    excludes: list[str] = []
    body: str | None = None
    json_sql: dict[str, str] = Field({}, description="a key of the JSON reply → the query that must return its number")
    work: ExpectedWork = ExpectedWork()
    changes: Changes = Changes()
    same: Literal["all-variants"] | None = None


class Check(Model):
    """A rule that every variant must pass before it is measured."""

    name: Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$")]
    rule: str = Field("", description="where the rule is documented; shown in the message")
    request: Request = Request()
    repeat: int = Field(1, ge=1, le=1000)
    before_sql: str = Field("", description="runs in the subject's database before the requests")
    after_sql: str = Field("", description="runs after the requests, even if they failed")
    expect: Expect = Expect()

    def require_services(self, kinds: Collection[str]) -> None:
        """Raise ValueError if this check needs a service whose kind is not in `kinds`."""
        expect = self.expect
        if "redis" not in kinds and (expect.changes.redis or expect.work.cache_commands):
            raise ValueError(f"the check {self.name!r} needs Redis, but `services` has no service of kind redis")
        sql = self.before_sql or self.after_sql or expect.changes.sql or expect.json_sql
        if "postgres" not in kinds and (sql or expect.work.queries or expect.work.rows):
            raise ValueError(
                f"the check {self.name!r} needs PostgreSQL, but `services` has no service of kind postgres"
            )


class Load(Model):
    """The container that wrk runs in."""

    image: str | None = Field(None, description="an image with wrk and python3; if left out, one is built when needed")
    ulimits: Ulimits = {"nofile": OPEN_FILES}


def _add_kinds(value: object) -> object:
    """Set the kind of the services `postgres` and `redis`."""
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

    services: Annotated[dict[Name, Service], BeforeValidator(_add_kinds)] = Field(
        default_factory=lambda: dict(DEFAULT_SERVICES), validate_default=True
    )
    load: Load = Load()
    seed: str | None = None
    secrets: list[str] = []
    variants: dict[Name, Variant] = Field(min_length=1)
    profiles: dict[Name, Profile] = {}
    compare: list[tuple[Name, Name]] = Field([], description="pairs of variants whose ratio the report shows")
    control: Name | None = Field(
        None,
        description="the unchanging variant that trends are normalised against: one of `variants`, or `built-in`",
    )
    checks: list[Check] = []
    work: dict[Name, ExpectedWork] = Field({}, description="profile → work per request; any deviation fails the run")
    gates: dict[str, Gate | None] = Field({}, description="metric → from which size on a change counts; `null`: never")

    @property
    def all_gates(self) -> Gates:
        """The gates of this configuration, and the default gates of metrics that it does not mention."""
        merged = {**default_gates(), **self.gates}
        return {name: gate for name, gate in merged.items() if gate is not None}

    @model_validator(mode="after")
    def _gates_and_work_fit(self) -> Self:
        check_gates(self.gates)
        if self.profiles and (unknown := set(self.work) - set(self.profiles)):
            raise ValueError(f"`work` names profiles that do not exist: {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _requests_are_literal(self) -> Self:
        """Reject placeholders of secrets in requests, which are sent literally."""
        requests: list[tuple[str, Request | Profile]] = [(f"profile {name}", p) for name, p in self.profiles.items()]
        requests += [(f"check {check.name!r}", check.request) for check in self.checks]
        for where, request in requests:
            secrets = {match[1] for text in request.headers.values() for match in SECRET.finditer(text)}
            secrets |= {match[1] for match in SECRET.finditer(request.path + request.body)} & set(self.secrets)
            if secrets:
                raise ValueError(
                    f"the request of the {where} contains `${{{min(secrets)}}}`, which is sent literally: secrets are "
                    "filled in only in a variant's `env`. Write a test token that `env` or the seed makes valid"
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
            raise ValueError(f"{taken[0]}-base is the name of {taken[0]} at the base revision: choose another name")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        unknown = {name for pair in self.compare for name in pair} - set(self.variants)
        if unknown:
            raise ValueError(f"`compare` names variants that do not exist: {', '.join(sorted(unknown))}")
        if same := [name for name, other in self.compare if name == other]:
            raise ValueError(f"`compare` pairs {same[0]} with itself")
        if ours := [name for name in (*self.variants, *self.services) if name.startswith("bench-action")]:
            raise ValueError(f"the name {ours[0]} is reserved: it must not begin with bench-action")
        if clash := set(self.variants) & set(self.services):
            raise ValueError(f"a variant and a service share the name {', '.join(sorted(clash))}")
        kinds = [service.kind for service in self.services.values()]
        if self.seed and "postgres" not in kinds:
            raise ValueError("`seed` needs a service of kind postgres")
        for check in self.checks:
            check.require_services(kinds)
        names = [check.name for check in self.checks]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two checks share the name {', '.join(sorted(repeated))}")
        return self


class PairPhase(Model):
    """A phase of pairs: the `warmup` and `slice` of a block; it ends after `blocks`, or after `seconds` per pair."""

    warmup: WholeSeconds = Field(ge=0, le=60)
    slice: WholeSeconds = Field(ge=1, le=60)
    blocks: int = Field(1000, ge=0, le=1000)
    seconds: Seconds = Field(3600.0, gt=0)


class Policy(Model):
    """A preset: how to measure. Its profiles are used if the configuration has none."""

    blocks: int = Field(ge=1, le=1000, description="blocks of `capacity`; with a baseline, `paired_blocks` instead")
    paired_blocks: int = Field(ge=1, le=1000)
    warmup: WholeSeconds = Field(ge=0, le=600)
    count_requests: int = Field(ge=1, le=10_000)
    latency: PairPhase
    duet: PairPhase
    minutes: float | None = Field(None, gt=0, description="measuring ends after this, at the end of a block")
    profiles: dict[Name, Profile]
