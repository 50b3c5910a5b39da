"""The orders sent to the agent and its answers, and the check that each end makes of what it receives.

Every order and every answer is one line of JSON. The agent replies `{"ok": answer}`, or `{"error": text}` if it failed
itself; what a server does wrong is data of an answer. This module is sent to the load container together with the
agent, so it uses only the standard library and runs on Python 3.9.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import (
    Any,
    Literal,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

# status, bytes as they were sent, where a redirect points to, digest of the body, number of the route, until_close
SampleRow = tuple[int, int, str, str, int, bool]
ReadingRow = tuple[float, float, int]  # see stats/steady.py
# seconds since wrk began, bytes that came from the server, the application's CPU time in ms and memory in MiB
MarkRow = tuple[float, int, float, float]
CpuNumber = NewType("CpuNumber", str)  # in decimal digits, as a key in JSON is text
# what is kept of replies in addition to a digest: headers and all of the body, headers and its start, or nothing
Bodies = Literal["all", "start", "none"]
# why a server gave no HTTP reply; empty if it did; `pending` if the reply may still come
Failure = Literal["", "pending", "unresolved", "refused", "late", "closed", "not-http", "tls", "no-tls", "other"]


# what the line begins with on which wrk's script prints latencies and their counts
HISTOGRAM = "bench-action-wrk-histogram:"


class Order(TypedDict):
    """What every order has: the name of the operation."""

    op: str


class ErrorReply(TypedDict):
    """What the agent sends instead of an answer if it failed itself."""

    error: str


class WireMessage(TypedDict):
    """A request as bytes (`raw`, in base64). `route`: its number. `serials`: where nine digits are to be filled in."""

    method: str
    raw: str
    route: int
    serials: list[int]


class WireRequest(TypedDict):
    """The requests that are sent to a server, one after the other and then from the beginning.

    `tls`: over TLS, with any certificate. `tape`: the name under which an earlier order gave them, if
    `messages` is empty. `first_serial`: the first number that is filled in where a message leaves room for one.
    """

    host: str
    port: int
    tls: bool
    messages: list[WireMessage]
    tape: str
    first_serial: int


class WireReply(TypedDict):
    """An HTTP reply. `problem` says why a request got none; `body` is base64; `kept`: the connection was left open.

    `until_close`: it has no length, so only the end of its connection ended it.
    """

    status: int
    headers: dict[str, str]
    body: str
    kept: bool
    problem: str
    size: int
    location: str
    digest: str
    until_close: bool


class Counters(TypedDict):
    """Counters of a part since its start: CPU and throttled time, and memory without inactive file pages.

    `oom_kills`: how many of its processes ran out of memory and were killed. `refused_forks`: how often its limit of
    processes kept it from starting another one.
    """

    cpu_ms: float
    throttled_ms: float
    memory_mib: float
    oom_kills: int
    refused_forks: int


class MachineTicks(TypedDict):
    """What the CPUs of a machine have done since it started, in ticks: all and idle of each; all and stolen of all."""

    idle: dict[CpuNumber, list[int]]
    steal: list[int]


class MachineShares(TypedDict):
    """What a machine did for some time: the share in which each CPU was idle, and how much other guests took."""

    idle: dict[CpuNumber, float]
    steal_percent: float


# a part's name → its counters, null if they cannot be read
PartCounters = dict[str, Optional[Counters]]


class ServeOrder(TypedDict):
    """Answer the questions of agents on other machines that know the token, at this port; 0: no longer."""

    op: Literal["serve"]
    port: int
    token: str


class ServeAnswer(TypedDict):
    """The port that is served."""

    port: int


class ReachOrder(TypedDict):
    """Try to reach the agent at an address (`host:port`): first with few bytes, then with large packets.

    `timed`: also measure how many bytes/s arrive from there.
    """

    op: Literal["reach"]
    address: str
    timeout_s: float
    timed: bool


class ReachAnswer(TypedDict):
    """How far it got. `problem` says why it got no further; empty if everything came back.

    `bytes_per_s`: how much arrived from there; 0 if it was not measured.
    """

    reached: Literal["nothing", "name", "small", "large"]
    problem: str
    bytes_per_s: float


class MachineOrder(TypedDict):
    """Describe the machine as the load container sees it."""

    op: Literal["machine"]


class MachineAnswer(TypedDict):
    """The machine as the load container sees it.

    `cores` and `cpus`: how many CPUs wrk may use, and which. `open_files`: the container's limit. `machine`: such as
    x86_64. `siblings`: CPU → the CPUs that share its core, itself included. `boot_id` distinguishes machines and boots.
    `load_average`: of the last minute. `free_disk_mib`: on the disk that containers are on.
    """

    cpu_model: str
    cores: int
    open_files: int
    machine: str
    cpus: list[int]
    siblings: dict[CpuNumber, list[int]]
    boot_id: str
    load_average: float
    free_disk_mib: int


class KeepOrder(TypedDict):
    """Keep requests under a name, so that later orders need not repeat them, and forget those of other names."""

    op: Literal["keep"]
    tape: str
    forget: list[str]
    messages: list[WireMessage]


class KeepAnswer(TypedDict):
    """How many requests are kept under that name."""

    kept: int


class GetOrder(WireRequest):
    """Send one request to see whether a server is ready, and wait for the reply for `wait_s`.

    If it has not come by then, the same order waits for the same reply again.
    """

    op: Literal["get"]
    timeout_s: float
    wait_s: float


class GetAnswer(TypedDict):
    """The status of the reply, or 0 and why no reply came: `failure` is its kind, and `problem` says it in words.

    `location`: where a redirect points to. `body`: the beginning of the body of an error, in base64.
    """

    status: int
    failure: Failure
    problem: str
    location: str
    body: str


class ConnectOrder(TypedDict):
    """Open a connection to a server, to see whether it accepts any."""

    op: Literal["connect"]
    host: str
    port: int
    timeout_s: float


class ConnectAnswer(TypedDict):
    """Why there is no connection, as in GetAnswer; both are empty if there is one."""

    failure: Failure
    problem: str


class RequestsOrder(WireRequest):
    """Send a request `repeat` times over one connection, none after `limit_s`. `bodies`: how much of them to keep."""

    op: Literal["requests"]
    repeat: int
    timeout_s: float
    bodies: Bodies
    limit_s: float


class RequestsAnswer(TypedDict):
    """The replies, in order; the first one with a problem is the last."""

    replies: list[WireReply]


class RequestsTogetherOrder(TypedDict):
    """Carry out several `requests` orders at the same time."""

    op: Literal["requests_together"]
    orders: list[RequestsOrder]


class RequestsTogetherAnswer(TypedDict):
    """The answer to each order."""

    answers: list[RequestsAnswer]


class ConnectionsOrder(WireRequest):
    """Open `count` connections and send the request on each. `hold`: keep all of them open until the last reply."""

    op: Literal["connections"]
    count: int
    hold: bool
    limit_s: float


class ConnectionsAnswer(TypedDict):
    """What became of the connections.

    `answered`: how many got a reply. `late`: how many of these only after the server had ignored the first attempt.
    `statuses`: status → how many replies had it. `refused_here`: how many the load container itself could not open.
    """

    answered: int
    late: int
    statuses: dict[str, int]
    refused_here: int


class TurnsLoad(WireRequest):
    """Requests that take their turn; those of one server share a connection.

    `parts`: name → id of the containers whose CPU time is read.
    """

    parts: dict[str, str]


class TurnsOrder(TypedDict):
    """Send `requests` requests of each load in turn, in an order drawn from `seed`, for `seconds`.

    They end early once `enough` requests of each load have been sent. `first`: the index of a load's first message.
    """

    op: Literal["turns"]
    loads: list[TurnsLoad]
    seconds: float
    requests: int
    enough: int
    first: int
    timeout_s: float
    seed: int


class ServerTurns(TypedDict):
    """What was seen of one load over its turns. `problem` is that of the first request without a reply."""

    latencies_us: list[float]
    errors: int
    problem: str
    seen: list[SampleRow]
    duration_s: float
    cpu_ms: dict[str, Optional[float]]


class TurnsAnswer(TypedDict):
    """One entry for each server, in the order's order."""

    loads: list[ServerTurns]
    seconds: float


