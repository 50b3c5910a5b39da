"""Models of the configuration (`bench.yml`). `bench-action schema` generates the JSON Schema for editors from them."""

import hashlib
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    model_validator,
)

from bench_action.config.gates import Gate, Gates, Share, check_gates, default_gates
from bench_action.config.kinds import SQL_KINDS, ServiceKind, find_port, guess_kind, is_initial
from bench_action.config.secrets import check_readable, check_settable
from bench_action.config.templates import (
    FromSession,
    check_header_name,
    check_path,
    check_template,
    find_placeholders,
    shorten_template,
)
from bench_action.config.units import Bytes, Seconds, WholeSeconds
from bench_action.model.hosts import Hosts
from bench_action.model.machine import OPEN_FILES
from bench_action.model.result import name_route

# A variant's name becomes a host name (Django refuses `_` in one), a database and an image tag.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
UrlPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")]
Port = Annotated[int, Field(ge=1, le=65535)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[^\r\n\x00]*$")]
_HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
Headers = dict[Annotated[str, StringConstraints(pattern=_HEADER_NAME)], HeaderValue]
# of requests under load, in which placeholders for data are filled in
PathTemplate = Annotated[str, StringConstraints(pattern=r"^/(\{[^{}]*\}|[!-~])*$"), AfterValidator(check_path)]
HeaderTemplates = dict[
    Annotated[str, BeforeValidator(check_header_name), StringConstraints(pattern=_HEADER_NAME)],
    Annotated[HeaderValue, AfterValidator(check_template)],
]
Template = Annotated[str, AfterValidator(check_template)]
RouteName = Annotated[str, StringConstraints(pattern=r"^[!-_a-~]([ -_a-~]*[!-_a-~])?$", max_length=80)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[^=\s\x00]+$")]
SecretName = Annotated[str, AfterValidator(check_readable)]
ContainerPath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$")]
Amount = Annotated[int, Field(ge=0, le=2**53)]  # JSON's readers keep no larger number exactly
Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]

BUILT_IN = "built-in"
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")  # their usual names
USUAL_FILES = ("bench.yml", *COMPOSE_FILES)  # the first of them that a folder has is its configuration
# `${name.part}` and `{{name.part}}` are other programs' own
PLACEHOLDER = re.compile(r"(?<![{$])\{([a-z][a-z0-9-]*)\.([a-z]+)\}(?!\})")
SECRET = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # `$${` is a literal `${`, as in a compose file
_EXTENSION = "x-"
_FEWEST_FILES = 64  # or processes: with less, no server starts
_LEAST_MEMORY = 6 * 1024**2


def parse_environment(value: object) -> object:
    """Parse variables in any form that a compose file allows: a mapping with numbers, or a list of `NAME=value`."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = {name: text if found else None for name, found, text in (item.partition("=") for item in value)}
    return {name: _write_scalar(item) for name, item in value.items()} if isinstance(value, dict) else value


def _write_scalar(value: object) -> object:
    """Write a number or a boolean as YAML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def parse_command(value: object) -> object:
    """Split a command that is written as one text, as a shell and a compose file do. Raises ValueError."""
    if not isinstance(value, str):
        return [_write_scalar(word) for word in value] if isinstance(value, list) else value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"could not split the command into words: {error}".lower()) from error


def parse_conditions(value: object) -> object:
    """Parse `depends_on` in any form that a compose file allows: a list, or a mapping of names to conditions."""
    if isinstance(value, list):
        return dict.fromkeys(value, "service_started") if all(isinstance(name, str) for name in value) else value
    if not isinstance(value, dict):
        return value
    return {name: item.get("condition", item) if isinstance(item, dict) else item for name, item in value.items()}


def _refuse_priority(limits: object) -> object:
    for name in ("rtprio", "nice"):
        if isinstance(limits, dict) and name in limits:
            raise ValueError(
                f"`{name}` is refused: with a higher priority, it would take CPU from what it is compared with"
            )
    return limits


def _check_ulimits(limits: dict[str, int]) -> dict[str, int]:
    for name in ("nofile", "nproc"):
        if limits.get(name, _FEWEST_FILES) < _FEWEST_FILES:
            raise ValueError(f"`{name}` must be at least {_FEWEST_FILES}")
    return limits


_VALUES = dict[str, str | int | float | bool] | list[str]
Environment = Annotated[dict[VariableName, str], BeforeValidator(parse_environment, json_schema_input_type=_VALUES)]
Command = Annotated[list[str], BeforeValidator(parse_command, json_schema_input_type=str | list[str])]
Conditions = Annotated[
    dict[Name, Condition],
    BeforeValidator(parse_conditions, json_schema_input_type=dict[Name, Condition | dict[str, Any]] | list[Name]),
]
Ulimits = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=r"^(nofile|nproc|memlock|core|stack)$")],
        Annotated[int, Field(ge=-1, le=2**53)],
    ],
    BeforeValidator(_refuse_priority),
    AfterValidator(_check_ulimits),
]


class Model(BaseModel):
    """Base class of every part: immutable, and rejects unknown keys, except those that begin with `x-`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"patternProperties": {f"^{_EXTENSION}": {}}},
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_extensions(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if not (isinstance(key, str) and key.startswith(_EXTENSION))}


StatusCode = Annotated[int, Field(ge=100, le=599)]
StatusClass = Annotated[str, StringConstraints(pattern=r"^[1-5]xx$")]


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


Statuses = Annotated[
    list[StatusCode | StatusClass],
    BeforeValidator(_as_list, json_schema_input_type=StatusCode | StatusClass | list[StatusCode | StatusClass]),
    Field(min_length=1, description="such as `200`, `2xx` or `[200, 404]`"),
]


class ExpectedReply(Model):
    """What is expected of every reply to a profile's requests, both when counting and under load."""

    status: Statuses = ["2xx"]
    size: Literal["varies"] | None = Field(None, description="`varies`: the size of replies may differ under load")

    def accepts(self, status: int) -> bool:
        """Whether this status is expected."""
        return any(expected in (status, f"{status // 100}xx") for expected in self.status)

    @property
    def statuses(self) -> str:
        """The expected statuses, for messages."""
        return " or ".join(map(str, self.status))


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


