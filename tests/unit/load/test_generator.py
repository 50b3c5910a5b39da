"""Talking to the agent."""

import base64
import json
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import pytest

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.load import generator
from bench_action.load.generator import Agent, HttpRequest, Reply
from bench_action.model.errors import StackError
from bench_action.model.machine import Usage

pytestmark = pytest.mark.unit

LOAD = Handle("0123", "bench-action-load", "load", "bench-action-load", 0)
HOME = HttpRequest("django", 8000, "/")


class Scripted:
    """A session that answers with what it was given, None for a line that is late; its engine as well."""

    def __init__(self, *lines: object) -> None:
        self.sent: list[Any] = []
        self.closed = False
        self._lines = deque(lines)

    def send(self, text: str, patience_s: float = 30.0) -> None:
        assert patience_s > 0
        assert text.endswith("\n")
        assert text.count("\n") == 1
        self.sent.append(json.loads(text))

    def read_line(self, timeout_s: float) -> str | None:
        assert timeout_s > 0
        line = self._lines.popleft() if self._lines else None
        return None if line is None else json.dumps(line)

    def close(self) -> None:
        self.closed = True

    def session(self, handle: Handle, argv: Sequence[str]) -> Session:
        assert handle is LOAD
        assert list(argv[:3]) == ["python3", "-u", "-c"]
        compile(argv[3], "agent.py", "exec")
        return self


def agent_of(scripted: Scripted) -> Agent:
    return Agent(cast(Engine, scripted), LOAD)


def test_agent__get_gives_status_or_problem() -> None:
    scripted = Scripted({"ok": {"status": 200, "problem": ""}}, {"ok": {"status": 0, "problem": "refused"}})
    agent = agent_of(scripted)
    assert agent.get("django", 8000, "/health", 2.0) == (200, "")
    assert agent.get("django", 8000, "/health", 2.0) == (0, "refused")
    assert scripted.sent[0] == {"op": "get", **HttpRequest("django", 8000, "/health").order, "timeout_s": 2.0}


def test_agent__requests_carry_everything_and_come_back_as_bytes() -> None:
    body = base64.b64encode(b"\xff\x00").decode()
    reply = {"status": 201, "headers": {"allow": "GET"}, "body": body, "kept": True, "problem": ""}
    scripted = Scripted({"ok": {"replies": [reply, reply]}})
    request = HttpRequest("django", 8000, "/items", "POST", {"X-A": "1"}, "{}")
    assert agent_of(scripted).requests(request, 2) == [Reply(201, {"allow": "GET"}, b"\xff\x00", True, "")] * 2
    assert scripted.sent == [
        {
            "op": "requests",
            "host": "django",
            "port": 8000,
            "method": "POST",
            "repeat": 2,
            "timeout_s": 10.0,
            "bodies": True,
            "limit_s": 60.0,
            "raw": base64.b64encode(request.wire).decode(),
        }
    ]


def test_agent__connections_refused_at_its_own_end_say_nothing_about_the_server() -> None:
    scripted = Scripted({"ok": {"answered": 40, "refused_here": 10}})
    assert agent_of(scripted).connections(HOME, 50, hold=True, limit_s=30) == 50


def test_agent__asks_several_at_once() -> None:
    raw = {"status": 200, "headers": {}, "body": "aGk=", "kept": True, "problem": ""}
    scripted = Scripted({"ok": {"answers": [{"replies": [raw]}, {"replies": [raw, raw]}]}})
    one, other = agent_of(scripted).requests_together([HOME, HttpRequest("aiohttp", 8000, "/")], 2)
    assert ([reply.text for reply in one], [reply.text for reply in other]) == (["hi"], ["hi", "hi"])
    (sent,) = scripted.sent
    assert sent["op"] == "together"
    assert [(order["op"], order["host"], order["repeat"]) for order in sent["orders"]] == [
        ("requests", "django", 2),
        ("requests", "aiohttp", 2),
    ]


def test_agent__asks_nobody_where_there_is_nobody() -> None:
    scripted = Scripted()
    assert agent_of(scripted).requests_together([], 2) == []
    assert scripted.sent == []


