"""Readiness of a program, probed over HTTP."""

from typing import cast

import pytest

from bench_action.engine.protocol import Handle
from bench_action.load.generator import Agent
from bench_action.stack.services import make_http_probe

pytestmark = pytest.mark.unit

HOSTS = ("shop", "shop-base", "shop-a", "shop-b")


class FixedAgent:
    """An agent to which a program always gives the same answer."""

    def __init__(self, status: int, problem: str = "") -> None:
        self._answer = status, problem

    def get(self, _host: str, port: int, path: str, timeout_s: float) -> tuple[int, str]:
        assert (port, path) == (8000, "/health")
        assert timeout_s > 0
        return self._answer


def probe(status: int, host: str = "shop-a", problem: str = "") -> str:
    agent = cast(Agent, FixedAgent(status, problem))
    return make_http_probe(agent, Handle("1", "shop", "subject", host, 8000), "/health", HOSTS)()


def test_probe__is_empty_if_the_program_is_ready() -> None:
    assert probe(200) == ""


@pytest.mark.parametrize("status", [400, 403, 421])
def test_probe__lists_all_host_names_if_the_program_may_refuse_one(status: int) -> None:
    text = probe(status)
    assert text.startswith(f"GET /health: answered {status}, expected 200; if it refuses the host name shop-a, ")
    assert "shop, shop-base, shop-a and shop-b" in text


@pytest.mark.parametrize(("status", "host"), [(302, "shop"), (404, "shop"), (503, "shop"), (400, "127.0.0.1")])
def test_probe__lists_no_host_names_after_other_answers(status: int, host: str) -> None:
    assert probe(status, host) == f"GET /health: answered {status}, expected 200"


def test_probe__reports_why_the_program_does_not_answer() -> None:
    assert probe(0, problem="connection refused") == "GET /health: connection refused"