class WrkOrder(WireRequest):
    """Run wrk (`argv` without script and address). `parts`: name → container id.

    If it still runs then, it is interrupted after `interrupt_s`, and so ends as at the end of its time, and killed
    after `limit_s`. A script that reads its requests from a tape finds its file in wrk's last argument. `divided`:
    other agents have the rest of the load, so that all latencies are needed.
    """

    op: Literal["wrk"]
    divided: bool
    argv: list[str]
    script: str
    connections: int
    parts: dict[str, str]
    limit_s: float
    interrupt_s: float


class WrkAnswer(TypedDict):
    """What is known of one run of wrk.

    `output` and exit `status` are wrk's, `cpu_s` is its CPU time, `wall_s` its duration by a monotonic clock,
    `clock_step_s` by how much the machine's clock was set in that time, and `live` the peak number of its connections,
    `open` the same with those that the server has just closed, `early` the peak within half a second after the first.
    `sampled`: replies that the agent itself received. `memory_mib`: the application's peak, null if it cannot be read.
    `before` and `after`: the counters of each part. `idle`: CPU → the share of the time in which it had nothing to do.
    `marks`: what was read about every second; none if the bytes of other servers cannot be kept apart, or a counter
    cannot be read. `machines`: address of an agent → what its machine did, and ours (empty), if parts are on several.
    `histogram`: latency in µs and how many requests took so long, if the load is divided. `cores`: how many CPUs wrk
    may use. `lateness_s` and `busy` are set by who adds the answers of several agents up.
    """

    output: str
    status: int
    cpu_s: float
    wall_s: float
    clock_step_s: float
    live: int
    open: int
    early: int
    sampled: list[SampleRow]
    memory_mib: Optional[float]
    before: PartCounters
    after: PartCounters
    steal_percent: float
    idle: dict[CpuNumber, float]
    marks: list[MarkRow]
    machines: dict[str, MachineShares]
    histogram: list[list[int]]
    lateness_s: float
    cores: int
    busy: Optional[float]