ReadyKind = Literal["http", "tcp", "command", "log", "healthcheck", "default"]


class Ready(Model):
    """When a container counts as ready, by exactly one kind of probe, within `timeout`.

    HTTP: `path` answers with one of `status`; `headers` and `host` (of the Host header) are sent. TCP: `tcp`, or `port`
    alone: the port accepts connections. `command` exits with status 0 in the container. A line of its output matches
    `log`. `healthcheck`: the command of the image's HEALTHCHECK exits with status 0.
    """

    path: UrlPath | None = None
    status: Statuses | None = Field(None, description="left out: 200")
    headers: Headers = {}
    host: Annotated[str, StringConstraints(pattern=r"^[^\s/@]+$")] | None = Field(
        None, description="sent as the Host header, such as `shop.example`; left out: its host name and port"
    )
    tcp: Literal[True] | None = Field(None, description="the port accepts connections")
    port: Port | None = Field(None, description="another port than `port` of the container, for HTTP or TCP")
    command: str | Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="runs in the container; a list as it is, a text by its shell"
    )
    log: Annotated[str, Field(min_length=1), AfterValidator(_check_pattern)] | None = Field(
        None, description="a regular expression that is found in a line of its output"
    )
    healthcheck: Literal[True] | None = Field(None, description="the image's own HEALTHCHECK")
    timeout: Seconds = Field(30.0, gt=0, le=600)

    @property
    def kind(self) -> ReadyKind:
        """Which probe this is; `default`: none is set."""
        return next(iter(self._list_keys()), "default")

    @property
    def request(self) -> "Request":
        """The request of an HTTP probe; subjects with another probe can be sent it as well."""
        others = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        headers = {"Host": self.host, **others} if self.host is not None else self.headers
        return Request(path=self.path or "/", headers=headers)

    @property
    def expect(self) -> ExpectedReply:
        """The reply that an HTTP probe waits for."""
        return ExpectedReply(status=self.status or [200])

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        keys = self._list_keys()
        if len(keys) > 1:
            raise ValueError(f"set only one of {' and '.join(f'`{key}`' for key in keys.values())}")
        if self.port is not None and self.kind not in {"http", "tcp"}:
            raise ValueError(f"`port` has no meaning with `{self.kind}`")
        return self

    def _list_keys(self) -> dict[ReadyKind, str]:
        """List the kinds of probe that are set: kind → the first key that belongs to it."""
        http = next((key for key in ("path", "status", "headers", "host") if getattr(self, key)), "")
        others: list[ReadyKind] = ["tcp", "command", "log", "healthcheck"]
        keys: dict[ReadyKind, str] = {"http": http, **{kind: kind for kind in others if getattr(self, kind)}}
        keys = {kind: key for kind, key in keys.items() if key}
        return keys or ({"tcp": "port"} if self.port is not None else {})


