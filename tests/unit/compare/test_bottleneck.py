"""What limits a variant that is loaded alone, by how busy each host was."""

from typing import Any

import pytest
from tests.unit.factories import make_trial

from bench_action.compare.bottleneck import average_hosts, name_bottleneck
from bench_action.model.result import Trial

CPUS = {"application": 4, "services": 4, "wrk": 4}
IDLE = {"application": 0.4, "services": 0.3, "wrk": 0.2}


def make_trials(**changes: Any) -> list[Trial]:
    fields: dict[str, Any] = {
        "host_busy": IDLE,
        "cpu_ms": {"application": 15_000.0, "db": 4000.0, "generator": 900.0},
        "wall_s": 10.0,
    }
    return [make_trial(block=block, **(fields | changes)) for block in (1, 2, 3)]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ""),
        ({"host_busy": IDLE | {"application": 0.95}}, "application"),
        ({"host_busy": IDLE | {"services": 0.95}}, "database"),
        ({"host_busy": IDLE | {"services": 0.95}, "cpu_ms": {"db": 1000.0, "search": 30_000.0}}, "search"),
        ({"host_busy": IDLE | {"wrk": 0.95}}, "generator"),
        ({"generator_busy": 0.8}, "generator"),
        ({"bytes_read": 900_000_000}, "network"),
        ({"cpu_ms": {"application": 9_900.0, "db": 4000.0}}, "application"),  # one process of one thread
        ({"cpu_ms": {"application": 15_000.0, "db": 9_850.0}}, "database"),
        ({"host_busy": {}}, ""),
    ],
)
def test_bottleneck__is_named(changes: dict[str, Any], found: str) -> None:
    assert name_bottleneck(make_trials(**changes), CPUS, 100e6) == found


def test_bottleneck__the_network_carries_what_all_generators_receive() -> None:
    two = make_trials(host_busy=IDLE | {"wrk 2": 0.2}, bytes_read=900_000_000)
    assert name_bottleneck(two, CPUS | {"wrk 2": 4}, 100e6) == "network"


def test_bottleneck__workers_run_with_the_application() -> None:
    trials = make_trials(
        host_busy=IDLE | {"application": 0.95}, cpu_ms={"application": 9_000.0, "worker": 25_000.0, "db": 30_000.0}
    )
    assert name_bottleneck(trials, CPUS, None, ["worker"]) == "worker"


def test_bottleneck__of_hosts_with_several_roles() -> None:
    trials = make_trials(host_busy={"application": 0.5, "services and wrk": 0.95})
    assert name_bottleneck(trials, {"application": 4, "services and wrk": 4}, None) == "database"
    assert average_hosts(trials) == {"application": 0.5, "services and wrk": 0.95}
