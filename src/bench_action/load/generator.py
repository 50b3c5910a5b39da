"""Talk to the agent inside the load container."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from typing import NamedTuple, TypeVar

from bench_action.config.schema import Request
from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.load.messages import (
    Bodies,
    ConnectAnswer,
    ConnectionsAnswer,
    ConnectionsOrder,
    ConnectOrder,
    DuetAnswer,
    DuetOrder,
    ErrorReply,
    Failure,
    GetAnswer,
    GetOrder,
    K6Answer,
    K6Order,
    KeepAnswer,
    KeepOrder,
    MachineAnswer,
    MachineOrder,
    PartCounters,
    ReachAnswer,
    ReachOrder,
    RequestsAnswer,
    RequestsOrder,
    RequestsTogetherAnswer,
    RequestsTogetherOrder,
    ServeAnswer,
    ServeOrder,
    ServerTurns,
    SettleAnswer,
    SettleOrder,
    ShapeError,
    TurnsAnswer,
    TurnsOrder,
    UsageAnswer,
    UsageOrder,
    WarmAnswer,
    WarmOrder,
    WarmRun,
    WireMessage,
    WireReply,
    WireRequest,
    WrkAnswer,
    WrkOrder,
    require_shape,
)
from bench_action.model.errors import StackError
from bench_action.model.machine import Usage

# what the agent consists of: each needs only those before it, and the last one is the program
AGENT_MODULES = (
    "bench_action.stats.steady",
    "bench_action.load.messages",
    "bench_action.load.peers",
    "bench_action.load.counters",
    "bench_action.load.agent",
)
_MOST_TAPES = 32  # that the agent keeps: more than one order is about
_REPLIES_S = 60.0  # for requests one after the other: a slow application gets fewer of them
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
_GRACE_S = 20.0  # beyond what an order itself may take: the agent answers promptly, on a loaded machine too
_SPARE_S = 5.0  # for the thread that sends a request
_ADVICE = "Run again. If it happens again, report it: this is a fault of bench-action."

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply; `problem` says why a request got none.

    `headers`: names are in lower case, values of a repeated header are on a line each, and bytes that are not UTF-8
    are escaped as Python does (`surrogateescape`).
    `kept`: the server left the connection open. `size`: bytes of head and body as they were sent, as wrk counts them,
    even if the reply did not end. `location`: where a redirect points to. `digest`: of the body, even if the body
    itself was left out. `until_close`: it has no length, so only the end of its connection ended it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    kept: bool
    problem: str
    size: int = 0
    location: str = ""
    digest: str = ""
    until_close: bool = False

    @property
    def text(self) -> str:
        """The body as text, with a replacement character for each byte that is not UTF-8."""
        return self.body.decode(errors="replace")

    def list_values(self, header: str) -> list[str]:
        """List the values of a header, one for each time that the reply has it."""
        value = self.headers.get(header.lower())
        return value.split("\n") if value is not None else []


class Message(NamedTuple):
    """The bytes of a request. `route`: the number of its route. `serials`: offsets of nine digits to be filled in."""

    method: str
    raw: bytes
    route: int = 0
    serials: tuple[int, ...] = ()

    @property
    def order(self) -> WireMessage:
        """The message as the agent takes it."""
        raw = base64.b64encode(self.raw).decode()
        return {"method": self.method, "raw": raw, "route": self.route, "serials": list(self.serials)}


@dataclass(frozen=True, slots=True)
class Tape:
    """Requests to a server in the order in which they are sent; after the last, the first is sent again.

    `name`: under which the agent keeps it, empty if each order repeats it. `first_serial`, `tls`: see WireRequest.
    """

    host: str
    port: int
    messages: tuple[Message, ...]
    name: str = ""
    first_serial: int = 0
    tls: bool = False

    @property
    def order(self) -> WireRequest:
        """The requests as the agent takes them; those of a tape with a name must have been kept before."""
        messages = [] if self.name else [message.order for message in self.messages]
        return {
            "host": self.host,
            "port": self.port,
            "tls": self.tls,
            "messages": messages,
            "tape": self.name,
            "first_serial": self.first_serial,
        }

    def cut(self, messages: Sequence[Message], first: int, count: int) -> "Tape":
        """Cut `count` of these messages of it, from `first` on; after the last comes the first."""
        chosen = tuple(messages[(first + number) % len(messages)] for number in range(count))
        return replace(self, messages=chosen, name="")

    def number_from(self, serial: int) -> "Tape":
        """Begin its serial numbers at another one."""
        return replace(self, first_serial=serial)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, and the server to send it to: `host` is what its Host header says.

    `address`: the name to connect to, if it is another than `host`. `tls`: see WireRequest.
    """

    host: str
    port: int
    path: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: str = ""
    address: str = ""
    tls: bool = False

    @classmethod
    def from_config(cls, handle: Handle, wanted: Request) -> "HttpRequest":
        """Address the request of a check or a profile to one server."""
        return cls(
            handle.host,
            handle.port,
            wanted.path,
            wanted.method,
            wanted.headers,
            wanted.body,
            address=handle.address,
            tls=handle.tls,
        )

    @property
    def host_header(self) -> str:
        """The host name that is sent: the configured one, else the server's with its port."""
        given = [value for name, value in (self.headers or {}).items() if name.lower() == "host"]
        return given[0] if given else f"{self.host}:{self.port}"

    @property
    def wire(self) -> bytes:
        """The bytes of the request: the agent and wrk send the same ones, or their replies might differ.

        Headers are in UTF-8; bytes of cookies that are not are those that the server has sent.

        Only Host and Content-Length are added. A configured Host takes precedence; Content-Length always fits the body,
        and is left out if the configuration has Transfer-Encoding. A method that gives a body a meaning has a
        Content-Length even if the body is empty (RFC 9110, 8.6).
        """
        headers, body = self.headers or {}, self.body.encode()
        given = {name.lower() for name in headers}
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"Host: {self.host_header}"] if "host" not in given else []
        lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
        if "transfer-encoding" not in given and (body or self.method not in _WITHOUT_BODY):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode(errors="surrogateescape") + body

    @property
    def tape(self) -> Tape:
        """A tape with nothing else."""
        return Tape(self.address or self.host, self.port, (Message(self.method, self.wire),), tls=self.tls)


