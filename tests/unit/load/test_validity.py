"""Which trials measured what their profile says: every limit from both sides."""

from dataclasses import replace

import pytest
from tests.unit.factories import LATENCY

from bench_action.config.schema import Profile
from bench_action.load.validity import Circumstances, compute_generator_busy, judge
from bench_action.load.wrk import Report
from bench_action.model.result import Errors
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

PROFILE = Profile(connections=500, threads=10, duration=10, timeout=2)
VALID = Report(
    duration_s=10.0,
    wall_s=10.1,
    clock_step_s=0.0,
    requests=10_000,
    bytes_read=1,
    errors=Errors(),
    latency=LATENCY.model_copy(update={"mean_us": 500_000.0}),
    connections_live=500,
    generator_cpu_s=1.0,
    steal_percent=0.0,
)
CIRCUMSTANCES = Circumstances("aiohttp · article-500", keep_alive=True, generator_cores=2, throttled_ms=0.0)


def codes(
    report: Report = VALID, circumstances: Circumstances = CIRCUMSTANCES, profile: Profile = PROFILE
) -> list[Code]:
    return [warning.code for warning in judge(report, profile, circumstances)]


def test_judge__a_valid_trial_has_no_warning() -> None:
    assert codes() == []


def test_judge__every_warning_names_its_cell_and_carries_its_advice() -> None:
    (warning,) = judge(replace(VALID, connections_live=499), PROFILE, CIRCUMSTANCES)
    assert warning.cell == "aiohttp · article-500"
    assert warning.advice == Code.FEWER_CONNECTIONS.advice
    assert warning.message == "at most 499 of 500 connections were open at the same time"


def test_judge__one_connect_error_is_enough_and_explains_the_missing_connections() -> None:
    failed = replace(VALID, errors=Errors(connect=1), connections_live=499)
    assert codes(failed) == [Code.CONNECT_ERRORS]


@pytest.mark.parametrize(
    ("keep_alive", "live", "found"),
    [
        (True, 500, []),
        (True, 499, [Code.FEWER_CONNECTIONS]),
        (False, 490, []),
        (False, 489, [Code.FEWER_CONNECTIONS]),
    ],
)
def test_judge__live_connections(keep_alive: bool, live: int, found: list[Code]) -> None:
    assert codes(replace(VALID, connections_live=live), replace(CIRCUMSTANCES, keep_alive=keep_alive)) == found


@pytest.mark.parametrize(
    ("requests", "status", "found"),
    [
        (0, 0, [Code.NOTHING_SERVED]),
        (9000, 9000, []),  # load/replies.py warns about errors that are most replies
        (9000, 4501, []),
        (9000, 4500, [Code.APPLICATION_ERRORS]),
        (500, 0, []),
        (499, 0, [Code.FEW_REPLIES]),
        (1, 0, [Code.FEW_REPLIES]),
    ],
)
def test_judge__replies(requests: int, status: int, found: list[Code]) -> None:
    latency = LATENCY.model_copy(update={"mean_us": 1e6 * 500 * 10 / max(1, requests)})
    assert codes(replace(VALID, requests=requests, latency=latency, errors=Errors(status=status))) == found


def test_judge__a_server_that_stops_answering_shows_no_error() -> None:
    """It has answered 10,000 requests in half a second each; then connections waited for replies that never came."""
    assert codes(replace(VALID, requests=5100)) == []
    assert codes(replace(VALID, requests=4900)) == [Code.STALLED]
    assert codes(replace(VALID, requests=4900), replace(CIRCUMSTANCES, keep_alive=False)) == []  # opened again
    assert codes(replace(VALID, requests=4900, duration_s=3.0, wall_s=3.1)) == []  # too short to tell


def test_judge__replies_after_the_timeout_have_taken_that_long_at_least() -> None:
    late = replace(VALID, requests=1600, latency=None, errors=Errors(timeout=1600))
    assert codes(late) == [Code.APPLICATION_ERRORS]


@pytest.mark.parametrize("name", ["read", "write", "status", "timeout"])
def test_judge__errors_of_the_application_are_results(name: str) -> None:
    (warning,) = judge(replace(VALID, errors=Errors(**{name: 3})), PROFILE, CIRCUMSTANCES)
    assert warning.code is Code.APPLICATION_ERRORS
    assert f"3 {name}" in warning.message
    assert not warning.code.invalidates


