"""Warming a server up with the real wrk: it counts what it sends, and reports when it is interrupted."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_replies import Server, make_profile, serving

from bench_action.load import agent
from bench_action.load.generator import HttpRequest
from bench_action.load.messages import WarmAnswer, WarmRun, WrkEnd, require_shape
from bench_action.load.wrk import SENTINEL, build_order, parse_errors

pytestmark = pytest.mark.integration

KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CLOSED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


def warm(server: Server, folder: Path, least_s: float = 1.0, most_s: float = 2.0) -> WarmRun:
    """Warm a server of this process up, for as short a time as possible."""
    pidfile = folder / "server.pid"
    pidfile.write_text(str(os.getpid()))
    order = build_order(
        make_profile(),
        HttpRequest("127.0.0.1", server.port, "/").tape,
        duration_s=60,
        parts={"application": f"pidfile:{pidfile}"},
        limit_s=30.0,
        counted=True,
    ).order
    answer = agent.warm({"op": "warm", "orders": [order], "least_s": least_s, "most_s": most_s})
    (run,) = require_shape(json.loads(json.dumps(answer)), WarmAnswer)["runs"]
    return run


def read_report(end: WrkEnd) -> dict[str, Any]:
    """Read the line that report.lua has printed."""
    (line,) = (line for line in end["output"].splitlines() if line.startswith(SENTINEL))
    report: dict[str, Any] = json.loads(line.removeprefix(SENTINEL))
    return report


@pytest.mark.parametrize("reply", [KEPT, CLOSED])
def test_warm__counts_what_wrk_sends_until_it_is_interrupted(reply: bytes, tmp_path: Path) -> None:
    with serving(lambda _request, _number: reply) as server:
        run = warm(server, tmp_path)
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
    monkeypatch.setattr(agent, "JUDGED_S", 0.6)
    with serving(lambda _request, _number: KEPT) as server:
        run = warm(server, tmp_path, least_s=3.0, most_s=20.0)
        assert len(run["ends"]) > 2
        expected = (2 + 1) * len(run["ends"])  # one connection to look at the server
        while server.accepted < expected:
            time.sleep(0.01)
        assert server.accepted == expected
    assert parse_errors(run, "").total == 0
    seconds, used_ms, sent = zip(*run["readings"], strict=True)
    assert list(seconds) == sorted(seconds)
    assert list(used_ms) == sorted(used_ms)
    assert seconds[-1] < run["duration_s"]  # without the pauses
    answered = sum(report["requests"] for report in map(read_report, run["ends"]))
    assert 0.8 * answered < sent[-1] <= answered + 2


def test_warm__keeps_what_it_knows_if_a_server_is_gone_when_it_connects_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)
    monkeypatch.setattr(agent, "JUDGED_S", 0.6)
    end_all = agent.end_all

    def leave(loads: Sequence[agent.WarmLoad]) -> None:
        end_all(loads)
        server.close()

    monkeypatch.setattr(agent, "end_all", leave)
    with serving(lambda _request, _number: KEPT) as server:
        run = warm(server, tmp_path, least_s=3.0, most_s=20.0)
    assert [end["status"] for end in run["ends"]] == [0, 1]
    assert "unable to connect" in run["ends"][1]["output"]
    assert run["readings"][-1][2] > 0
    assert parse_errors(run, "").total == 0


def test_warm__stays_connected_if_a_server_is_slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)

    def answer(_request: bytes, _number: int) -> bytes:
        time.sleep(0.5)
        return KEPT

    with serving(answer) as server:
        run = warm(server, tmp_path, least_s=3.0, most_s=3.5)
    assert [end["status"] for end in run["ends"]] == [0]