class Load(NamedTuple):
    """An order to run wrk, and the tape that it is about. `divide`: split it among so many generators."""

    order: WrkOrder
    tape: Tape
    threads: int = 1
    divide: "Callable[[int], list[Load]]" = lambda _: []


class Answer(NamedTuple):
    """What a server answers to a probe.

    `status` is 0 if there was no HTTP reply; then `failure` is why, and `problem` says it in words. `location`: where a
    redirect points to. `text`: the beginning of the body of an error.
    """

    status: int = 0
    failure: Failure = ""
    problem: str = ""
    location: str = ""
    text: str = ""


class Burst(NamedTuple):
    """What became of connections that were opened at the same time, with one request on each.

    `answered`: how many got a reply. `late`: how many of these after the server had ignored the first attempt.
    `statuses`: status → how many replies had it.
    """

    answered: int
    late: int = 0
    statuses: Mapping[str, int] = {}


class Sample(NamedTuple):
    """What is kept of each of many replies; see Reply."""

    status: int
    size: int
    location: str = ""
    digest: str = ""
    route: int = 0
    until_close: bool = False

    @classmethod
    def from_reply(cls, reply: Reply) -> "Sample":
        """Leave out the content of a reply."""
        return cls(reply.status, reply.size, reply.location, reply.digest, until_close=reply.until_close)


@dataclass(frozen=True, slots=True)
class Turns:
    """What was seen of one server over its turns, which took `duration_s` in all.

    `latencies_us` and `seen` hold every answer. `errors` counts requests that were not answered, and `problem` says why
    the first of them was not. `cpu_ms` is None for a part whose counters cannot be read.
    """

    latencies_us: Sequence[float]
    seen: Sequence[Sample]
    errors: int
    problem: str
    duration_s: float
    cpu_ms: Mapping[str, float | None]


def convert_counters(counters: PartCounters) -> dict[str, Usage | None]:
    """Convert the agent's counters to Usage, by the name of a part; None if they cannot be read."""
    return {
        name: Usage(
            values["cpu_ms"],
            values["memory_mib"],
            values["throttled_ms"],
            values["oom_kills"],
            values["refused_forks"],
        )
        if values
        else None
        for name, values in counters.items()
    }


def build_agent_source() -> str:
    """Build the agent and the modules that it needs as one program, for a Python without this package."""
    packages = dict.fromkeys(module.rpartition(".")[0] for module in AGENT_MODULES)
    names = ("bench_action", *packages, *AGENT_MODULES[:-1])
    lines = ["import sys, types", *(f"sys.modules[{name!r}] = types.ModuleType({name!r})" for name in names)]
    for module in AGENT_MODULES:
        package, _, name = module.rpartition(".")
        source = resources.files(package).joinpath(f"{name}.py").read_text("utf-8")
        namespace = f", sys.modules[{module!r}].__dict__" if module in names else ""
        lines.append(f"exec(compile({source!r}, '{name}.py', 'exec'){namespace})")
    return "\n".join(lines) + "\n"