def _name_secrets(value: object) -> object:
    """Turn a list of variables into ids of the same names; what is no such list is refused later."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return value
    return {name: f"${{{name}}}" for name in value}


SecretId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
# no other keys: buildx would send the job's token to an address, and the last `type` of several counts
CACHE_SOURCE = r"^(type=gha(,(scope|version)=[^\s,]+)*|type=registry,ref=[^\s,]+|[^\s,=-][^\s,=]*)$"
CacheSource = Annotated[str, StringConstraints(pattern=CACHE_SOURCE)]


class Build(Model):
    """How an image is built. `context` is relative to the configuration file, `dockerfile` to `context`."""

    context: str
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: Environment = {}
    secrets: Annotated[
        dict[SecretId, str],
        BeforeValidator(_name_secrets, json_schema_input_type=dict[SecretId, str] | list[str]),
        Field(description="id → value of what `RUN --mount=type=secret` reads; `${NAME}` as in `env`"),
    ] = {}
    cache_from: list[CacheSource] = Field(
        [],
        description="images, or `type=registry,ref=…` and `type=gha,scope=…`, with layers that need not be built again",
    )


def _build_from_text(value: object) -> object:
    return {"context": value} if isinstance(value, str) else value


class File(Model):
    """A file or a folder that is copied into a container before it starts: `source` of the repository, or a text.

    `source` is relative to the configuration file; `mode` holds the permissions, such as 0o400 (None: as they are).
    """

    source: str | None = None
    content: str | None = None
    mode: int | None = Field(None, ge=0, le=0o7777)

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.source is None) == (self.content is None):
            raise ValueError("set exactly one of `source` and `content`")
        return self


def _file_from_text(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


Files = dict[ContainerPath, Annotated[File, BeforeValidator(_file_from_text, json_schema_input_type=str | File)]]


class Container(Model):
    """What services and variants have in common: an image, and how it runs. The keys mean what they do in compose."""

    build: Annotated[Build | None, BeforeValidator(_build_from_text, json_schema_input_type=str | Build)] = None
    image: str | None = None
    platform: str | None = Field(None, description="such as linux/amd64; refused if this machine has another one")
    entrypoint: Annotated[
        list[str] | None, BeforeValidator(parse_command, json_schema_input_type=str | list[str] | None)
    ] = Field(None, description="an empty list: none; left out: the image's")
    command: Command = []
    env: Environment = {}
    port: Port | None = None
    ready: Ready = Ready()
    depends_on: Conditions = {}
    files: Files = Field({}, description="path in the container → a file or folder of the repository, copied there")
    volumes: list[ContainerPath] = Field(
        [],
        description="folders in separate volumes, which are removed with the container; one that is also in "
        "`files` contains only those",
    )
    tmpfs: list[ContainerPath] = Field([], description="folders in memory, such as `/run` or `/run:size=64m`")
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    ulimits: Ulimits = {}
    shm_size: Amount = Field(0, description="bytes of /dev/shm; 0: the engine's default")
    memory: Bytes = Field(
        0,
        le=2**53,
        description="the most that it may use, such as `512m`, if less than its share (0)",
    )
    init: bool = False
    aliases: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]] = Field(
        [], description="more host names by which others reach it"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.build is None) == (self.image is None):
            raise ValueError("set exactly one of `build` and `image`")
        return self

    @model_validator(mode="after")
    def _has_memory_to_start(self) -> Self:
        if 0 != self.memory < _LEAST_MEMORY:
            raise ValueError(f"`memory` must be at least {_LEAST_MEMORY // 1024**2}m: no engine accepts less")
        return self


def _parse_reset(value: object) -> object:
    return value if value in ("restart", "keep") else parse_command(value)


class Service(Container):
    """A container that subjects depend on. Without `kind`, its image's name decides.

    `once`: it runs to its end, such as a migration. `worker`: it works in the background for the application.
    `reset`: how the state of a service of kind other is made new whenever a slot's data are.
    """

    kind: ServiceKind
    settings: dict[str, str | int | float | bool] = {}
    once: bool = False
    worker: bool = False
    reset: Annotated[
        Literal["restart", "keep"] | Annotated[list[str], Field(min_length=1)], BeforeValidator(_parse_reset)
    ] = Field("restart", description="how its state is made new: `restart`, `keep`, or a command that runs in it")

    @property
    def initial_files(self) -> dict[str, File]:
        """The files that a database's image runs at its first start, by their paths in the container."""
        return {path: file for path, file in self.files.items() if is_initial(path)} if self.kind in SQL_KINDS else {}

    def with_initial_files(self, files: Mapping[str, File]) -> Self:
        """Give it other files for its first start."""
        others = {path: file for path, file in self.files.items() if path not in self.initial_files}
        return self.model_copy(update={"files": {**others, **files}})

    @property
    def is_companion(self) -> bool:
        """Whether it belongs to a revision's own code, and so to a subject rather than to a slot."""
        return self.build is not None or self.once or self.worker

    @model_validator(mode="after")
    def _resets_what_is_not_known(self) -> Self:
        if self.kind != "other" and "reset" in self.model_fields_set:
            raise ValueError(f"`reset` is for services of kind other: the data of kind {self.kind} are made new anyway")
        return self

    @model_validator(mode="after")
    def _has_what_is_probed(self) -> Self:
        if self.kind != "other" and self.ready.kind == "http":
            raise ValueError(f"`ready`: a service of kind {self.kind} does not speak HTTP; its own client probes it")
        port = self.ready.port or self.port or find_port(self.kind, self.image or "")
        if self.ready.kind in {"http", "tcp"} and not port:
            raise ValueError(f"`ready` needs the `port` of the service to probe it by {self.ready.kind.upper()}")
        return self


class Local(Model):
    """How the local engine runs a variant: a command (`{port}` is its port) in its own virtual environment."""

    command: Command = Field(min_length=1)
    requirements: str | None = None


def _answers_http(ready: Ready) -> Ready:
    """Probe a variant by HTTP if nothing else is set."""
    return ready.model_copy(update={"path": "/"}) if ready.kind == "default" else ready


class Variant(Container):
    """One way to build and serve the application. `service`: the service of the compose file that it is."""

    service: str | None = Field(None, description="a service of the compose file; left out: the one of the same name")
    setup: Command = []
    port: Port = 8000
    ready: Annotated[Ready, AfterValidator(_answers_http)] = Ready(path="/")
    ulimits: Ulimits = {"nofile": OPEN_FILES}
    local: Local | None = None
    tls: bool = Field(
        False,
        description="it serves HTTPS; `{tls.cert}` and `{tls.key}` are the files of a certificate of the run",
    )
    keep_alive: bool | None = Field(
        None,
        description="whether the server keeps a connection open after a reply; left out: found out before measuring",
    )


class Request(Model):
    """A request, such as a check sends."""

    path: UrlPath = "/"
    method: Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")] = "GET"
    headers: Headers = {}
    body: str = ""

    @property
    def templates(self) -> tuple[str, ...]:
        """Every text in which placeholders may be filled in: path, values of headers, body."""
        return (self.path, *self.headers.values(), self.body)

    @property
    def writes(self) -> bool:
        """Whether it may change data (RFC 9110, 9.2.1: requests with safe methods do not)."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}


def _check_weight(weight: int) -> int:
    if weight < 1:
        raise ValueError("a weight of 0 means that the request is never sent: leave the request out")
    return weight


Weight = Annotated[int, Field(le=1000), AfterValidator(_check_weight)]
Row = Mapping[str, str]


class ExpectedWork(Model):
    """The exact work per request. What is left out is not checked."""

    queries: Amount | None = None
    rows: Amount | None = None
    cache_commands: Amount | None = None


class Route(Request):
    """One request of a mix. `weight`: how often it is sent, in proportion to the weights of the others.

    `expect`, `headers`: in addition to the profile's, or in their place.
    """

    name: RouteName | None = Field(None, description="left out: its method and path")
    weight: Weight = 1
    path: PathTemplate = "/"
    headers: HeaderTemplates = {}
    body: Template = ""
    expect: ExpectedReply | None = Field(None, description="left out: the profile's")
    work: ExpectedWork = ExpectedWork()
    _paths: tuple[str, ...] = PrivateAttr(default=())

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of a file with URLs that belong to it, in its order; none if it has one path only."""
        return self._paths

    def with_paths(self, paths: Iterable[str]) -> Self:
        """Give it the paths of a file with URLs."""
        found = self.model_copy()
        found._paths = tuple(paths)  # noqa: SLF001 (of the same class)
        return found

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.name or f"{self.method} {shorten_template(self.path.partition('?')[0])}".replace("`", "'")


