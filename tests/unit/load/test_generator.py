"""Talking to the agent, and refusing answers of the wrong shape."""

import ast
import base64
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any, cast

import pytest

from bench_action.config.schema import Profile
from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.load import generator
from bench_action.load.generator import Agent, HttpRequest, Load, Reply, Turns
from bench_action.load.wrk import build_order
from bench_action.model.errors import StackError
from bench_action.model.machine import Usage

pytestmark = pytest.mark.unit

LOAD = Handle("0123", "bench-action-load", "load", "bench-action-load", 0)
DJANGO = Handle("1", "django", "subject", "django", 8000)
HEALTH = HttpRequest("django", 8000, "/health")
HOME = HttpRequest("django", 8000, "/")
REPLY = {
    "status": 200,
    "headers": {},
    "body": "aGk=",
    "kept": True,
    "problem": "",
    "size": 40,
    "location": "",
    "digest": "8f43",
    "until_close": False,
}
COUNTERS = {"cpu_ms": 1.0, "memory_mib": 2.0, "throttled_ms": 3.0, "oom_kills": 4, "refused_forks": 5}
WRK = {
    "output": "x",
    "status": 0,
    "cpu_s": 0.5,
    "wall_s": 1.0,
    "clock_step_s": 0.0,
    "live": 1,
    "open": 1,
    "early": 1,
    "sampled": [[200, 40, "", "8f43", 0, False]],
    "memory_mib": None,
    "before": {"application": COUNTERS, "db": None},
    "after": {},
    "steal_percent": 0.0,
    "idle": {"0": 0.5},
    "marks": [[0.25, 100, 3.0, 64.5]],
    "machines": {"app:7301": {"idle": {"0": 0.5}, "steal_percent": 0.0}},
    "histogram": [],
    "lateness_s": 0.0,
    "cores": 2,
    "busy": None,
}
TURNS = {
    "latencies_us": [10.0, 20],
    "errors": 0,
    "problem": "",
    "seen": [[200, 40, "", "", 0, False], [200, 41, "", "", 1, True]],
    "duration_s": 0.1,
    "cpu_ms": {"application": 0.5, "db": None},
}


def wrk_order(host: str = "django") -> Load:
    tape = HttpRequest(host, 8000, "/").tape
    return build_order(Profile(connections=1, threads=1, duration=1), tape, duration_s=1, parts={}, limit_s=10.0)


class Scripted:
    """A session that answers with the given lines, None for one that is late; it stands in for its engine as well."""

    def __init__(self, *lines: object) -> None:
        self.sent: list[Any] = []
        self._lines = deque(lines)

    def send(self, text: str, patience_s: float = 30.0, waiting: object = None) -> None:  # noqa: ARG002
        assert patience_s > 0
        assert text.endswith("\n")
        assert text.count("\n") == 1
        self.sent.append(json.loads(text))

    def read_line(self, timeout_s: float) -> str | None:
        assert timeout_s > 0
        line = self._lines.popleft() if self._lines else None
        return line if line is None or isinstance(line, str) else json.dumps(line)

    def close(self) -> None:
        """End, as the engine ends a session."""

    def session(self, handle: Handle, argv: Sequence[str]) -> Session:
        assert handle is LOAD
        assert list(argv[:3]) == ["python3", "-u", "-c"]
        compile(argv[3], "agent.py", "exec")
        return self


def get_answer(status: object, problem: str = "") -> dict[str, object]:
    return {"status": status, "failure": "other" if problem else "", "problem": problem, "location": "", "body": ""}


def make_agent(scripted: Scripted) -> Agent:
    return Agent(cast(Engine, scripted), LOAD)


def test_agent__get_returns_status_or_problem() -> None:
    scripted = Scripted({"ok": get_answer(200)}, {"ok": get_answer(0, "refused")})
    agent = make_agent(scripted)
    assert agent.get(HEALTH, 2.0).status == 200
    assert agent.get(HEALTH, 2.0).problem == "refused"
    assert scripted.sent[0] == {
        "op": "get",
        **HttpRequest("django", 8000, "/health").tape.order,
        "timeout_s": 2.0,
        "wait_s": 9.0,
    }


