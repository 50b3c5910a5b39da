"""Talks to the agent inside the load container."""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

from bench_action.config.schema import Profile, Request
from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.model.machine import Usage

_REPLIES_S = 60.0  # for requests one after the other: an application that takes long for each is asked less often
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
_GRACE_S = 20.0  # beyond what an order itself may take: the agent answers at once, on a loaded machine too


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply; `problem` says why there is none. Header names are in lower case.

    `size`: bytes of head and body as they were sent, as wrk counts them; also of a reply that did not end.
    `location`: where a redirect points to. `digest`: of the body, also where the body itself was left out.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    kept: bool
    problem: str
    size: int = 0
    location: str = ""
    digest: str = ""

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to send."""

    host: str
    port: int
    path: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: str = ""

    @classmethod
    def to(cls, handle: Handle, wanted: Request | Profile) -> "HttpRequest":
        """What the configuration asks for, to one server."""
        return cls(handle.host, handle.port, wanted.path, wanted.method, wanted.headers, wanted.body)

    @property
    def wire(self) -> bytes:
        """The request as it is sent, by the agent and by wrk: the same bytes, or the replies might differ.

        No header is added but Host and Content-Length, each unless the configuration has it (Content-Length always
        fits the body). A method with a meaning for bodies has its length even if it is empty (RFC 9110, 8.6).
        """
        headers, body = self.headers or {}, self.body.encode()
        given = {name.lower() for name in headers}
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"Host: {self.host}:{self.port}"] if "host" not in given else []
        lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
        if "transfer-encoding" not in given and (body or self.method not in _WITHOUT_BODY):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body

    @property
    def order(self) -> dict[str, Any]:
        """What the agent needs to send it."""
        raw = base64.b64encode(self.wire).decode()
        return {"host": self.host, "port": self.port, "method": self.method, "raw": raw}


class Sight(NamedTuple):
    """What is kept of each of many replies: see Reply."""

    status: int
    size: int
    location: str = ""
    digest: str = ""

    @classmethod
    def of_reply(cls, reply: Reply) -> "Sight":
        """A reply without its content."""
        return cls(reply.status, reply.size, reply.location, reply.digest)


@dataclass(frozen=True, slots=True)
class Turns:
    """What was seen of one server over its turns, `duration_s` in all. CPU is None where it cannot be read.

    `errors` were not answered, `problem` says why of the first; `latencies_us` and `seen` hold every answer.
    """

    latencies_us: Sequence[float]
    seen: Sequence["Sight"]
    errors: int
    problem: str
    duration_s: float
    cpu_ms: Mapping[str, float | None]


def _requests_order(
    request: HttpRequest, repeat: int, timeout_s: float, *, bodies: bool, limit_s: float
) -> dict[str, Any]:
    return {
        "op": "requests",
        **request.order,
        "repeat": repeat,
        "timeout_s": timeout_s,
        "bodies": bodies,
        "limit_s": limit_s,
    }


def _replies(answer: Mapping[str, Any]) -> list[Reply]:
    return [Reply(**{**reply, "body": base64.b64decode(reply["body"])}) for reply in answer["replies"]]


def usages(raw: Mapping[str, Any]) -> dict[str, Usage | None]:
    """The agent's counters as Usage."""
    return {name: Usage(**values) if values else None for name, values in raw.items()}


def agent_source() -> str:
    """The agent as one program, for a Python that does not have this package: its counters come with it."""
    agent, counters = (
        resources.files("bench_action.load").joinpath(f"{name}.py").read_text(encoding="utf-8")
        for name in ("agent", "counters")
    )
    return (
        "import sys, types\n"
        "for name in ('bench_action', 'bench_action.load', 'bench_action.load.counters'):\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        f"exec(compile({counters!r}, 'counters.py', 'exec'), sys.modules[name].__dict__)\n"
        f"exec(compile({agent!r}, 'agent.py', 'exec'))\n"
    )