class Extract(Model):
    """Where a reply contains a value, by exactly one of these.

    `json`: names and indices, such as `data.items.0.id`. `regex`: what its first group matches in the body.
    """

    json_path: Annotated[str, Field(min_length=1)] | None = Field(None, alias="json")
    header: Annotated[str, StringConstraints(pattern=_HEADER_NAME)] | None = None
    cookie: Annotated[str, Field(min_length=1)] | None = None
    regex: Annotated[str, Field(min_length=1), AfterValidator(_check_pattern)] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if len([value for value in (self.json_path, self.header, self.cookie, self.regex) if value is not None]) != 1:
            raise ValueError("set exactly one of `json`, `header`, `cookie` and `regex`")
        if self.regex is not None and re.compile(self.regex).groups != 1:
            raise ValueError("the regular expression must have one group, which is the value: write others as `(?:…)`")
        return self


ValueName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]


class SessionRequest(Request):
    """A request that is sent before the load, such as a log-in; `${NAME}` of `secrets` is filled in."""

    path: PathTemplate = "/"
    headers: HeaderTemplates = {}
    body: Template = ""
    expect: ExpectedReply = ExpectedReply(status=["2xx", "3xx"])
    extract: dict[ValueName, Extract] = {}


class Session(Model):
    """What is sent once for each of `users` after each restart, before the load. Cookies are kept and sent again."""

    requests: list[SessionRequest] = Field(min_length=1)
    users: int = Field(1, ge=1, le=1000)

    @property
    def key(self) -> str:
        """What decides its requests, as text."""
        return self.model_dump_json()

    @property
    def names(self) -> set[str]:
        """The values that its replies contain."""
        return {name for request in self.requests for name in request.extract}


def _session_from_list(value: object) -> object:
    return {"requests": value} if isinstance(value, list) else value


_PER_SECOND = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*s")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_LOWEST_RATE, _HIGHEST_RATE = 1, 100_000
_HIGHEST_SHARE = 0.95  # above, chance decides whether requests pile up