class Echo(Scripted):
    """A session whose answer is the last order's timeout, so that threads that do not wait get each other's."""

    def read_line(self, timeout_s: float) -> str | None:  # noqa: ARG002
        time.sleep(0.001)
        return json.dumps({"ok": get_answer(int(self.sent[-1]["timeout_s"]))})


def test_agent__threads_wait_for_each_others_orders() -> None:
    agent = make_agent(Echo())
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda number: agent.get(HEALTH, float(number)).status, range(1, 101)))
    assert answers == list(range(1, 101))


def test_agent__requests_carry_everything_and_come_back_as_bytes() -> None:
    body = base64.b64encode(b"\xff\x00").decode()
    reply = REPLY | {"status": 201, "headers": {"allow": "GET"}, "body": body}
    scripted = Scripted({"ok": {"replies": [reply, reply]}})
    request = HttpRequest("django", 8000, "/items", "POST", {"X-A": "1"}, "{}")
    assert (
        make_agent(scripted).requests(request, 2)
        == [Reply(201, {"allow": "GET"}, b"\xff\x00", True, "", 40, "", "8f43")] * 2
    )
    assert scripted.sent == [
        {
            "op": "requests",
            "host": "django",
            "port": 8000,
            "tls": False,
            "messages": [{"method": "POST", "raw": base64.b64encode(request.wire).decode(), "route": 0, "serials": []}],
            "tape": "",
            "first_serial": 0,
            "repeat": 2,
            "timeout_s": 10.0,
            "bodies": "all",
            "limit_s": 60.0,
        }
    ]


def test_agent__connections_refused_at_its_own_end_say_nothing_about_the_server() -> None:
    scripted = Scripted({"ok": {"answered": 40, "late": 2, "statuses": {"200": 40}, "refused_here": 10}})
    burst = make_agent(scripted).connections(HOME, 50, hold=True, limit_s=30)
    assert burst == (50, 2, {"200": 40})


def test_agent__sends_to_several_at_the_same_time() -> None:
    scripted = Scripted({"ok": {"answers": [{"replies": [REPLY]}, {"replies": [REPLY, REPLY]}]}})
    first, second = make_agent(scripted).requests_together([HOME, HttpRequest("aiohttp", 8000, "/")], 2)
    assert ([reply.text for reply in first], [reply.text for reply in second]) == (["hi"], ["hi", "hi"])
    (sent,) = scripted.sent
    assert sent["op"] == "requests_together"
    assert [(order["op"], order["host"], order["repeat"]) for order in sent["orders"]] == [
        ("requests", "django", 2),
        ("requests", "aiohttp", 2),
    ]


def test_agent__sends_nothing_for_no_requests() -> None:
    scripted = Scripted()
    assert make_agent(scripted).requests_together([], 2) == []
    assert scripted.sent == []


def test_agent__usage_is_none_if_the_host_hides_it() -> None:
    scripted = Scripted({"ok": {"parts": {"application": COUNTERS, "db": None}}})
    found = make_agent(scripted).usage({"application": "a", "db": "b"})
    usage = Usage(cpu_ms=1.0, memory_mib=2.0, throttled_ms=3.0, oom_kills=4, refused_forks=5)
    assert found == {"application": usage, "db": None}


def test_agent__checks_the_stack_while_wrk_runs() -> None:
    checks: list[int] = []
    scripted = Scripted(None, None, {"ok": WRK})
    answer = make_agent(scripted).wrk(wrk_order(), lambda: checks.append(1), 0.5)
    assert answer == WRK
    assert len(checks) == 2
    assert scripted.sent == [wrk_order().order]


def test_agent__a_check_may_give_up() -> None:
    def check() -> None:
        raise StackError("django exited with status 3")

    with pytest.raises(StackError, match="django exited"):
        make_agent(Scripted(None)).wrk(wrk_order(), check, 0.5)


def test_agent__its_own_error_is_raised() -> None:
    scripted = Scripted({"error": "FileNotFoundError: wrk"})
    with pytest.raises(StackError, match="the load generator failed: FileNotFoundError: wrk") as caught:
        make_agent(scripted).settle(["0123"], 1.0)
    assert caught.value.where == "order: settle"


def test_agent__that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "_GRACE_S", 0.0)
    with pytest.raises(StackError, match="the load generator does not answer") as caught:
        make_agent(Scripted()).machine()
    assert caught.value.where == "order: machine"