def test_agent__usage_is_none_where_the_host_hides_it() -> None:
    counters = {"cpu_ms": 1.0, "memory_mib": 2.0, "throttled_ms": 3.0}
    scripted = Scripted({"ok": {"application": counters, "db": None}})
    found = agent_of(scripted).usage({"application": "a", "db": "b"})
    assert found == {"application": Usage(cpu_ms=1.0, memory_mib=2.0, throttled_ms=3.0), "db": None}


def test_agent__looks_after_the_stack_while_wrk_runs() -> None:
    looks: list[int] = []
    scripted = Scripted(None, None, {"ok": {"output": "x"}})
    answer = agent_of(scripted).wrk({"argv": ["wrk"]}, 10.0, lambda: looks.append(1), 0.5)
    assert answer == {"output": "x"}
    assert len(looks) == 2
    assert scripted.sent == [{"op": "wrk", "argv": ["wrk"], "limit_s": 10.0}]


def test_agent__whoever_looks_may_give_up() -> None:
    def look() -> None:
        raise StackError("django exited with status 3")

    with pytest.raises(StackError, match="django exited"):
        agent_of(Scripted(None)).wrk({}, 10.0, look, 0.5)


def test_agent__an_error_of_its_own_is_told() -> None:
    scripted = Scripted({"error": "FileNotFoundError: wrk"})
    with pytest.raises(StackError, match="the load generator failed: FileNotFoundError: wrk") as caught:
        agent_of(scripted).settle(["0123"], 1.0)
    assert caught.value.where == "order: settle"


def test_agent__that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "_GRACE_S", 0.0)
    with pytest.raises(StackError, match="the load generator does not answer") as caught:
        agent_of(Scripted()).machine()
    assert caught.value.where == "order: machine"


def test_agent__close_ends_its_session() -> None:
    scripted = Scripted()
    agent_of(scripted).close()
    assert scripted.closed


def test_agent_source__runs_where_this_package_is_not_installed() -> None:
    """Without site-packages and the working directory, as in the load container."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", generator.agent_source()],
        input='{"op": "machine"}\n{"op": "usage", "parts": {"ghost": "0123"}}\n',
        capture_output=True,
        text=True,
        check=True,
    )
    machine, usage = (json.loads(line) for line in done.stdout.splitlines())
    assert machine["ok"]["cores"] >= 1
    assert usage == {"ok": {"ghost": None}}


def test_agent__an_answer_to_an_order_that_was_given_up_is_passed_over() -> None:
    scripted = Scripted(None, {"ok": {"requests": 3}}, {"ok": {"waited_s": 0.5}})
    agent = agent_of(scripted)

    def give_up() -> None:
        raise StackError("base has ended")

    with pytest.raises(StackError, match="base has ended"):
        agent.wrk({"host": "base"}, 5.0, give_up, 0.5)
    assert agent.settle(["head"], 1.0) == 0.5


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        (HttpRequest("app", 8000, "/"), b"GET / HTTP/1.1\r\nHost: app:8000\r\n\r\n"),
        (
            HttpRequest("app", 8000, "/", "POST", {"X-A": "\u00fc"}, "\u00fc"),
            b"POST / HTTP/1.1\r\nHost: app:8000\r\nX-A: \xc3\xbc\r\nContent-Length: 2\r\n\r\n\xc3\xbc",
        ),
        (HttpRequest("app", 8000, "/", "PUT"), b"PUT / HTTP/1.1\r\nHost: app:8000\r\nContent-Length: 0\r\n\r\n"),
        (
            HttpRequest("app", 8000, "/?a=1", headers={"x-a": "1", "HOST": "shop.example", "X-A": "2"}),
            b"GET /?a=1 HTTP/1.1\r\nx-a: 1\r\nHOST: shop.example\r\nX-A: 2\r\n\r\n",
        ),
        (
            HttpRequest("app", 8000, "/", "POST", {"content-length": "99"}, "abc"),
            b"POST / HTTP/1.1\r\nHost: app:8000\r\nContent-Length: 3\r\n\r\nabc",
        ),
        (
            HttpRequest("app", 8000, "/", "POST", {"Transfer-Encoding": "chunked"}, "1\r\na\r\n0\r\n\r\n"),
            b"POST / HTTP/1.1\r\nHost: app:8000\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ),
    ],
)
def test_wire__has_the_headers_of_the_configuration_and_those_that_it_needs(request_: HttpRequest, sent: bytes) -> None:
    assert request_.wire == sent