class Rate(BaseModel):
    """How many requests (of a script: iterations) are begun each second: so many, or a `share` of base's capacity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    per_second: float | None = None
    share: float | None = None

    def __str__(self) -> str:
        return f"{self.per_second:g}/s" if self.per_second is not None else f"{100 * (self.share or 0):g} %"


def _parse_rate(value: object) -> object:
    """Parse `200/s` or `60%`. Raises ValueError for other text."""
    if isinstance(value, Rate):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if match := _PER_SECOND.fullmatch(text):
        if not _LOWEST_RATE <= float(match[1]) <= _HIGHEST_RATE:
            raise ValueError(f"a rate is at least {_LOWEST_RATE}/s and at most {_HIGHEST_RATE:,}/s")
        return Rate(per_second=float(match[1]))
    if match := _SHARE.fullmatch(text):
        if not 0 < float(match[1]) <= 100 * _HIGHEST_SHARE:
            raise ValueError(f"a share of base's capacity is at most {_HIGHEST_SHARE:.0%}: more requests would pile up")
        return Rate(share=float(match[1]) / 100)
    raise ValueError("expected a number of requests each second, such as `200/s`, or a share of base's capacity: `60%`")


_PERCENTILES = ("p50", "p90", "p99", "p999")


class Objective(Model):
    """What users of a service may expect: a latency that this share of the replies does not exceed, and few errors.

    Exactly one of `p50`, `p90`, `p99` and `p999`.
    """

    p50: Seconds | None = Field(None, gt=0, le=60)
    p90: Seconds | None = Field(None, gt=0, le=60)
    p99: Seconds | None = Field(None, gt=0, le=60)
    p999: Seconds | None = Field(None, gt=0, le=60)
    errors: Share = 0.001

    @property
    def percentile(self) -> str:
        """Which percentile has a limit."""
        return next(name for name in _PERCENTILES if getattr(self, name) is not None)

    @property
    def limit_s(self) -> float:
        """The limit of that percentile."""
        return float(getattr(self, self.percentile))

    def __str__(self) -> str:
        limit = f"{1000 * self.limit_s:g} ms" if self.limit_s < 1 else f"{self.limit_s:g} s"
        return f"{self.percentile.replace('p999', 'p99.9')} ≤ {limit}"

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if len([name for name in _PERCENTILES if getattr(self, name) is not None]) != 1:
            raise ValueError("set exactly one of `p50`, `p90`, `p99` and `p999`, such as `p99: 200ms`")
        return self


class Profile(Request):
    """A named load: one request, a mix of several (`requests` or `urls`), or a script (`k6`).

    wrk sends all but scripts, as fast as replies come. With a `rate`, base and head are also loaded at that rate.
    """

    path: PathTemplate = "/"
    headers: HeaderTemplates = {}
    body: Template = ""
    requests: list[Route] = Field([], description="a mix of requests, each with a `weight`")
    urls: str | None = Field(
        None, description="a file with the URLs of a mix: one a line, a HAR, or an access log; its GETs are sent"
    )
    session: Annotated[
        Session | None,
        BeforeValidator(_session_from_list, json_schema_input_type=Session | list[SessionRequest] | None),
    ] = Field(None, description="requests before the load, such as a log-in, whose replies contain values for it")
    k6: str | None = Field(
        None, description="a k6 script, relative to the configuration file; `__ENV.BASE_URL` is the target"
    )
    rate: Annotated[Rate, BeforeValidator(_parse_rate, json_schema_input_type=str)] | None = Field(
        None, description="base and head are also compared at this rate: `200/s`, or `60%` of base's capacity"
    )
    slo: Objective | None = Field(
        None, description="the highest rate at which base and head hold this objective is compared"
    )
    connections: int = Field(ge=1, le=60_000)
    threads: int = Field(ge=1, le=512)
    duration: WholeSeconds = Field(ge=1, le=3600)
    timeout: WholeSeconds = Field(2, ge=1, le=60)
    warmup: WholeSeconds = Field(20, ge=0, le=600, description="the longest warm-up after a restart; 0: none")
    expect: ExpectedReply = ExpectedReply()
    _rows: Mapping[str, tuple[Row, ...]] = PrivateAttr(default_factory=dict)
    _digest: str = PrivateAttr(default="")
    _position: int = PrivateAttr(default=0)
    _only_reads: bool = PrivateAttr(default=False)
    _files: tuple[tuple[str, bytes], ...] = PrivateAttr(default=())
    _main: str = PrivateAttr(default="")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_for_script(cls, value: object) -> object:
        """Fill in what a script decides itself: connections and threads are those of wrk."""
        if not isinstance(value, dict) or value.get("k6") is None:
            return value
        if unused := next((key for key in _NOT_FOR_SCRIPTS if key in value), ""):
            raise ValueError(f"`{unused}` has no meaning with `k6`: the script decides it")
        return {"connections": 1, "threads": 1, "duration": _SCRIPT_S, **value}

    @property
    def is_script(self) -> bool:
        """Whether a k6 script is its load."""
        return self.k6 is not None

    @property
    def is_rated(self) -> bool:
        """Whether base and head are compared in turns with k6."""
        return self.is_script or self.rate is not None

    @property
    def files(self) -> tuple[tuple[str, bytes], ...]:
        """The files of its script, once they have been read: path, relative to a folder of them all, and contents."""
        return self._files

    @property
    def main(self) -> str:
        """The path of its script among these files."""
        return self._main

    def with_files(self, files: Iterable[tuple[str, bytes]], main: str, digest: str) -> Self:
        """Give it the files of its script, the path of the script among them, and the digest of what it imports."""
        found = self.model_copy()
        found._files, found._main, found._digest = tuple(files), main, digest  # noqa: SLF001 (of the same class)
        return found

    @property
    def is_mix(self) -> bool:
        """Whether it has several requests, each of which is counted separately."""
        return bool(self.requests) or self.urls is not None

    @property
    def routes(self) -> tuple[Route, ...]:
        """Its requests: those of a mix, else the one that it has itself; none that are known of a script."""
        if self.is_mix or self.is_script:
            return tuple(self.requests)
        own = {name: getattr(self, name) for name in ("path", "method", "headers", "body", "expect")}
        return (Route.model_construct(name=None, weight=1, **own),)

    @property
    def rows(self) -> Mapping[str, tuple[Row, ...]]:
        """The rows of the CSV files that its placeholders name, once they have been read."""
        return self._rows

    @property
    def position(self) -> int:
        """How many profiles come before it in its configuration."""
        return self._position

    def at(self, position: int) -> Self:
        """Give it a position."""
        found = self.model_copy()
        found._position = position  # noqa: SLF001 (of the same class)
        return found

    @property
    def digest(self) -> str:
        """The digest of what files say about it; empty if it names none."""
        return self._digest

    @property
    def varies(self) -> bool:
        """Whether one request differs from the next: a mix, or data that are filled in."""
        texts = (text for route in self.routes for text in (*route.templates, *self.headers.values()))
        return self.is_mix or self.session is not None or any(find_placeholders(text) for text in texts)

    @property
    def writes(self) -> bool:
        """Whether its requests may change data, as those of a script may."""
        return self.is_script or any(route.writes for route in self.routes)

    @property
    def adds_data(self) -> bool:
        """Whether each restart may leave more data behind: its requests may change them, or those of its session."""
        return self.writes or (self.session is not None and any(each.writes for each in self.session.requests))

    @property
    def reading(self) -> "Profile":
        """The mix of which only requests are sent that change no data; itself if it has none of these, or is no mix."""
        if not self.is_mix or all(route.writes for route in self.requests):
            return self
        found = self.model_copy()
        found._only_reads = True  # noqa: SLF001 (of the same class)
        return found

    @property
    def only_reads(self) -> bool:
        """Whether requests that may change data are left out."""
        return self._only_reads

    @property
    def summary(self) -> str:
        """Its request in a few words; of a mix, how many there are."""
        if self.k6 is not None:
            return self.k6
        return f"{len(self.requests)} requests" if self.is_mix else f"{self.method} {self.path}"

    @property
    def parts(self) -> "dict[str, Profile]":
        """Each request of a mix as a profile, by its name; none if it is no mix."""
        if not self.is_mix:
            return {}
        return {route.title: self._take_part(route) for route in self.requests}

    def _take_part(self, route: Route) -> "Profile":
        own = {name: getattr(route, name) for name in ("path", "method", "headers", "body")}
        return self.model_copy(update={"requests": [], "urls": None, "expect": route.expect or self.expect, **own})

    def list_secrets(self) -> set[str]:
        """List the secrets that its session names."""
        requests = self.session.requests if self.session is not None else []
        texts = (text for request in requests for text in request.templates[1:])
        return {match[1] for text in texts for match in SECRET.finditer(text)}

    def with_data(self, rows: Mapping[str, tuple[Row, ...]], **update: Any) -> Self:
        """Give it the rows of the CSV files that it names, and other values of its fields."""
        found = self.model_copy(update=update)
        found._rows = dict(rows)  # noqa: SLF001 (of the same class)
        paths = [route.paths for route in found.requests if route.paths]
        if rows or paths:
            digest = hashlib.sha256(repr([rows, paths]).encode()).hexdigest()
            found._digest = digest[:12]  # noqa: SLF001 (of the same class)
        return found

    @model_validator(mode="after")
    def _objective_has_a_beginning(self) -> Self:
        if self.is_script and self.rate is None and self.slo is not None:
            raise ValueError("`slo` needs a `rate` with `k6`, such as `50/s`: it begins at 75 % of that")
        return self

    @model_validator(mode="after")
    def _rate_has_a_measure(self) -> Self:
        users = (self.rate.per_second or 0.0) * self.timeout if self.rate is not None else 0.0
        if users > MOST_USERS:
            raise ValueError(
                f"{self.rate} with a timeout of {self.timeout} s needs {users:,.0f} users, more than {MOST_USERS:,}: "
                "lower one of the two"
            )
        if self.is_script and self.rate is not None and self.rate.share is not None:
            raise ValueError(
                "`rate` must be a number with `k6`, such as `50/s`: wrk cannot find the capacity of a script"
            )
        return self

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.requests and self.urls is not None:
            raise ValueError("set only one of `requests` and `urls`")
        if self.is_mix and (own := {"path", "method", "body"} & self.model_fields_set):
            raise ValueError(f"`{min(own)}` has no meaning with a mix: each of its requests has a separate one")
        titles = [route.title for route in self.requests]
        if repeated := next((title for title in titles if titles.count(title) > 1), None):
            raise ValueError(f"two requests are called {repeated!r}: give each a `name`")
        return self

    @model_validator(mode="after")
    def _session_has_values(self) -> Self:
        known, earlier = self.session.names if self.session is not None else set[str](), set[str]()
        for request in self.session.requests if self.session is not None else ():
            self._require_values(request.templates, earlier, "an earlier request")
            earlier |= set(request.extract)
        for route in self.routes:
            self._require_values((*route.templates, *self.headers.values()), known, "any request")
        return self

    @staticmethod
    def _require_values(texts: Iterable[str], known: set[str], whose: str) -> None:
        wanted = {part.name for text in texts for part in find_placeholders(text) if isinstance(part, FromSession)}
        if missing := sorted(wanted - known):
            raise ValueError(f"`{{session.{missing[0]}}}` is in no `extract` of {whose} of the session")

    @model_validator(mode="after")
    def _replies_have_bodies(self) -> Self:
        if any(route.method == "HEAD" for route in self.routes):  # wrk's parser does not know whose a reply is
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


def is_reserved(name: str) -> bool:
    """Whether a name is for our own services, or one by which wrk finds subjects, in lower or upper case."""
    return name.lower().startswith("bench-action")


MOST_USERS = 10_000  # of k6, each of which takes about 100 kB and a millisecond to start
_SCRIPT_S = 5  # of a turn, if a script's profile says nothing
_NOT_FOR_SCRIPTS = (
    *("path", "method", "headers", "body", "requests", "urls", "session"),
    *("connections", "threads", "timeout", "expect"),
)
Change = Annotated[int, Field(ge=-(2**53), le=2**53)]


class Changes(Model):
    """The exact changes that each request must make."""

    sql: dict[str, Change] = Field({}, description="a query that returns one number → how much each request adds to it")
    redis: dict[str, Change] = Field({}, description="the key of an integer → how much each request adds to it")


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

    @property
    def compares_bodies(self) -> bool:
        """Whether whole bodies are needed to judge replies."""
        return bool(self.contains or self.excludes or self.json_sql or self.same) or self.body is not None


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
        if not SQL_KINDS & set(kinds) and (sql or expect.work.queries or expect.work.rows):
            raise ValueError(
                f"the check {self.name!r} needs a database, but `services` has no service of kind postgres or mysql"
            )


class SeedStep(Model):
    """A step of the seed: a `file` for a service, or a command to `run` in the subject's image.

    `service`: which service the file is for; if left out, the one of the kind that the file's contents are for.
    `after`: `setup`, before the subject starts, or `ready`, once the subject has been ready for the first time.
    """

    file: str | None = None
    run: Command = []
    service: Name | None = None
    after: Literal["setup", "ready"] = "setup"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (not self.run):
            raise ValueError("set exactly one of `file` and `run`")
        if self.run and self.service:
            raise ValueError("`service` is for a `file`: a command finds its services by itself")
        return self

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.file if self.file is not None else " ".join(self.run)


def _list_seeds(value: object) -> object:
    steps = value if isinstance(value, list) else [] if value is None else [value]
    return [{"file": step} if isinstance(step, str) else step for step in steps]


Seed = Annotated[
    list[SeedStep],
    BeforeValidator(_list_seeds, json_schema_input_type=str | SeedStep | list[str | SeedStep] | None),
]
SEEDED_KINDS = frozenset({"postgres", "redis", "mysql"})
Extension = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=63)]


class Load(Model):
    """The container that wrk runs in."""

    image: str | None = Field(
        None,
        description="an image with wrk and python3, and k6 if a profile needs it; left out: one is built when needed",
    )
    ulimits: Ulimits = {"nofile": OPEN_FILES}


def _check_variables(variables: dict[str, str | None]) -> dict[str, str | None]:
    for name, value in variables.items():
        check_settable(name)
        if value is None:
            check_readable(name)
    return variables


class Compose(Model):
    """The compose file that describes services and variants.

    `env`: variables that it may use in addition to those of its `.env` file; null: this machine's value, if allowed.
    """

    file: Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])] = Field(
        [], description="relative to the configuration file; left out: the usual names next to it"
    )
    project_directory: str | None = Field(
        None, description="that paths in the compose file are relative to; left out: the file's own folder"
    )
    profiles: list[str] = []
    env: Annotated[
        dict[VariableName, str | None],
        BeforeValidator(parse_environment, json_schema_input_type=_VALUES),
        AfterValidator(_check_variables),
    ] = {}


def parse_compose(value: object) -> object:
    """Parse `compose`: a path, or `true` for the file of a usual name."""
    if value is True:
        return {}
    if value is False:
        return None
    return {"file": value} if isinstance(value, str | list) else value


ComposeChoice = Annotated[
    Compose | None, BeforeValidator(parse_compose, json_schema_input_type=bool | str | list[str] | Compose | None)
]


class ComposeInputs(BaseModel):
    """What of a configuration decides how its compose file is read; the rest is checked after that."""

    compose: ComposeChoice = None
    secrets: list[SecretName] = []


def add_kinds(value: object) -> object:
    """Set the kind of services that do not: by their key (`postgres`, `redis`, `mysql`), else by their image's name."""
    if not isinstance(value, dict):
        return value
    return {key: _add_kind(key, body) if isinstance(body, dict) else body for key, body in value.items()}