class Agent:
    """The agent's other end: one order at a time, each with a deadline; threads wait for each other's.

    Every method raises StackError if the agent has exited, is late, fails, or answers in the wrong shape, and
    LostHostError if the connection to its machine is lost.
    """

    def __init__(self, engine: Engine, handle: Handle) -> None:
        """Start the agent in the load container that `handle` names."""
        self._session: Session = engine.session(handle, ["python3", "-u", "-c", build_agent_source()])
        self._unread = 0
        self._turn = threading.Lock()
        self._kept: dict[str, None] = {}

    def close(self) -> None:
        """End the conversation, also one that another thread waits in."""
        self._session.close()

    def machine(self) -> MachineAnswer:
        """Describe the machine as the load container sees it."""
        return self._send(MachineOrder(op="machine"), MachineAnswer, 0)

    def serve(self, port: int, token: str = "") -> None:
        """Let it answer agents on other machines that know the token, at this port; 0: no longer."""
        order: ServeOrder = {"op": "serve", "port": port, "token": token}
        self._send(order, ServeAnswer, 0)

    def reach(self, address: str, timeout_s: float, *, timed: bool = False) -> ReachAnswer:
        """Let it try to reach another agent (`host:port`) over the run's network, with small and with large packets.

        `timed`: also measure how many bytes/s arrive from there.
        """
        order: ReachOrder = {"op": "reach", "address": address, "timeout_s": timeout_s, "timed": timed}
        return self._send(order, ReachAnswer, 3 * timeout_s)

    def keep(self, tape: Tape) -> None:
        """Let the agent keep a tape that has a name; orders about it may follow."""
        if not tape.name:
            return
        known = tape.name in self._kept
        self._kept.pop(tape.name, None)
        self._kept[tape.name] = None  # the last used is the last
        if known:
            return
        forgotten = list(self._kept)[:-_MOST_TAPES]
        for name in forgotten:
            del self._kept[name]
        messages = [message.order for message in tape.messages]
        order: KeepOrder = {"op": "keep", "tape": tape.name, "forget": forgotten, "messages": messages}
        self._send(order, KeepAnswer, 0)

    def get(self, request: HttpRequest, timeout_s: float, wait_s: float | None = None) -> Answer:
        """Send one request, to see whether a server is ready.

        `wait_s`: after how long the answer is `pending`, so that others can be probed; the next call with the same
        arguments waits for the same reply.
        """
        longest_s = 2 * timeout_s  # if it does not answer HTTP, TLS is tried
        wait_s = longest_s + _SPARE_S if wait_s is None else wait_s
        order: GetOrder = {"op": "get", **request.tape.order, "timeout_s": timeout_s, "wait_s": wait_s}
        answer = self._send(order, GetAnswer, longest_s)
        with _wrong_shape_raised(order):
            text = _decode_body(answer["body"], ".body").decode(errors="replace")
        return Answer(answer["status"], answer["failure"], answer["problem"], answer["location"], text)

    def connect(self, handle: Handle, timeout_s: float) -> Answer:
        """Open a connection to see whether a server accepts any."""
        order: ConnectOrder = {
            "op": "connect",
            "host": handle.address or handle.host,
            "port": handle.port,
            "timeout_s": timeout_s,
        }
        answer = self._send(order, ConnectAnswer, timeout_s)
        return Answer(failure=answer["failure"], problem=answer["problem"])

    def requests(
        self,
        request: HttpRequest | Tape,
        repeat: int,
        *,
        timeout_s: float = 10.0,
        bodies: Bodies = "all",
        limit_s: float = _REPLIES_S,
    ) -> list[Reply]:
        """Send `repeat` requests in turn; stops after the first without a reply, and after `limit_s`.

        `bodies`: how much of them to keep; all of a body of more than 4 MiB cannot be kept, so that is a problem.
        """
        self._keep_all([request])
        order = _build_requests_order(request, repeat, timeout_s, bodies=bodies, limit_s=limit_s)
        answer = self._send(order, RequestsAnswer, limit_s + timeout_s)
        with _wrong_shape_raised(order):
            return _decode_replies(answer)

    def requests_together(
        self, requests: Sequence[HttpRequest | Tape], repeat: int, *, timeout_s: float = 10.0, bodies: Bodies = "all"
    ) -> list[list[Reply]]:
        """Send as `requests` does, several at the same time. Returns the replies to each."""
        if not requests:
            return []
        self._keep_all(requests)
        limit_s = repeat * timeout_s
        orders = [_build_requests_order(each, repeat, timeout_s, bodies=bodies, limit_s=limit_s) for each in requests]
        order: RequestsTogetherOrder = {"op": "requests_together", "orders": orders}
        answer = self._send(order, RequestsTogetherAnswer, limit_s + timeout_s)
        with _wrong_shape_raised(order):
            _require_length(answer["answers"], len(orders), ".answers")
            return [_decode_replies(each, f".answers[{index}]") for index, each in enumerate(answer["answers"])]

    def connections(self, request: HttpRequest | Tape, count: int, *, hold: bool, limit_s: float) -> Burst:
        """Open `count` connections at the same time, and send the request on each. `hold`: until all are answered.

        Those that the load container could not open count as answered: they say nothing about the server, and make
        every trial invalid.
        """
        self._keep_all([request])
        order: ConnectionsOrder = {
            "op": "connections",
            **_get_tape(request).order,
            "count": count,
            "hold": hold,
            "limit_s": limit_s,
        }
        answer = self._send(order, ConnectionsAnswer, limit_s)
        return Burst(answer["answered"] + answer["refused_here"], answer["late"], answer["statuses"])

    def wrk(self, load: Load, while_running: Callable[[], None], every_s: float) -> WrkAnswer:
        """Run wrk; `while_running` is called every `every_s` seconds meanwhile, and may raise to give up."""
        self._keep_all([load.tape])
        return self._send(load.order, WrkAnswer, load.order["limit_s"], while_running, every_s)

    def k6(
        self, order: K6Order, tape: Tape, while_running: Callable[[], None] = lambda: None, every_s: float = 1.0
    ) -> K6Answer:
        """Run k6; `tape`: what the order is about, if it has a name. See `wrk`."""
        self.keep(tape)
        return self._send(order, K6Answer, order["limit_s"], while_running, every_s)

    def duet(self, loads: Sequence[Load], while_running: Callable[[], None], every_s: float) -> list[WrkAnswer]:
        """Run wrk once for each load, all at the same time, started in this order. Returns the answer to each."""
        self._keep_all([load.tape for load in loads])
        order: DuetOrder = {"op": "duet", "orders": [load.order for load in loads]}
        limit_s = max(load.order["limit_s"] for load in loads)
        answers = self._send(order, DuetAnswer, limit_s, while_running, every_s)["answers"]
        with _wrong_shape_raised(order):
            _require_length(answers, len(loads), ".answers")
        return answers

    def warm(
        self,
        loads: Sequence[Load],
        while_running: Callable[[], None],
        *,
        least_s: float,
        most_s: float,
        rests: bool = True,
    ) -> list[WarmRun]:
        """Run wrk for each load at the same time until every server is warm. Returns what became of each.

        `while_running` is called every second, and may raise to give up. `rests`: see WarmOrder.
        """
        self._keep_all([load.tape for load in loads])
        orders = [load.order for load in loads]
        order: WarmOrder = {
            "op": "warm",
            "orders": orders,
            "least_s": least_s,
            "most_s": most_s,
            "rests": rests,
        }
        limit_s = most_s + max(each["limit_s"] for each in orders)
        runs = self._send(order, WarmAnswer, limit_s, while_running)["runs"]
        with _wrong_shape_raised(order):
            _require_length(runs, len(loads), ".runs")
        return runs

    def turns(
        self,
        tapes: Sequence[Tape],
        parts: Sequence[Mapping[str, str]],
        *,
        seconds: float,
        per_turn: int,
        enough: int,
        number: int,
        timeout_s: float,
    ) -> list[Turns]:
        """Send requests of several tapes in turn, over one connection to each server.

        They end after `seconds`, or once `enough` requests of each have been sent. `number`: of the block, from 1 on;
        each goes on with the tapes where the last one may have ended. Returns what was seen of each tape.
        """
        self._keep_all(tapes)
        order: TurnsOrder = {
            "op": "turns",
            "loads": [{**tape.order, "parts": dict(own)} for tape, own in zip(tapes, parts, strict=True)],
            "seconds": seconds,
            "requests": per_turn,
            "enough": enough,
            "first": (number - 1) * enough,
            "timeout_s": timeout_s,
            "seed": number,
        }
        answer = self._send(order, TurnsAnswer, seconds + len(tapes) * per_turn * timeout_s)
        with _wrong_shape_raised(order):
            _require_length(answer["loads"], len(tapes), ".loads")
        return [_convert_turns(load) for load in answer["loads"]]

    def usage(self, parts: Mapping[str, str]) -> dict[str, Usage | None]:
        """Read the counters of each part (name → its handle's id); None if the engine's host does not show them."""
        order: UsageOrder = {"op": "usage", "parts": dict(parts)}
        return convert_counters(self._send(order, UsageAnswer, 0)["parts"])

    def settle(self, parts: Sequence[str], limit_s: float) -> list[str]:
        """Wait until parts (their handles' ids) are idle, for at most `limit_s`. Returns those that still work."""
        order: SettleOrder = {"op": "settle", "parts": list(parts), "limit_s": limit_s}
        return self._send(order, SettleAnswer, limit_s)["working"]

    def _keep_all(self, requests: Sequence[HttpRequest | Tape]) -> None:
        for request in requests:
            self.keep(_get_tape(request))

    def _send(
        self,
        order: Mapping[str, object],
        shape: type[_Answer],
        allowed_s: float,
        while_waiting: Callable[[], None] = lambda: None,
        every_s: float = 1.0,
    ) -> _Answer:
        with self._turn:
            line = self._exchange(order, allowed_s, while_waiting, every_s)
        with _wrong_shape_raised(order):
            reply = _parse_line(line)
            if "error" in reply:
                problem = require_shape(reply, ErrorReply)["error"]
                raise StackError(f"the load generator failed: {problem}", where=f"order: {order['op']}")
            return require_shape(reply["ok"], shape)

    def _exchange(
        self, order: Mapping[str, object], allowed_s: float, while_waiting: Callable[[], None], every_s: float
    ) -> str:
        """Send an order, and return the line that answers it."""
        self._session.send(json.dumps(order) + "\n")
        self._unread += 1
        deadline, line = time.monotonic() + allowed_s + _GRACE_S, ""
        while self._unread:
            read = self._session.read_line(every_s)
            if read is not None:
                line = read
                self._unread -= 1  # answers come in order: earlier ones answer orders that were given up
            elif time.monotonic() > deadline:
                raise StackError("the load generator does not answer", where=f"order: {order['op']}")
            else:
                while_waiting()
        return line