class Agent:
    """One order at a time; every order has a deadline. Raises StackError when the agent is gone or late."""

    def __init__(self, engine: Engine, handle: Handle) -> None:
        """Starts the agent in the load container that `handle` names."""
        self._session: Session = engine.session(handle, ["python3", "-u", "-c", agent_source()])
        self._unread = 0

    def machine(self) -> dict[str, Any]:
        """`cpu_model`, `cores` that wrk may use, `open_files` (its limit), `machine` (such as x86_64).

        `cpus` are the cores' numbers, `siblings` CPU → those that share its core, `boot_id` tells machines apart.
        """
        return self._ask({"op": "machine"}, 0)

    def get(self, host: str, port: int, path: str, timeout_s: float) -> tuple[int, str]:
        """One GET: its status, or 0 and why there is none."""
        order = {"op": "get", **HttpRequest(host, port, path).order, "timeout_s": timeout_s}
        answer = self._ask(order, timeout_s)
        return int(answer["status"]), str(answer["problem"])

    def requests(
        self,
        request: HttpRequest,
        repeat: int,
        *,
        timeout_s: float = 10.0,
        bodies: bool = True,
        limit_s: float = _REPLIES_S,
    ) -> list[Reply]:
        """The same request `repeat` times, in turn; ends early at the first that gets no reply, and after `limit_s`."""
        order = _requests_order(request, repeat, timeout_s, bodies=bodies, limit_s=limit_s)
        return _replies(self._ask(order, limit_s + timeout_s))

    def requests_together(
        self, requests: Sequence[HttpRequest], repeat: int, *, timeout_s: float = 10.0, bodies: bool = True
    ) -> list[list[Reply]]:
        """As `requests`, for each of several at once; the replies to each."""
        limit_s = repeat * timeout_s
        orders = [_requests_order(one, repeat, timeout_s, bodies=bodies, limit_s=limit_s) for one in requests]
        return [_replies(answer) for answer in self._together(orders, limit_s + timeout_s)] if orders else []

    def connections(self, request: HttpRequest, count: int, *, hold: bool, limit_s: float) -> int:
        """How many of `count` connections, open at once (`hold`: until all are), were answered.

        Those that could not be opened at this end count as answered: they say nothing about the server, and make
        every trial invalid.
        """
        order = {
            "op": "connections",
            **request.order,
            "count": count,
            "hold": hold,
            "limit_s": limit_s,
        }
        answer = self._ask(order, limit_s)
        return int(answer["answered"]) + int(answer["refused_here"])

    def wrk(
        self, order: Mapping[str, Any], limit_s: float, while_running: Callable[[], None], every_s: float
    ) -> dict[str, Any]:
        """Run wrk; `while_running` is called every `every_s` seconds meanwhile and may raise to give up."""
        return self._ask({"op": "wrk", **order, "limit_s": limit_s}, limit_s, while_running, every_s)

    def duet(
        self, orders: Sequence[Mapping[str, Any]], limit_s: float, while_running: Callable[[], None], every_s: float
    ) -> list[dict[str, Any]]:
        """As `wrk`, for several at once, begun in this order; the answer of each."""
        wrks = [{"op": "wrk", **order, "limit_s": limit_s} for order in orders]
        return self._together(wrks, limit_s, while_running, every_s)

    def turns(
        self,
        requests: Sequence[HttpRequest],
        parts: Sequence[Mapping[str, str]],
        *,
        seconds: float,
        per_turn: int,
        timeout_s: float,
        seed: int,
    ) -> list[Turns]:
        """Several servers in turn, over one connection each, for so long; what was seen of each."""
        loads = [one.order | {"parts": dict(own)} for one, own in zip(requests, parts, strict=True)]
        order = {
            "op": "turns",
            "loads": loads,
            "seconds": seconds,
            "requests": per_turn,
            "timeout_s": timeout_s,
            "seed": seed,
        }
        answer = self._ask(order, seconds + len(loads) * per_turn * timeout_s)
        return [Turns(**load | {"seen": [Sight(*one) for one in load["seen"]]}) for load in answer["loads"]]

    def usage(self, parts: Mapping[str, str]) -> dict[str, Usage | None]:
        """Counters of each part (name → its handle's id) now; None where the engine's host does not show them."""
        return usages(self._ask({"op": "usage", "parts": dict(parts)}, 0))

    def settle(self, parts: Sequence[str], limit_s: float) -> float:
        """Wait until parts (their handles' ids) are idle, at most `limit_s`; the seconds that it took."""
        return float(self._ask({"op": "settle", "parts": list(parts), "limit_s": limit_s}, limit_s)["waited_s"])

    def close(self) -> None:
        """End the agent."""
        self._session.close()

    def _together(
        self,
        orders: Sequence[Mapping[str, Any]],
        allowed_s: float,
        while_waiting: Callable[[], None] = lambda: None,
        every_s: float = 1.0,
    ) -> list[dict[str, Any]]:
        answer = self._ask({"op": "together", "orders": orders}, allowed_s, while_waiting, every_s)
        return list(answer["answers"])

    def _ask(
        self,
        order: Mapping[str, Any],
        allowed_s: float,
        while_waiting: Callable[[], None] = lambda: None,
        every_s: float = 1.0,
    ) -> dict[str, Any]:
        self._session.send(json.dumps(order) + "\n")
        self._unread += 1
        deadline = time.monotonic() + allowed_s + _GRACE_S
        while self._unread:
            line = self._session.read_line(every_s)
            if line is not None:
                self._unread -= 1  # answers come in order: those before the last are to orders that were given up
            elif time.monotonic() > deadline:
                raise StackError("the load generator does not answer", where=f"order: {order['op']}")
            else:
                while_waiting()
        answer = json.loads(line or "{}")
        if "error" in answer:
            raise StackError(f"the load generator failed: {answer['error']}", where=f"order: {order['op']}")
        ok: dict[str, Any] = answer["ok"]
        return ok