def test_judge__unexpected_statuses_that_were_sampled_are_named() -> None:
    circumstances = replace(CIRCUMSTANCES, unexpected="429 in 3 of 8 sampled")
    (warning,) = judge(replace(VALID, errors=Errors(status=12)), PROFILE, circumstances)
    assert warning.message == "errors under load: 12 status (429 in 3 of 8 sampled)"


@pytest.mark.parametrize(
    ("cpu_s", "cores", "threads", "found"),
    [
        (14.0, 2, 10, []),
        (14.01, 2, 10, [Code.GENERATOR_SATURATED]),
        (7.0, 8, 1, []),
        (7.01, 8, 1, [Code.GENERATOR_SATURATED]),
    ],
)
def test_judge__the_generator(cpu_s: float, cores: int, threads: int, found: list[Code]) -> None:
    profile = PROFILE.model_copy(update={"threads": threads})
    assert codes(replace(VALID, generator_cpu_s=cpu_s), replace(CIRCUMSTANCES, generator_cores=cores), profile) == found


def test_compute_generator_busy__is_cpu_time_over_what_its_threads_can_use() -> None:
    assert compute_generator_busy(replace(VALID, generator_cpu_s=5.0), PROFILE, 2) == 0.25
    assert compute_generator_busy(replace(VALID, generator_cpu_s=5.0), PROFILE, 100) == 0.05
    assert compute_generator_busy(replace(VALID, duration_s=0.0), PROFILE, 2) == 1.0


@pytest.mark.parametrize(
    ("duration_s", "wall_s", "step_s", "found"),
    [
        (10.0, 10.2, 0.1, []),
        (10.0, 10.2, 0.11, [Code.CLOCK_STEP]),
        (10.0, 10.2, -0.11, [Code.CLOCK_STEP]),
        (1.1, 1.73, 0.0, []),  # it was started late, or its end was seen late
        (10.2, 10.0, 0.0, [Code.CLOCK_STEP]),
        (-3600.0, 10.0, 0.0, [Code.GENERATOR_SATURATED, Code.CLOCK_STEP]),
    ],
)
def test_judge__wrks_clock_against_a_monotonic_one(
    duration_s: float, wall_s: float, step_s: float, found: list[Code]
) -> None:
    assert codes(replace(VALID, duration_s=duration_s, wall_s=wall_s, clock_step_s=step_s)) == found


@pytest.mark.parametrize(
    ("wall_s", "lateness_s", "found"),
    [(10.05, 0.5, []), (10.05, 0.51, [Code.GENERATORS_APART]), (1.0, 0.2, []), (1.0, 0.21, [Code.GENERATORS_APART])],
)
def test_judge__generators_that_do_not_begin_together(wall_s: float, lateness_s: float, found: list[Code]) -> None:
    report = replace(VALID, wall_s=wall_s, duration_s=wall_s, lateness_s=lateness_s)
    assert [code for code in codes(report) if code is Code.GENERATORS_APART] == found


@pytest.mark.parametrize(("throttled_ms", "found"), [(100.9, []), (101.1, [Code.THROTTLED])])
def test_judge__throttling(throttled_ms: float, found: list[Code]) -> None:
    assert codes(circumstances=replace(CIRCUMSTANCES, throttled_ms=throttled_ms)) == found


@pytest.mark.parametrize(("steal_percent", "found"), [(5.0, []), (5.1, [Code.STEAL])])
def test_judge__steal(steal_percent: float, found: list[Code]) -> None:
    assert codes(replace(VALID, steal_percent=steal_percent)) == found


def test_codes__these_and_no_others_invalidate() -> None:
    assert {code.value for code in Code if code.invalidates} == {
        "connect-errors",
        "fewer-connections",
        "generator-saturated",
        "generators-apart",
        "nothing-served",
        "clock-step",
        "k6-saturated",
        "rate-not-reached",
        "script-fails",
        "slo-not-held",
        "shard-missing",
        "throttled",
        "stopped-early",
        "blocks-dropped",
        "instrument-unsound",  # codespell:ignore unsound
        "counters-lost",
        "no-reply",
        "redirects",
        "mostly-errors",
        "replies-differ",
    }


@pytest.mark.parametrize("code", Code)
def test_codes__each_has_advice(code: Code) -> None:
    assert code.advice.endswith(".")
