"""When a warm-up ends, counted by simulation: at the first moment at which both subjects of a pair are steady."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from statistics import fmean, median

import pytest

from bench_action.stats.steady import (
    CONNECTED_S,
    UNJUDGED_S,
    WINDOW_S,
    Reading,
    Trend,
    find_trend,
    is_steady,
    measure_cost,
    measure_first_cost,
    measure_reply_s,
)

pytestmark = pytest.mark.unit

Cost = Callable[[float], float]  # seconds → the CPU time of a request, 1 once it is warm
RUNS, LIMIT_S = 200, 30.0


def started(_at_s: float) -> float:
    """Cost the same, except for the first tenth of a second."""
    return 1 + 0.6 * math.exp(-_at_s / 0.1)


def falling(time_constant_s: float, excess: float = 2.9) -> Cost:
    return lambda at_s: 1 + excess * math.exp(-at_s / time_constant_s)


def stepping(*tiers: tuple[float, float]) -> Cost:
    """Cost `level` until `until_s`, tier by tier, as compilers replace code by faster code; then 1."""
    return lambda at_s: next((level for until_s, level in tiers if at_s < until_s), 1.0)


def collecting(period_s: float, extra: float) -> Cost:
    """Cost more in the first fifth of a second of each period, in which garbage is collected."""
    return lambda at_s: 1 + extra * (at_s % period_s < 0.2)


def simulate(cost: Cost, noise: float, dice: Random, wander: float = 0.0) -> list[list[Reading]]:
    """Simulate two subjects that share a CPU. `noise`: standard deviation of a subject's cost over a quarter second.

    `wander`: that of the machine's speed, which is the same for both, with an autocorrelation of 0.66 after a second.
    """
    curves = [[Reading(0.0, 0.0, 0)] for _ in range(2)]
    kept, speed = 0.66**WINDOW_S, dice.gauss(0, wander)
    for window in range(round(LIMIT_S / WINDOW_S)):
        speed = kept * speed + math.sqrt(1 - kept**2) * dice.gauss(0, wander)
        for curve in curves:
            last = curve[-1]
            own = dice.gauss(0, noise * math.sqrt(0.25 / WINDOW_S))
            request_ms = cost((window + 0.5) * WINDOW_S) * math.exp(speed + own)
            used_ms = 500 * WINDOW_S
            sent = last.requests + max(0, round(used_ms / request_ms))
            curve.append(Reading((window + 1) * WINDOW_S, last.cpu_ms + used_ms, sent))
    return curves


def find_end_s(curves: Sequence[Sequence[Reading]], least_s: float = 1.0) -> float:
    """Find when the warm-up of both ends."""
    for taken in range(len(curves[0])):
        at_s = curves[0][taken].at_s
        if at_s > CONNECTED_S and at_s % CONNECTED_S < UNJUDGED_S:
            continue  # connected again
        if at_s > least_s - 1e-9 and all(is_steady(curve[: taken + 1]) for curve in curves):
            return at_s
    return LIMIT_S


def find_ends_s(cost: Cost, noise: float, wander: float = 0.0, least_s: float = 1.0, runs: int = RUNS) -> list[float]:
    ends = (find_end_s(simulate(cost, noise, Random(f"{seed}"), wander), least_s) for seed in range(runs))
    return sorted(ends)


@pytest.mark.parametrize(("noise", "mean_s", "longest_s"), [(0.0, 1.0, 1.0), (0.02, 1.06, 2.0), (0.05, 1.4, 4.0)])
def test_is_steady__what_is_steady_after_a_second_waits_no_longer(
    noise: float, mean_s: float, longest_s: float
) -> None:
    ends = find_ends_s(started, noise)
    assert fmean(ends) <= mean_s
    assert ends[-1] <= longest_s


def test_is_steady__noise_of_the_machine_does_not_last_to_the_limit() -> None:
    """The speed of this machine has a standard deviation of 20 %, the most that was ever recorded."""
    ends = find_ends_s(started, 0.05, wander=0.2)
    assert fmean(ends) < 2.2
    assert ends[-1] < LIMIT_S


@pytest.mark.parametrize("noise", [0.02, 0.05])
@pytest.mark.parametrize(("time_constant_s", "least_s"), [(0.3, 1.0), (3.0, 1.0), (10.0, 4.0)])
def test_is_steady__a_fall_is_waited_for(time_constant_s: float, least_s: float, noise: float) -> None:
    """At the end of nearly all warm-ups less than a tenth is left of what a request has become cheaper."""
    cost = falling(time_constant_s)
    ends = find_ends_s(cost, noise, least_s=least_s)
    left = sorted((cost(end_s) - 1) / 2.9 for end_s in ends)
    assert median(left) < 0.06
    assert sum(share > 0.1 for share in left) <= 0.18 * RUNS


def test_is_steady__within_a_second_a_slow_fall_is_smaller_than_the_noise() -> None:
    """This is what measuring itself has to show: see Experience, which then lets the next warm-up last longer."""
    assert median(find_ends_s(falling(10.0), 0.02)) < 2


@pytest.mark.parametrize("time_constant_s", [0.3, 3.0])
def test_is_steady__a_fall_is_not_waited_for_longer_than_it_matters(time_constant_s: float) -> None:
    ends = find_ends_s(falling(time_constant_s), 0.02)
    assert ends[-1] < max(4.5, 7 * time_constant_s)


def test_is_steady__a_fall_slower_than_a_minute_is_level_enough() -> None:
    """Over a slice of four seconds it changes nothing that matters, and both subjects equally."""
    assert fmean(find_ends_s(falling(60.0, excess=0.5), 0.02)) < 2


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_is_steady__the_steps_of_a_compiler_are_waited_for(noise: float) -> None:
    cost = stepping((0.8, 5.0), (2.2, 2.5), (4.5, 1.5))
    ends = find_ends_s(cost, noise)
    assert sum(end_s < 4.5 for end_s in ends) <= 0.03 * RUNS
    assert ends[-1] < 3 * 4.5  # then the last step is in neither span


def test_is_steady__what_becomes_dearer_is_no_level() -> None:
    """A compiler that works in the background makes requests dearer before it makes them cheaper."""
    readings = [Reading(0, 0, 0), Reading(1, 100, 100), Reading(2, 200, 200), Reading(3, 310, 300)]
    assert not is_steady(readings)
    assert is_steady([*readings[:3], Reading(3, 304, 300)])


@pytest.mark.parametrize(("period_s", "extra"), [(0.5, 0.3), (1.0, 0.5), (3.0, 0.5)])
def test_is_steady__collecting_garbage_does_not_last_to_the_limit(period_s: float, extra: float) -> None:
    ends = find_ends_s(collecting(period_s, extra), 0.02)
    assert fmean(ends) < 4
    assert ends[-1] < 3 * 4.5  # then the last step is in neither span


def test_is_steady__judges_each_subject_by_itself() -> None:
    """A constant difference between the two changes nothing."""
    base, head = simulate(falling(1.0), 0.0, Random(1))
    dearer = [Reading(reading.at_s, 3 * reading.cpu_ms, reading.requests) for reading in head]
    verdicts = [[is_steady(curve[:taken]) for taken in range(1, len(curve))] for curve in (base, head, dearer)]
    assert verdicts[1] == verdicts[2] == verdicts[0]


def test_find_trend__compares_the_last_third_with_the_one_before() -> None:
    readings = [Reading(0, 0, 0), Reading(1, 900, 100), Reading(2, 1300, 200), Reading(3, 1500, 300)]
    trend = find_trend(readings)
    assert trend == Trend(before=4.0, last=2.0, span_s=1.0)
    assert trend.change == pytest.approx(-math.log(2))
    assert trend.change_per_s == pytest.approx(-0.5)
    assert not trend.steady


def test_find_trend__looks_back_ten_seconds_at_most() -> None:
    readings = [
        Reading(float(second), 100.0 * second + (5000 if second > 20 else 0), 100 * second) for second in range(40)
    ]
    assert [is_steady(readings[:taken]) for taken in (21, 22, 31, 32)] == [True, False, False, True]


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [Reading(0, 0, 0), Reading(1, 1, 1), Reading(2, 2, 2)],
        [Reading(float(second), 10.0 * second, 5) for second in range(7)],  # no request is sent any more
        [Reading(float(second), 10.0, 5 * second) for second in range(7)],  # no CPU time is used
    ],
)
def test_find_trend__without_requests_or_cpu_time_there_is_none(readings: list[Reading]) -> None:
    assert find_trend(readings) is None
    assert not is_steady(readings)


def test_measure_cost__is_cpu_time_for_each_request() -> None:
    early, late = Reading(1.0, 100.0, 10), Reading(2.0, 300.0, 60)
    assert measure_cost(early, late) == 4.0
    assert measure_cost(late, late) is None
    assert measure_first_cost([Reading(0.0, 0.0, 0), Reading(0.5, 80.0, 20), late]) == 4.0
    assert measure_first_cost([]) is None


def test_measure_first_cost__of_a_slow_first_request_lasts_until_it_is_answered() -> None:
    slow = [Reading(0.0, 0.0, 0), Reading(0.5, 400.0, 0), Reading(1.0, 900.0, 3), Reading(1.5, 950.0, 50)]
    assert measure_first_cost(slow) == 300.0


def test_measure_reply_s__follows_from_the_rate_of_the_last_span() -> None:
    readings = [Reading(float(at), 0.0, 10 * at if at < 8 else 80 + 40 * (at - 8)) for at in range(13)]
    assert measure_reply_s(readings, 16) == pytest.approx(16 / 40)
    assert measure_reply_s(readings[:1], 16) == measure_reply_s([], 16) == 0.0


def test_simulate__has_the_noise_that_it_is_asked_for() -> None:
    base, _ = simulate(lambda _: 1.0, 0.05, Random(3))
    costs = [
        math.log((late.cpu_ms - early.cpu_ms) / (late.requests - early.requests)) for early, late in pairwise(base)
    ]
    deviation = math.sqrt(fmean(cost**2 for cost in costs))
    assert deviation == pytest.approx(0.05 * math.sqrt(0.25 / WINDOW_S), rel=0.2)