class WireFile(TypedDict):
    """A file that a program reads: its path in the program's folder, and its contents in base64."""

    path: str
    data: str


class K6Order(WireRequest):
    """Run k6 with these files in a folder, and watch it: `argv` is its command line, which may name them.

    The requests of the tape, if there are any, are written next to requests.js. k6 may connect to no other server.
    `parts`, `limit_s`: as in WrkOrder.
    """

    op: Literal["k6"]
    argv: list[str]
    files: list[WireFile]
    parts: dict[str, str]
    limit_s: float


class K6Answer(TypedDict):
    """What is known of one run of k6: see WrkAnswer. `exceptions`: how often its script raised one."""

    output: str
    status: int
    exceptions: int
    cpu_s: float
    wall_s: float
    memory_mib: Optional[float]
    before: PartCounters
    after: PartCounters
    steal_percent: float


class DuetOrder(TypedDict):
    """Carry out several `wrk` orders at the same time, started in this order."""

    op: Literal["duet"]
    orders: list[WrkOrder]


class DuetAnswer(TypedDict):
    """The answer to each order."""

    answers: list[WrkAnswer]


class WarmOrder(TypedDict):
    """Carry out several `wrk` orders at the same time until every server is warm.

    wrk runs for at least `least_s` and at most `most_s`, and for equally long for all. Every few seconds it connects
    again. Its script must write a byte to the file that wrk's first argument names for each request that it sends.
    `rests`: a server whose requests have become far cheaper is warm only if it rests each time that no request is
    under way; False if one of them never does.
    """

    op: Literal["warm"]
    orders: list[WrkOrder]
    least_s: float
    most_s: float
    rests: bool


class WrkEnd(TypedDict):
    """How a run of wrk ended: what it printed, and its exit status."""

    output: str
    status: int


class WarmRun(TypedDict):
    """What is known of one server that was warmed up, and the counters of each part.

    `ends`: of each run of wrk. `duration_s`: how long that took. `requests`: how many were sent. `readings`: what
    the application had done at which time, the first at its start; empty if its CPU time cannot be read. `rested`:
    whether it used no CPU in the pauses of the last two spans, once no request was under way; null without pauses.
    """

    ends: list[WrkEnd]
    duration_s: float
    requests: int
    readings: list[ReadingRow]
    rested: Optional[bool]
    before: PartCounters
    after: PartCounters


class WarmAnswer(TypedDict):
    """What became of each order."""

    runs: list[WarmRun]


class UsageOrder(TypedDict):
    """Read the counters of parts. `parts`: name → container id."""

    op: Literal["usage"]
    parts: dict[str, str]


class UsageAnswer(TypedDict):
    """The counters of each part."""

    parts: PartCounters


class SettleOrder(TypedDict):
    """Wait until parts (container ids) are idle, for at most `limit_s`."""

    op: Literal["settle"]
    parts: list[str]
    limit_s: float