def _add_kind(name: str, body: Mapping[str, object]) -> Mapping[str, object]:
    kind = name if name in {"postgres", "redis", "mysql"} else guess_kind(str(body.get("image") or ""))
    return {"kind": kind, **body}


DEFAULT_SERVICES: dict[str, Any] = {
    "postgres": {"image": "postgres:17", "settings": {"max_connections": 500}},
    "redis": {"image": "redis:8"},
}


class Config(Model):
    """The whole configuration."""

    services: Annotated[dict[Name, Service], BeforeValidator(add_kinds)] = Field(
        default_factory=lambda: dict(DEFAULT_SERVICES), validate_default=True
    )
    compose: ComposeChoice = None
    load: Load = Load()
    hosts: Hosts | None = Field(None, description="the machines of a run, if there are several; see docs/hosts.md")
    seed: Seed = []
    extensions: list[Extension] = Field(
        [], description="extensions of PostgreSQL, created as superuser before the seed"
    )
    secrets: list[SecretName] = []
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

    @property
    def all_work(self) -> dict[str, ExpectedWork]:
        """The declared work, by the names that profiles and requests of mixes have in results."""
        of_routes = {
            name_route(name, route.title): route.work
            for name, profile in self.profiles.items()
            for route in (profile.routes if profile.is_mix else ())
        }
        return {**of_routes, **self.work}

    @property
    def built_services(self) -> dict[str, Service]:
        """Services that are built from the sources of a revision, such as workers and migrations: its own code."""
        return {name: service for name, service in self.services.items() if service.build is not None}

    @model_validator(mode="after")
    def _gates_and_work_fit(self) -> Self:
        check_gates(self.gates)
        if self.profiles and (unknown := set(self.work) - set(self.profiles)):
            raise ValueError(f"`work` names profiles that do not exist: {', '.join(sorted(unknown))}")
        if mixes := sorted(name for name in self.work if name in self.profiles and self.profiles[name].is_mix):
            raise ValueError(f"`work` names the mix {mixes[0]}: declare the work of each of its `requests` there")
        return self

    @model_validator(mode="after")
    def _requests_are_literal(self) -> Self:
        """Reject placeholders of secrets in requests, which are sent literally."""
        requests: list[tuple[str, Request]] = [
            (f"profile {name}", request)
            for name, profile in self.profiles.items()
            for request in (profile, *profile.requests)
        ]
        requests += [(f"check {check.name!r}", check.request) for check in self.checks]
        containers: dict[str, Container] = {**self.services, **self.variants}
        requests += [(f"`ready` of {name}", container.ready.request) for name, container in containers.items()]
        for name, profile in self.profiles.items():
            paths = (each.path for each in (profile.session.requests if profile.session is not None else ()))
            requests += [(f"session of profile {name}", Request.model_construct(path=path)) for path in paths]
        for where, request in requests:
            secrets = {match[1] for text in request.headers.values() for match in SECRET.finditer(text)}
            secrets |= {match[1] for match in SECRET.finditer(request.path + request.body)} & set(self.secrets)
            if secrets:
                raise ValueError(
                    f"the request of the {where} contains `${{{min(secrets)}}}`, which is sent literally: secrets are "
                    "filled in only in a variant's `env`, and in headers and bodies of a `session`. Write a test token "
                    "that `env` or the seed makes valid, or log in"
                )
        return self

    @model_validator(mode="after")
    def _dependencies_end(self) -> Self:
        """Reject dependencies on what is not a service, and those that form a circle."""
        containers: dict[str, Container] = {**self.services, **self.variants}
        for name, container in containers.items():
            if unknown := set(container.depends_on) - set(self.services):
                raise ValueError(f"{name} depends on {min(unknown)}, which is not one of `services`")
            for other, condition in container.depends_on.items():
                if condition == "service_completed_successfully" and not self.services[other].once:
                    raise ValueError(
                        f"{name} waits until {other} has completed, but {other} runs on: set `once: true` if it ends"
                    )
        try:
            TopologicalSorter({name: list(container.depends_on) for name, container in containers.items()}).prepare()
        except CycleError as error:
            raise ValueError(f"`depends_on` forms a circle: {' → '.join(error.args[1])}") from error
        return self

    @model_validator(mode="after")
    def _control_exists(self) -> Self:
        if self.control is not None and self.control not in {*self.variants, BUILT_IN}:
            raise ValueError(f"`control` names a variant that does not exist: {self.control}")
        return self

    @model_validator(mode="after")
    def _derived_names_are_free(self) -> Self:
        """Reject names that containers get from others: those of base, and those that run a `setup`."""
        taken = {*self.variants, *self.services}
        own = [name for name, service in self.services.items() if service.build or service.once or service.worker]
        for name in (*self.variants, *own):
            if f"{name}-base" in taken:
                raise ValueError(f"{name}-base is the name of {name} at the base revision: choose another name")
        for name, variant in self.variants.items():
            if variant.setup and f"{name}-setup" in taken:
                raise ValueError(f"{name}-setup is the name of what runs the `setup` of {name}: choose another name")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        unknown = {name for pair in self.compare for name in pair} - set(self.variants)
        if unknown:
            raise ValueError(f"`compare` names variants that do not exist: {', '.join(sorted(unknown))}")
        if same := [name for name, other in self.compare if name == other]:
            raise ValueError(f"`compare` pairs {same[0]} with itself")
        containers = (*self.variants.values(), *self.services.values())
        aliases = [alias for container in containers for alias in container.aliases]
        if ours := [name for name in (*self.variants, *self.services, *aliases) if is_reserved(name)]:
            raise ValueError(f"the name {ours[0]} is reserved: it must not begin with bench-action")
        if "tls" in self.services and any(variant.tls for variant in self.variants.values()):
            raise ValueError(
                "a service has the name tls, and a variant `tls: true`, whose `{tls.cert}` would be that service's"
            )
        if clash := set(self.variants) & set(self.services):
            raise ValueError(f"a variant and a service share the name {', '.join(sorted(clash))}")
        kinds = [service.kind for service in self.services.values()]
        self._check_seed(kinds)
        for check in self.checks:
            check.require_services(kinds)
        names = [check.name for check in self.checks]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two checks share the name {', '.join(sorted(repeated))}")
        return self

    def _check_seed(self, kinds: Collection[str]) -> None:
        if self.extensions and "postgres" not in kinds:
            raise ValueError("`extensions` needs a service of kind postgres")
        files = [step for step in self.seed if step.file is not None]
        if files and not SEEDED_KINDS & set(kinds):
            raise ValueError("`seed` needs a service of kind postgres, mysql or redis")
        for step in files:
            if step.service is not None and step.service not in self.services:
                raise ValueError(f"`seed` names a service that does not exist: {step.service}")
            if step.service is not None and self.services[step.service].kind not in SEEDED_KINDS:
                kind = self.services[step.service].kind
                raise ValueError(
                    f"`seed` names {step.service}, and a service of kind {kind} cannot be filled from a file"
                )


