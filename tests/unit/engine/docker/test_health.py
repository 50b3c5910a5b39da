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
    ("text", "us"),
    [
        ("2026-11-28T05:20:11.123456789Z", 123456),
        ("2026-11-28T05:20:11.123456Z", 123456),
        ("2026-11-28T05:20:11.123456+00:00", 123456),
        ("2026-11-28T10:50:11.123456789+05:30", 123456),
        ("2026-11-27T21:20:11.12-08:00", 120000),
        ("2026-11-28T07:20:11+02:00", 0),
        ("2026-11-28T05:20:11.1Z", 100000),
    ],
)
def test_parse_time__reads_any_fraction_and_time_zone(text: str, us: int) -> None:
    assert parse_time(text) == datetime(2026, 11, 28, 5, 20, 11, us, UTC).timestamp()


def test_parse_time__of_what_never_happened() -> None:
    assert parse_time("0001-01-01T00:00:00Z") is None
    assert parse_time("2026-11-28T05:20:11Z") is not None
