"""Readiness of a program, probed over HTTP."""

from typing import cast

import pytest

from bench_action.engine.protocol import Handle
from bench_action.load.generator import Agent
from bench_action.stack.services import make_http_probe

pytestmark = pytest.mark.unit


class FixedAgent:
    """An agent to which a program always gives the same answer."""

    def __init__(self, status: int, problem: str = "") -> None:
        self._answer = status, problem

    def get(self, handle: Handle, path: str, timeout_s: float) -> tuple[int, str]:
        assert (handle.port, path) == (8000, "/health")
        assert timeout_s > 0
        return self._answer


def probe(status: int, problem: str = "") -> str:
    agent = cast(Agent, FixedAgent(status, problem))
    return make_http_probe(agent, Handle("1", "shop", "subject", "shop", 8000), "/health")()


def test_probe__is_empty_if_the_program_is_ready() -> None:
    assert probe(200) == ""


@pytest.mark.parametrize("status", [400, 403, 421])
def test_probe__names_the_host_if_the_program_may_refuse_it(status: int) -> None:
    text = probe(status)
    assert text.startswith(f"GET /health: answered {status}, expected 200; if it refuses the host name shop, ")


@pytest.mark.parametrize("status", [302, 404, 503])
def test_probe__names_no_host_after_other_answers(status: int) -> None:
    assert probe(status) == f"GET /health: answered {status}, expected 200"


def test_probe__reports_why_the_program_does_not_answer() -> None:
    assert probe(0, problem="connection refused") == "GET /health: connection refused"
