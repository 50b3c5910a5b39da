"""Readiness of a program that is asked over HTTP."""

from typing import cast

import pytest

from bench_action.engine.protocol import Handle
from bench_action.load.generator import Agent
from bench_action.stack.services import http_probe

pytestmark = pytest.mark.unit

HOSTS = ("shop", "shop-base", "shop-a", "shop-b")


class Answers:
    """An agent to which a program always answers the same."""

    def __init__(self, status: int, problem: str = "") -> None:
        self._answer = status, problem

    def get(self, _host: str, port: int, path: str, timeout_s: float) -> tuple[int, str]:
        assert (port, path) == (8000, "/health")
        assert timeout_s > 0
        return self._answer


def probe(status: int, host: str = "shop-a", problem: str = "") -> str:
    agent = cast(Agent, Answers(status, problem))
    return http_probe(agent, Handle("1", "shop", "subject", host, 8000), "/health", HOSTS)()


def test_probe__of_a_program_that_is_ready_is_empty() -> None:
    assert probe(200) == ""


@pytest.mark.parametrize("status", [400, 403, 421])
def test_probe__of_a_program_that_may_refuse_its_host_name_tells_all_of_them(status: int) -> None:
    text = probe(status)
    assert text.startswith(f"GET /health: answered {status}, expected 200; if it refuses the host name shop-a, ")
    assert "shop, shop-base, shop-a and shop-b" in text


@pytest.mark.parametrize(("status", "host"), [(302, "shop"), (404, "shop"), (503, "shop"), (400, "127.0.0.1")])
def test_probe__of_other_answers_tells_no_names(status: int, host: str) -> None:
    assert probe(status, host) == f"GET /health: answered {status}, expected 200"


def test_probe__of_a_program_that_does_not_answer_says_why() -> None:
    assert probe(0, problem="connection refused") == "GET /health: connection refused"
