"""Warming a server up with the real wrk: it counts what it sends, and reports when it is interrupted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_replies import Server, make_profile, serving

from bench_action.load import agent
from bench_action.load.generator import HttpRequest
from bench_action.load.messages import SettleAnswer, SettleOrder, WarmAnswer, WarmRun, WrkEnd, require_shape
from bench_action.load.wrk import SENTINEL, build_order, parse_errors
from bench_action.measure.warming import describe_warm_ups
from bench_action.stats.steady import Trend, measure_span_s

pytestmark = pytest.mark.integration

KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CLOSED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


def warm(
    *servers: Server, folder: Path, least_s: float = 1.0, most_s: float = 2.0, rests: bool = True
) -> list[WarmRun]:
    """Warm servers of this process up, for as short a time as possible."""
    pidfile = folder / "server.pid"
    pidfile.write_text(str(os.getpid()))
    orders = [
        build_order(
            make_profile(),
            HttpRequest("127.0.0.1", server.port, "/").tape,
            duration_s=60,
            parts={"application": f"pidfile:{pidfile}"},
            limit_s=30.0,
            counted=True,
        ).order
        for server in servers
    ]
    answer = agent.warm({"op": "warm", "orders": orders, "least_s": least_s, "most_s": most_s, "rests": rests})
    return require_shape(json.loads(json.dumps(answer)), WarmAnswer)["runs"]


def read_report(end: WrkEnd) -> dict[str, Any]:
    """Read the line that report.lua has printed."""
    (line,) = (line for line in end["output"].splitlines() if line.startswith(SENTINEL))
    report: dict[str, Any] = json.loads(line.removeprefix(SENTINEL))
    return report


@pytest.mark.parametrize("reply", [KEPT, CLOSED])
def test_warm__counts_what_wrk_sends_until_it_is_interrupted(reply: bytes, tmp_path: Path) -> None:
    with serving(lambda _request, _number: reply) as server:
        (run,) = warm(server, folder=tmp_path)
    (end,) = run["ends"]
    report = read_report(end)
    assert end["status"] == 0
    assert parse_errors(run, "").status == 0
    assert 1 <= run["duration_s"] < 60
    sent = [requests for _, _, requests in run["readings"]]
    assert sent == sorted(sent)
    assert 0 < sent[-1] <= len(server.requests) + 1 + 2  # one to verify the script, one under way on each connection
    assert report["requests"] > 0
    used_ms = [cpu_ms for _, cpu_ms, _ in run["readings"]]
    assert used_ms[-1] > 0


def test_warm__connects_again_as_it_does_before_a_slice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)
    monkeypatch.setattr(agent, "UNJUDGED_S", 0.6)
    with serving(lambda _request, _number: KEPT) as server:
        (run,) = warm(server, folder=tmp_path, least_s=5.0, most_s=20.0)
        assert len(run["ends"]) > 1
        expected = (2 + 1) * len(run["ends"])  # one connection to look at the server
        deadline = time.monotonic() + 20
        while server.accepted < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.accepted == expected
    assert parse_errors(run, "").total == 0


def test_warm__leaves_pauses_out_of_its_readings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)
    monkeypatch.setattr(agent, "UNJUDGED_S", 0.6)
    start = agent.WarmLoad.start

    def start_late(load: agent.WarmLoad) -> None:
        until = time.thread_time() + 0.5
        while load.ends and time.thread_time() < until:
            pass
        start(load)

    monkeypatch.setattr(agent.WarmLoad, "start", start_late)
    with serving(lambda _request, _number: KEPT) as server:
        before_s = sum(os.times()[:4])  # of this process and its children, among them wrk
        (run,) = warm(server, folder=tmp_path, least_s=5.0, most_s=20.0)
        used_s = sum(os.times()[:4]) - before_s
    pauses_s = 0.5 * (len(run["ends"]) - 1)
    assert pauses_s > 0
    seconds, used_ms, sent = zip(*run["readings"], strict=True)
    assert list(seconds) == sorted(seconds)
    assert list(sent) == sorted(sent)
    assert 0 < seconds[-1] < run["duration_s"] - pauses_s
    assert 0 < used_ms[-1] < 1000 * (used_s - pauses_s)


def test_warm__keeps_what_it_knows_if_a_server_is_gone_when_it_connects_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)
    monkeypatch.setattr(agent, "UNJUDGED_S", 0.6)
    end_all = agent.end_all

    def leave(loads: Sequence[agent.WarmLoad]) -> None:
        end_all(loads)
        leaving.close()

    monkeypatch.setattr(agent, "end_all", leave)
    with serving(lambda _request, _number: KEPT) as staying, serving(lambda _request, _number: KEPT) as leaving:
        stayed, left = warm(staying, leaving, folder=tmp_path, least_s=3.0, most_s=20.0)
    assert [end["status"] for end in stayed["ends"]] == [0, 0]  # also of the wrk that had just been started
    assert [end["status"] for end in left["ends"]] == [0, 1]
    assert "unable to connect" in left["ends"][1]["output"]
    assert left["readings"][-1][2] > 0
    assert parse_errors(left, "").total == 0
    assert [each.steady for each in describe_warm_ups([stayed, left], 20.0)] == [None, None]


@pytest.mark.parametrize(("rests", "fallen"), [(True, True), (False, True), (True, False)])
def test_warm__waits_for_what_goes_on_without_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, rests: bool, fallen: bool
) -> None:
    """As a compiler does; unless the application is known never to rest, or requests have not become cheaper."""
    monkeypatch.setattr(agent, "_REST_S", 1.0)  # this process is the server, and carries the load's orders out
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)
    monkeypatch.setattr(agent, "UNJUDGED_S", 0.3)
    monkeypatch.setattr(agent, "is_steady", lambda _: True)
    monkeypatch.setattr(agent, "has_fallen_far", lambda _: fallen)
    monkeypatch.setattr(agent, "find_trend", lambda _: Trend(1.0, 1.0, span_s=0.3))
    asked, settle = list[bool](), agent.settle

    def settle_twice(order: SettleOrder) -> SettleAnswer:
        found = settle(order)
        asked.append(bool(found["working"]))
        if len(asked) == 2:
            compiler.kill()
        return found

    monkeypatch.setattr(agent, "settle", settle_twice)
    with (
        serving(lambda _request, _number: KEPT) as server,
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) as compiler,
    ):
        try:
            (run,) = warm(server, folder=tmp_path, most_s=300.0, rests=rests)
        finally:
            compiler.kill()
    if not (rests and fallen):
        assert (asked, run["rested"]) == ([], None)
        return
    assert asked[:2] == [True, True]
    assert run["rested"] is True
    assert len(run["ends"]) >= 2  # it was loaded again after it had worked
    assert describe_warm_ups([run], 60.0)[0].rested is True


@pytest.mark.parametrize("looks", ["", "w"])
def test_warm__ends_if_the_server_has_rested_since_the_cost_is_level(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, looks: str
) -> None:
    """Between two tasks, a compiler rests as well."""
    monkeypatch.setattr(agent, "CONNECTED_S", 1.2)  # so that it is level when it is looked at first
    monkeypatch.setattr(agent, "UNJUDGED_S", 0.2)
    monkeypatch.setattr(agent, "is_steady", lambda _: True)
    monkeypatch.setattr(agent, "has_fallen_far", lambda _: True)
    orders, seen, script = list[SettleOrder](), list[tuple[bool, float]](), iter(looks)
    see = agent.WarmLoad.see

    def look(order: SettleOrder) -> SettleAnswer:
        """Answer as scripted if it is asked whether the server rests; then it is asked to wait for what does not."""
        orders.append(order)
        works = len(orders) % 2 == 1 and next(script, "r") == "w"
        return {"working": order["parts"] if works else []}

    def note(load: agent.WarmLoad, *, works: bool) -> None:
        seen.append((works, load.readings[-1].at_s))
        see(load, works=works)

    monkeypatch.setattr(agent, "settle", look)
    monkeypatch.setattr(agent.WarmLoad, "see", note)
    with serving(lambda _request, _number: KEPT) as server:
        (run,) = warm(server, folder=tmp_path, most_s=60.0)
    assert run["rested"] is True
    assert len(run["ends"]) == len(seen) == len(orders) / 2
    assert [works for works, _ in seen[: len(looks)]] == [each == "w" for each in looks]
    assert [bool(order["parts"]) for order in orders[1::2]] == [works for works, _ in seen]
    worked_s = max((at_s for works, at_s in seen if works), default=0.0)
    ends = [at_s - 2 * measure_span_s(at_s) >= worked_s for _, at_s in seen]
    assert ends == [False] * (len(seen) - 1) + [True]


def test_warm__looks_only_at_servers_whose_requests_have_become_cheaper(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(agent, "is_steady", lambda _: True)
    monkeypatch.setattr(agent, "settle", lambda _: {"working": []})
    with serving(lambda _request, _number: KEPT) as level, serving(lambda _request, _number: KEPT) as fallen:

        def has_fallen(load: agent.WarmLoad) -> bool:
            return any(str(fallen.port) in argument for argument in load._argv)

        monkeypatch.setattr(agent.WarmLoad, "fallen_far", property(has_fallen))
        runs = warm(level, fallen, folder=tmp_path, most_s=20.0)
    assert [run["rested"] for run in runs] == [None, True]


def test_warm__waits_for_what_works_within_the_limit_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.6)
    monkeypatch.setattr(agent, "UNJUDGED_S", 0.2)
    monkeypatch.setattr(agent, "is_steady", lambda _: True)
    monkeypatch.setattr(agent, "has_fallen_far", lambda _: True)
    limits_s = list[float]()

    def work(order: SettleOrder) -> SettleAnswer:
        limits_s.append(order["limit_s"])
        return {"working": order["parts"]}

    monkeypatch.setattr(agent, "settle", work)
    with serving(lambda _request, _number: KEPT) as server:
        (run,) = warm(server, folder=tmp_path, least_s=1.0, most_s=1.4)
    assert run["rested"] is False
    assert 0 <= limits_s[-1] < 0.6


def test_warm__stays_connected_if_a_server_is_slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)

    def answer(_request: bytes, _number: int) -> bytes:
        time.sleep(0.5)
        return KEPT

    with serving(answer) as server:
        (run,) = warm(server, folder=tmp_path, least_s=3.0, most_s=3.5)
    assert [end["status"] for end in run["ends"]] == [0]