@contextmanager
def _wrong_shape_raised(order: Mapping[str, object]) -> Iterator[None]:
    """Turn a ShapeError about the answer to an order into a StackError."""
    try:
        yield
    except ShapeError as error:
        raise StackError(
            f"the load generator sent an answer of the wrong shape: {error}",
            where=f"order: {order['op']}",
            advice=_ADVICE,
        ) from None


def _parse_line(line: str) -> dict[str, object]:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        raise ShapeError("is not JSON") from None
    if not isinstance(reply, dict) or not reply.keys() & {"ok", "error"}:
        raise ShapeError("must be an object with `ok` or `error`")
    return reply


def _require_length(items: Sized, length: int, step: str) -> None:
    if len(items) != length:
        raise ShapeError(f"must have {length} entries, not {len(items)}", step)


def _get_tape(request: HttpRequest | Tape) -> Tape:
    return request.tape if isinstance(request, HttpRequest) else request


def _build_requests_order(
    request: HttpRequest | Tape, repeat: int, timeout_s: float, *, bodies: Bodies, limit_s: float
) -> RequestsOrder:
    return {
        "op": "requests",
        **_get_tape(request).order,
        "repeat": repeat,
        "timeout_s": timeout_s,
        "bodies": bodies,
        "limit_s": limit_s,
    }


def _decode_replies(answer: RequestsAnswer, step: str = "") -> list[Reply]:
    """Decode the replies of an answer. Raises ShapeError if the list is empty or a body is not base64."""
    if not answer["replies"]:
        raise ShapeError("must not be empty", step, ".replies")
    return [_decode_reply(reply, f"{step}.replies[{index}]") for index, reply in enumerate(answer["replies"])]


def _decode_reply(reply: WireReply, step: str) -> Reply:
    return Reply(
        status=reply["status"],
        headers=reply["headers"],
        body=_decode_body(reply["body"], step, ".body"),
        kept=reply["kept"],
        problem=reply["problem"],
        size=reply["size"],
        location=reply["location"],
        digest=reply["digest"],
        until_close=reply["until_close"],
    )


def _decode_body(text: str, *steps: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ShapeError("must be base64", *steps) from None


def _convert_turns(load: ServerTurns) -> Turns:
    return Turns(
        latencies_us=load["latencies_us"],
        seen=[Sample(*row) for row in load["seen"]],
        errors=load["errors"],
        problem=load["problem"],
        duration_s=load["duration_s"],
        cpu_ms=load["cpu_ms"],
    )
