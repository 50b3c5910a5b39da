"""Several load generators as one: what they saw is added up exactly."""

import json
import math
import random
from statistics import fmean, stdev
from typing import Any

import pytest

from bench_action.config.schema import Profile
from bench_action.load.generator import HttpRequest
from bench_action.load.several import add_up, summarise_histogram
from bench_action.load.wrk import SENTINEL, build_order, parse_report, share_profile

LINE = {"requests": 0, "bytes": 0, "connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0, "sent": []}
LATENCY = dict.fromkeys(("mean_us", "stdev_us", "min_us", "max_us", "p50_us", "p90_us", "p99_us", "p999_us"), 1)


def make_answer(values: list[int], *, duration_s: float, wall_s: float = 2.0, live: int = 8, **changes: Any) -> Any:
    counts = {value: values.count(value) for value in set(values)}
    line = LINE | LATENCY | {"requests": len(values), "bytes": 10 * len(values), "duration_us": round(1e6 * duration_s)}
    figures = {
        "status": 0,
        "cpu_s": 0.5,
        "wall_s": wall_s,
        "clock_step_s": 0.0,
        "live": live,
        "open": live,
        "early": live,
    }
    parts: dict[str, Any] = {
        "sampled": [],
        "memory_mib": None,
        "before": {},
        "after": {},
        "steal_percent": 0.0,
        "idle": {},
        "marks": [],
    }
    seen = {
        "machines": {"": {"idle": {"0": 0.5}, "steal_percent": 0.0}},
        "lateness_s": 0.0,
        "cores": 4,
        "busy": None,
        "marks": [],
    }
    histogram = sorted([value, count] for value, count in counts.items())
    return {"output": SENTINEL + json.dumps(line), "histogram": histogram, **figures, **parts, **seen, **changes}


def test_add_up__is_what_one_generator_would_have_seen() -> None:
    dice = random.Random(1)
    first, second = ([dice.randrange(100, 100_000) for _ in range(count)] for count in (4000, 1000))
    answers = [make_answer(first, duration_s=2.0), make_answer(second, duration_s=1.9, live=7)]
    report = parse_report(add_up(answers, [10.0, 10.05], [2, 1]), "a · b")
    both = sorted(first + second)
    assert report.requests == 5000
    assert report.requests / report.duration_s == pytest.approx(4000 / 2.0 + 1000 / 1.9, rel=1e-5)
    assert report.latency is not None
    for share, found in ((0.5, report.latency.p50_us), (0.99, report.latency.p99_us)):
        assert found == both[math.floor(share * 5000 + 0.5) - 1]
    assert report.latency.mean_us == pytest.approx(fmean(both))
    assert report.latency.stdev_us == pytest.approx(stdev(both))
    assert (report.latency.min_us, report.latency.max_us) == (both[0], both[-1])
    assert (report.connections_live, report.generator_cpu_s, report.bytes_read) == (15, 1.0, 50_000)
    assert report.lateness_s == pytest.approx(0.05)
    assert set(report.machines) == {"", "load2"}
    assert report.busiest == pytest.approx(0.5 / 1.9)  # of the one with one thread


def test_add_up__a_generator_that_failed_is_not_hidden() -> None:
    failed = make_answer([], duration_s=1.0, status=1, output="unable to connect")
    assert add_up([make_answer([5], duration_s=1.0), failed], [1.0, 1.0], [1, 1]) == failed


def test_summarise_histogram__of_nothing() -> None:
    assert set(summarise_histogram([[], []]).values()) == {0}


@pytest.mark.parametrize(("connections", "threads", "count"), [(64, 2, 2), (65, 10, 2), (500, 10, 3), (1, 1, 2)])
def test_share_profile__divides_connections_that_threads_can_divide(connections: int, threads: int, count: int) -> None:
    profile = Profile(connections=threads, threads=threads, duration=1).model_copy(update={"connections": connections})
    shares = [share_profile(profile, number, count) for number in range(count)]
    assert sum(share.connections for share in shares) == connections
    assert all(share.connections % share.threads == 0 and share.threads <= threads for share in shares)


def test_divide__only_the_first_watches_containers_and_serial_numbers_are_apart() -> None:
    profile = Profile(connections=3, threads=1, duration=1)
    load = build_order(profile, HttpRequest("app", 80, "/").tape, duration_s=1, parts={"application": "0"}, limit_s=5)
    shares = load.divide(4)
    assert [share.order["connections"] for share in shares] == [1, 1, 1]  # of four, one has nothing to do
    assert [share.order["parts"] for share in shares] == [{"application": "0"}, {}, {}]
    assert len({share.order["first_serial"] for share in shares}) == 3
    assert all(share.order["divided"] for share in shares)
    assert not load.order["divided"]


def test_divide__a_user_of_a_session_has_one_request_at_a_time() -> None:
    session = {"users": 2, "requests": [{"path": "/login"}]}
    profile = Profile.model_validate({"connections": 4, "threads": 1, "duration": 1, "session": session})
    load = build_order(profile, HttpRequest("app", 80, "/").tape, duration_s=1, parts={}, limit_s=5)
    (only,) = load.divide(3)
    assert only.order == load.order
