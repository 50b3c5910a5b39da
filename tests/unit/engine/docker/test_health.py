"""What the engine says about a container's health and times."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bench_action.engine.docker.health import parse_healthcheck, parse_time

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({}, None),
        ({"Healthcheck": None}, None),
        ({"Healthcheck": {"Test": []}}, None),
        ({"Healthcheck": {"Test": ["NONE"]}}, None),
        ({"Healthcheck": {"Test": ["CMD"]}}, None),
        ({"Healthcheck": {"Test": ["CMD", "redis-cli", "ping"]}}, ["redis-cli", "ping"]),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "curl -f x || exit 1"]}}, ["/bin/sh", "-c", "curl -f x || exit 1"]),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "x"]}, "Shell": ["/bin/bash", "-ec"]}, ["/bin/bash", "-ec", "x"]),
    ],
)
def test_parse_healthcheck__returns_the_command_of_each_form(config: dict[str, Any], command: list[str] | None) -> None:
    assert parse_healthcheck(config) == command


@pytest.mark.parametrize(
    "text", ["2026-11-28T05:20:11.123456789Z", "2026-11-28T05:20:11.123456Z", "2026-11-28T05:20:11.123456+00:00"]
)
def test_parse_time__reads_nanoseconds(text: str) -> None:
    assert parse_time(text) == datetime(2026, 11, 28, 5, 20, 11, 123456, UTC).timestamp()


def test_parse_time__of_what_never_happened() -> None:
    assert parse_time("0001-01-01T00:00:00Z") is None
    assert parse_time("2026-11-28T05:20:11Z") is not None