class PairPhase(Model):
    """A phase of pairs: the shortest `warmup` and the `slice` of a block.

    It ends after `blocks`, or after `seconds` per pair. The slice is fitted to what a restart takes, from `shortest` to
    `longest`, if these are set.
    """

    warmup: WholeSeconds = Field(ge=0, le=60)
    slice: WholeSeconds = Field(ge=1, le=60)
    shortest: WholeSeconds | None = Field(None, ge=1, le=60)
    longest: WholeSeconds | None = Field(None, ge=1, le=60)
    blocks: int = Field(1000, ge=0, le=1000)
    seconds: Seconds = Field(3600.0, gt=0)

    @property
    def lengths(self) -> range:
        """The lengths that a slice may have."""
        return range(self.shortest or self.slice, (self.longest or self.slice) + 1)


class RatePhase(Model):
    """Phase `rate`: the `warmup` and the `slice` of a turn, and the most `blocks`, each of two turns."""

    warmup: WholeSeconds = Field(1, ge=0, le=60)
    slice: WholeSeconds = Field(4, ge=1, le=60)
    blocks: int = Field(8, ge=2, le=1000)


class ObjectivePhase(Model):
    """Phase `slo`: how long requests are sent before each step, and how many `blocks` of steps there are."""

    warmup: WholeSeconds = Field(1, ge=0, le=60)
    blocks: int = Field(5, ge=2, le=1000)


class Policy(Model):
    """A preset: how to measure. Its profiles are used if the configuration has none."""

    blocks: int = Field(ge=1, le=1000, description="blocks of `capacity`; with a baseline, `paired_blocks` instead")
    paired_blocks: int = Field(ge=1, le=1000)
    warmup: WholeSeconds = Field(ge=0, le=600, description="the shortest warm-up of a subject that is measured alone")
    count_requests: int = Field(ge=1, le=10_000)
    latency: PairPhase
    duet: PairPhase
    rate: RatePhase = RatePhase()
    slo: ObjectivePhase = ObjectivePhase()
    minutes: float | None = Field(None, gt=0, description="measuring ends after this, at the end of a block")
    levels: list[Annotated[int, Field(ge=1, le=65_000)]] = Field(
        [], description="numbers of connections with which each profile is loaded, instead of that in the profile"
    )
    duration: WholeSeconds | None = Field(None, ge=1, le=3600, description="of each of these runs")
    profiles: dict[Name, Profile]