class SettleAnswer(TypedDict):
    """The parts that still worked when the time was up."""

    working: list[str]


class ShapeError(Exception):
    """A message without a field that it must have, or with a value of the wrong type. `steps` lead to the value."""

    def __init__(self, problem: str, *steps: str) -> None:
        super().__init__(problem, *steps)
        self.problem, self.steps = problem, steps

    def __str__(self) -> str:
        field = "".join(self.steps).lstrip(".")
        return f"field `{field}` {self.problem}" if field else f"it {self.problem}"

    def within(self, step: str) -> "ShapeError":
        """Place the error one level further out."""
        return ShapeError(self.problem, step, *self.steps)


_Message = TypeVar("_Message")
_Check = Callable[[Any], None]
_SCALARS: Mapping[Any, tuple[str, frozenset[type]]] = {
    str: ("text", frozenset({str})),
    bool: ("true or false", frozenset({bool})),
    int: ("a whole number", frozenset({int})),
    float: ("a number", frozenset({int, float})),
}
_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a decimal number",
    type(None): "null",
}
_LONGEST_KEY = 40


def require_shape(value: object, shape: type[_Message]) -> _Message:
    """Return a message decoded from JSON if it has the shape of a TypedDict; fields that it does not name are ignored.

    Raises ShapeError, which names the first field that is missing or has the wrong type.
    """
    key: Any = shape  # mypy holds a TypedDict's class to be unhashable
    _make_check(key)(value)
    return cast("_Message", value)


@cache
def _make_check(shape: Any) -> _Check:
    origin, arguments = get_origin(shape), get_args(shape)
    if shape in _SCALARS:
        return partial(_check_scalar, *_SCALARS[shape])
    if origin is Literal:
        return partial(_check_choice, arguments)
    if origin is tuple:
        return partial(_check_row, arguments)
    if origin is dict:
        return partial(_check_mapping, _make_check(arguments[1]), arguments[0] is CpuNumber)
    if origin in {list, Union}:  # the only union in a message is Optional
        return partial(_check_list if origin is list else _check_optional, _make_check(arguments[0]))
    return partial(_check_fields, {name: _make_check(kind) for name, kind in get_type_hints(shape).items()})


def _check_scalar(expected: str, kinds: frozenset[type], value: object) -> None:
    if type(value) not in kinds:  # not isinstance: a bool is no number
        raise _wrong_kind(expected, value)


def _check_choice(choices: Sequence[str], value: object) -> None:
    if value not in choices:
        expected = " or ".join(choices)
        raise ShapeError(f"must be {expected}") if isinstance(value, str) else _wrong_kind(expected, value)


def _check_optional(check: _Check, value: object) -> None:
    if value is not None:
        check(value)


def _check_list(check: _Check, value: object) -> None:
    if type(value) is not list:
        raise _wrong_kind("a list", value)
    index = -1
    try:
        for index, item in enumerate(value):  # noqa: B007 (named in the error)
            check(item)
    except ShapeError as error:
        raise error.within(f"[{index}]") from None


def _check_mapping(check: _Check, of_cpus: bool, value: object) -> None:
    if type(value) is not dict:
        raise _wrong_kind("an object", value)
    if of_cpus and not all(key.isdecimal() for key in value):
        raise ShapeError("must have the numbers of CPUs as its keys")
    key = ""
    try:
        for key, item in value.items():  # noqa: B007 (named in the error)
            check(item)
    except ShapeError as error:
        raise error.within(f"[{key[:_LONGEST_KEY]!r}]") from None  # a server may have chosen it: a header's name


def _check_row(kinds: Sequence[type], value: object) -> None:
    """Check a list of scalars, one of each kind."""
    if type(value) is not list:
        raise _wrong_kind("a list", value)
    if tuple(map(type, value)) != kinds:
        raise ShapeError(f"must be a list of {', '.join(_SCALARS[kind][0] for kind in kinds)}")


def _check_fields(checks: Mapping[str, _Check], value: object) -> None:
    if type(value) is not dict:
        raise _wrong_kind("an object", value)
    for name, check in checks.items():
        if name not in value:
            raise ShapeError("is missing", f".{name}")
        try:
            check(value[name])
        except ShapeError as error:
            raise error.within(f".{name}") from None


def _wrong_kind(expected: str, value: object) -> ShapeError:
    return ShapeError(f"must be {expected}, not {_KINDS.get(type(value), type(value).__name__)}")