def test_build_agent_source__runs_where_this_package_is_not_installed() -> None:
    """Without site-packages and the working directory, as in the load container."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", generator.build_agent_source()],
        input='{"op": "machine"}\n{"op": "usage", "parts": {"ghost": "0123"}}\n',
        capture_output=True,
        text=True,
        check=True,
    )
    machine, usage = (json.loads(line) for line in done.stdout.splitlines())
    assert machine["ok"]["cores"] >= 1
    assert usage == {"ok": {"parts": {"ghost": None}}}


@pytest.mark.parametrize("module", generator.AGENT_MODULES)
def test_build_agent_source__has_no_syntax_that_python_3_9_lacks(module: str) -> None:
    package, _, name = module.rpartition(".")
    source = resources.files(package).joinpath(f"{name}.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 9))
    assert repr(source) in generator.build_agent_source()


def test_agent__skips_the_answer_to_an_order_that_was_given_up() -> None:
    scripted = Scripted(None, {"ok": {"requests": 3}}, {"ok": {"working": ["head"]}})
    agent = make_agent(scripted)

    def give_up() -> None:
        raise StackError("base has ended")

    with pytest.raises(StackError, match="base has ended"):
        agent.wrk(wrk_order("base"), give_up, 0.5)
    assert agent.settle(["head"], 1.0) == ["head"]


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
def test_wire__has_the_configured_headers_and_those_that_it_needs(request_: HttpRequest, sent: bytes) -> None:
    assert request_.wire == sent


def call_turns(agent: Agent) -> list[Turns]:
    parts = [{"application": "a", "db": "b"}]
    return agent.turns([HOME.tape], parts, seconds=0.1, per_turn=5, enough=500, number=3, timeout_s=1.0)


def test_agent__turns_come_back_as_samples_and_figures() -> None:
    scripted = Scripted({"ok": {"loads": [TURNS], "seconds": 0.2}})
    (turns,) = call_turns(make_agent(scripted))
    assert [(sample.status, sample.size) for sample in turns.seen] == [(200, 40), (200, 41)]
    assert (turns.latencies_us, turns.cpu_ms, turns.duration_s) == ([10.0, 20], {"application": 0.5, "db": None}, 0.1)


CALLS: dict[str, Callable[[Agent], object]] = {
    "machine": lambda agent: agent.machine(),
    "get": lambda agent: agent.get(HEALTH, 1.0),
    "requests": lambda agent: agent.requests(HOME, 1),
    "requests_together": lambda agent: agent.requests_together([HOME], 1),
    "connections": lambda agent: agent.connections(HOME, 5, hold=True, limit_s=1.0),
    "turns": call_turns,
    "wrk": lambda agent: agent.wrk(wrk_order(), lambda: None, 1.0),
    "duet": lambda agent: agent.duet([wrk_order(), wrk_order()], lambda: None, 1.0),
    "warm": lambda agent: agent.warm([wrk_order()], lambda: None, least_s=1.0, most_s=20.0),
    "usage": lambda agent: agent.usage({"application": "a"}),
    "settle": lambda agent: agent.settle(["a"], 1.0),
}
MACHINE = {
    "cpu_model": "",
    "cores": 2,
    "open_files": 1024,
    "machine": "x86_64",
    "cpus": [0, 1],
    "siblings": {"0": [0], "1": [1]},
    "boot_id": "",
    "load_average": 0.5,
    "free_disk_mib": 9000,
}


@pytest.mark.parametrize(
    ("op", "answer", "problem"),
    [
        ("machine", MACHINE | {"siblings": {"all": [0]}}, "`siblings` must have the numbers of CPUs as its keys"),
        ("machine", MACHINE | {"cpus": [0, "1"]}, "`cpus[1]` must be a whole number, not text"),
        ("machine", {}, "`cpu_model` is missing"),
        ("machine", [], "it must be an object, not a list"),
        ("get", get_answer("200"), "`status` must be a whole number, not text"),
        ("get", get_answer(True), "`status` must be a whole number, not true or false"),
        ("get", {"status": 200, "failure": ""}, "`problem` is missing"),
        ("requests", {"replies": {}}, "`replies` must be a list, not an object"),
        ("requests", {"replies": []}, "`replies` must not be empty"),
        (
            "requests",
            {"replies": [REPLY, REPLY | {"size": 1.5}]},
            "`replies[1].size` must be a whole number, not a dec",
        ),
        (
            "requests",
            {"replies": [REPLY | {"headers": {"x": 1}}]},
            "`replies[0].headers['x']` must be text, not a whole",
        ),
        ("requests", {"replies": [REPLY | {"body": "?"}]}, "`replies[0].body` must be base64"),
        ("requests_together", {"answers": []}, "`answers` must have 1 entries, not 0"),
        (
            "requests_together",
            {"answers": [{"replies": [None]}]},
            "`answers[0].replies[0]` must be an object, not null",
        ),
        ("requests_together", {"answers": [{"replies": []}]}, "`answers[0].replies` must not be empty"),
        ("connections", {"answered": 5, "late": 0, "statuses": {}}, "`refused_here` is missing"),
        ("turns", {"loads": [], "seconds": 0.1}, "`loads` must have 1 entries, not 0"),
        (
            "turns",
            {"loads": [TURNS | {"seen": [[200, "", ""]]}], "seconds": 0.1},
            "`loads[0].seen[0]` must be a list of",
        ),
        (
            "turns",
            {"loads": [TURNS | {"seen": ["200"]}], "seconds": 0.1},
            "`loads[0].seen[0]` must be a list, not text",
        ),
        (
            "turns",
            {"loads": [TURNS | {"latencies_us": ["1"]}], "seconds": 0.1},
            "`loads[0].latencies_us[0]` must be a nu",
        ),
        (
            "turns",
            {"loads": [TURNS | {"cpu_ms": {"db": ""}}], "seconds": 0.1},
            "`loads[0].cpu_ms['db']` must be a number",
        ),
        ("wrk", WRK | {"output": None}, "`output` must be text, not null"),
        ("wrk", WRK | {"before": {"db": {"cpu_ms": 1.0}}}, "`before['db'].throttled_ms` is missing"),
        ("wrk", WRK | {"idle": {"cpu": 0.5}}, "`idle` must have the numbers of CPUs as its keys"),
        ("wrk", WRK | {"memory_mib": "1"}, "`memory_mib` must be a number, not text"),
        (
            "wrk",
            WRK | {"marks": [[0.25, 0.5, 3.0, 64.5]]},
            "`marks[0]` must be a list of a number, a whole number, a number, a number",
        ),
        ("duet", {"answers": [WRK]}, "`answers` must have 2 entries, not 1"),
        ("duet", {"answers": [WRK, WRK | {"live": None}]}, "`answers[1].live` must be a whole number, not null"),
        ("usage", {"application": COUNTERS}, "`parts` is missing"),
        ("settle", {"working": "a"}, "`working` must be a list, not text"),
    ],
)
def test_agent__an_answer_of_the_wrong_shape_names_the_field(op: str, answer: object, problem: str) -> None:
    with pytest.raises(StackError) as caught:
        CALLS[op](make_agent(Scripted({"ok": answer})))
    assert caught.value.what.startswith("the load generator sent an answer of the wrong shape: ")
    assert problem in caught.value.what
    assert caught.value.where == f"order: {op}"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "it is not JSON"),
        ("Traceback (most recent call last):", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it must be an object with `ok` or `error`"),
        ("{}", "it must be an object with `ok` or `error`"),
        ('{"error": 1}', "field `error` must be text, not a whole number"),
    ],
)
def test_agent__a_line_that_is_not_an_answer_is_refused(line: str, problem: str) -> None:
    with pytest.raises(StackError, match="an answer of the wrong shape") as caught:
        make_agent(Scripted(line)).machine()
    assert caught.value.what.endswith(problem)


def test_agent__ignores_fields_that_it_does_not_know() -> None:
    scripted = Scripted({"ok": {"working": [], "unit": "s"}})
    assert make_agent(scripted).settle(["a"], 1.0) == []


def test_agent__a_key_in_an_error_is_short_and_printable() -> None:
    reply = REPLY | {"headers": {"\x1b[31m" + "x" * 1000: None}}
    with pytest.raises(StackError) as caught:
        make_agent(Scripted({"ok": {"replies": [reply]}})).requests(HOME, 1)
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 200
