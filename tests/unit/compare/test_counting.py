"""Repeated counts: exact if they agree, else a mean with a range; error rates by simulation."""

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.factories import PAIR, make_count

from bench_action.compare.comparison import _judge_count
from bench_action.compare.counting import (
    Count,
    count_metric,
    count_statements,
    is_settled,
    select_counts,
    warn_of_varying_counts,
)
from bench_action.config.gates import Gate
from bench_action.model.result import Statement, Trial, Work
from bench_action.model.warning import Code
from bench_action.plan.blocks import Block, make_solo_blocks

pytestmark = pytest.mark.unit

QUERIES = "queries_per_request"
LIST = Statement(text="SELECT id FROM item", calls=10, rows=200)


def counted(*queries: int, idle: int = 0, **changes: Any) -> list[Trial]:
    """Build counts of ten requests that take a second each, followed by a second without requests."""
    fields: dict[str, Any] = (
        {"wall_s": 1.0, "idle": Work(queries=idle, rows=0, cache_commands=0), "idle_s": 1.0} if idle else {}
    )
    return [make_count(queries=number, block=n, **(fields | changes)) for n, number in enumerate(queries)]


def count(*queries: int, idle: int = 0) -> Count:
    found = count_metric(counted(*queries, idle=idle), QUERIES)
    assert found is not None
    return found


def test_count_metric__counts_that_agree_on_every_request_are_exact() -> None:
    found = count(20, 20)
    assert (found.per_request, found.low, found.high, found.exact) == (2, 2, 2, True)


@pytest.mark.parametrize("queries", [(20, 21), (21, 21), (20, 19, 20)])
def test_count_metric__work_that_differs_between_requests_is_not_exact(queries: tuple[int, ...]) -> None:
    assert not count(*queries).exact


def test_count_metric__drops_the_first_of_more_than_two() -> None:
    found = count(73, 20, 20)
    assert (found.totals, found.exact) == ((20, 20), True)
    assert is_settled(counted(73, 20, 20))
    assert not is_settled(counted(73, 20))


def test_count_metric__subtracts_idle_work_by_time() -> None:
    found = count(26, 26, 26, idle=6)
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))
    assert found.per_request == pytest.approx(2.0)
    assert not found.exact  # it is an estimate


def test_count_metric__ten_background_queries_in_ten_requests_are_not_one_more_per_request() -> None:
    assert not count(20, 20, idle=10).change_from(count(10, 10))


def test_change_from__of_exact_counts_is_their_difference() -> None:
    assert count(20, 20).change_from(count(10, 10)) == 1.0
    assert count(10, 10).change_from(count(20, 20)) == -1.0
    assert count(10, 10).change_from(count(10, 10)) == 0.0


def test_change_from__is_zero_for_counts_that_overlap() -> None:
    assert count(10, 12, 11).change_from(count(10, 11, 10)) == 0


def test_change_from__is_zero_for_one_stray_query_per_count() -> None:
    assert count(11, 11, 11).change_from(count(10, 10, 10)) == 0
    assert count(12, 12, 12).change_from(count(10, 10, 10)) > 0


def test_change_from__is_zero_for_new_background_work() -> None:
    assert not count(15, 16, idle=6).change_from(count(10, 10))
    assert not count(10, 10).change_from(count(15, 16, idle=6))


def test_change_from__must_be_large_compared_with_the_ranges() -> None:
    assert count(20, 30).change_from(count(10, 16)) == 0
    assert count(22, 30).change_from(count(10, 16)) > 0


def test_is_above__compares_ranges_for_each_request() -> None:
    """The two sides may have sent different numbers of requests, if time ended the counts of the slower one."""
    few, many = Count((10.0, 15.0), 10, exact=False), Count((80.0, 81.0), 50, exact=False)
    assert not many.is_above(few)
    assert Count((30.0, 30.0), 10, exact=False).is_above(Count((50.0, 80.0), 50, exact=False))


def test_deviates__at_all_if_exact_else_by_half() -> None:
    assert count(20, 20).deviates(1)
    assert not count(20, 20).deviates(2)
    assert not count(28, 30, 29).deviates(3)
    assert not count(27, 28, 27).deviates(3)
    assert count(17, 18, 17).deviates(3)


def test_select_counts__selects_none_if_one_was_lost() -> None:
    lost = Code.COUNTERS_LOST.warn("")
    trials = [*counted(10), make_count(block=1, warnings=(lost,))]
    assert select_counts(trials, "aiohttp", "head", "article-500") == []
    assert len(select_counts(counted(10, 11), "aiohttp", "head", "article-500")) == 2
    assert is_settled(trials)


def test_count_statements__counts_zero_for_a_count_without_the_statement() -> None:
    ping = Statement(text="SELECT $1", calls=9, rows=9)
    found = count_statements([*counted(10, statements=(LIST,)), *counted(19, statements=(LIST, ping))])
    assert found["SELECT id FROM item"].exact
    assert (found["SELECT $1"].low, found["SELECT $1"].high) == (0, 0.9)


def test_warn_of_varying_counts__names_the_range_and_the_statement() -> None:
    tick = [Statement(text="SELECT max(id) FROM job", calls=calls, rows=1) for calls in (2, 4)]
    trials = [*counted(12, idle=3, statements=(LIST, tick[0])), *counted(14, idle=3, statements=(LIST, tick[1]))]
    (warning,) = warn_of_varying_counts(trials)
    assert (warning.code, warning.cell) == (Code.COUNTS_VARY, "aiohttp · article-500")
    assert warning.message == (
        "queries/request varies from 0.90 to 1.10 (mean 1.00 in 2 counts of 10 requests, less 3 for idle work); "
        "mostly by `SELECT max(id) FROM job`"
    )
    assert list(warn_of_varying_counts(counted(10, 10))) == []


def test_warn_of_varying_counts__never_names_a_range_whose_ends_look_the_same() -> None:
    """A script that makes three queries in two requests varies no more than one that makes two."""
    assert list(warn_of_varying_counts(counted(15, 15, 15))) == []
    (warning,) = warn_of_varying_counts([make_count(queries=queries, requests=1000) for queries in (2000, 2002)])
    assert warning.message.startswith("queries/request varies from 2.000 to 2.002 (mean 2.001 in 2 counts of 1")
    turns = [counted(10, statements=(LIST, other))[0] for other in (LIST.model_copy(update={"text": t}) for t in "ab")]
    assert list(warn_of_varying_counts(turns)) == []
    (warning,) = warn_of_varying_counts(counted(13, 13, idle=3))
    assert warning.message.startswith("queries/request is 1.00 in 2 counts of 10 requests, less 3 for idle work")


@given(
    base=st.lists(st.integers(0, 40), min_size=2, max_size=6),
    head=st.lists(st.integers(0, 40), min_size=2, max_size=6),
    idle=st.integers(0, 5),
)
def test_compute_detectable__is_the_least_rise_that_is_a_change(base: list[int], head: list[int], idle: int) -> None:
    counts = count(*base, idle=idle), count(*head, idle=idle)
    assume(not all(each.exact for each in counts))
    rise = counts[1].compute_detectable(counts[0])
    shift = rise * 10 - fmean(counts[1].totals) + fmean(counts[0].totals)
    above = replace(counts[1], totals=tuple(total + shift + 1e-6 for total in counts[1].totals))
    below = replace(counts[1], totals=tuple(total + shift - 1e-3 for total in counts[1].totals))
    assert above.is_above(counts[0])
    assert not below.is_above(counts[0])


# --- how often that is wrong -----------------------------------------------------------------------------------------

REQUESTS = 50
Background = Callable[[float, float, int], int]  # from, to, requests between → queries that no request makes


class Side:
    """One subject: a query per request, and something that works on its own."""

    def __init__(self, extra: int, background: Background, *, busy: float) -> None:
        """`busy` is the standard deviation of the logarithm of a count's time."""
        self.extra, self.background, self.busy = extra, background, busy
        self.trials: list[Trial] = []

    def count(self, block: Block, at: float, request_s: float, dice: np.random.Generator) -> float:
        step = block.steps[0]
        began = at + step.pause_s
        ended = began + REQUESTS * request_s * float(dice.lognormal(0.0, self.busy)) + 0.05
        own = self.background(began, ended, REQUESTS)
        if block.number == 0 and dice.random() < 0.3:
            own += int(dice.integers(1, 64))  # of the warm-up, on a machine that is behind
        idle: dict[str, Any] = {}
        if step.idle:
            over = ended + (ended - began)
            idle = {
                "idle": Work(queries=self.background(ended, over, 0), rows=0, cache_commands=0),
                "idle_s": over - ended,
            }
        work = Work(queries=REQUESTS * (1 + self.extra) + own, rows=0, cache_commands=0)
        changes: dict[str, Any] = {
            "block": block.number,
            "requests": REQUESTS,
            "work": work,
            "wall_s": ended - began,
            **idle,
        }
        self.trials.append(make_count(**changes))
        return ended + float(idle.get("idle_s", 0.0)) + dice.uniform(0.01, 0.1)


def periodic(period_s: float, burst: int = 1) -> Callable[[np.random.Generator], Background]:
    def make(dice: np.random.Generator) -> Background:
        phase = dice.uniform(0, period_s)
        return lambda t0, t1, _: burst * (math.floor((t1 - phase) / period_s) - math.floor((t0 - phase) / period_s))

    return make


def poisson(rate: float) -> Callable[[np.random.Generator], Background]:
    return lambda dice: lambda t0, t1, _: int(dice.poisson(rate * (t1 - t0)))


def expiring(ttl_s: float) -> Callable[[np.random.Generator], Background]:
    def make(dice: np.random.Generator) -> Background:
        expires = [dice.uniform(-ttl_s, ttl_s)]

        def work(t0: float, t1: float, requests: int) -> int:
            misses = 0
            for n in range(requests):
                at = t0 + (t1 - t0) * n / requests
                if at > expires[0]:
                    misses, expires[0] = misses + 1, at + ttl_s
            return misses

        return work

    return make


def missing(share: float, most: int = REQUESTS) -> Callable[[np.random.Generator], Background]:
    """Ping for each request except some, whose connections are new."""
    return lambda dice: lambda _t0, _t1, requests: requests - min(most, int(dice.binomial(requests, share)))


KINDS = {
    "every 50 ms": periodic(0.05),
    "every 0.5 s": periodic(0.5),
    "every 2 s": periodic(2.0),
    "every 10 s": periodic(10.0),
    "20 queries every 2 s": periodic(2.0, burst=20),
    "at random, rare": poisson(0.5),
    "at random, often": poisson(20.0),
    "a cache of 0.2 s": expiring(0.2),
    "a cache of 1 s": expiring(1.0),
    "a cache of 5 s": expiring(5.0),
    "a ping for 98 of 100": missing(0.02),
    "a miss of one in ten": missing(0.9),
}


def compared(kind: str, extra: int, seed: int, busy: float = 0.2) -> tuple[float, int]:
    """Simulate a run: how far head is above base, and after how many counts of each."""
    dice = np.random.default_rng([seed, len(kind), extra])
    request_s = float(dice.choice([0.001, 0.005, 0.02]))
    sides = {"base": Side(0, KINDS[kind](dice), busy=busy), "head": Side(extra, KINDS[kind](dice), busy=busy)}
    at, done = float(dice.uniform(0, 10)), 0
    for block in make_solo_blocks([PAIR.base, PAIR.head], blocks=0, warmup_s=1, seed=seed):
        if block.number > 1 and all(is_settled(side.trials) for side in sides.values()):
            break
        for step in block.steps:
            alone = Block("count", block.number, (step,))
            at = sides[step.cells[0].revision].count(alone, at, request_s, dice)
        done += 1
    base, head = (count_metric(side.trials, QUERIES) for side in sides.values())
    assert base is not None
    assert head is not None
    return head.change_from(base), done


@pytest.mark.parametrize("busy", [0.2, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_change_from__is_zero_for_the_same_code_with_any_background_work(kind: str, busy: float) -> None:
    runs = 100
    alarms = sum(compared(kind, 0, seed, busy)[0] > 0 for seed in range(runs))
    assert alarms <= 1, f"{alarms} of {runs}"


@pytest.mark.parametrize("kind", KINDS)
def test_change_from__finds_one_more_query_per_request(kind: str) -> None:
    gaps = [compared(kind, 1, seed)[0] for seed in range(100)]
    assert sum(gap > 0 for gap in gaps) >= 98


@pytest.mark.parametrize(
    ("gate", "base", "head", "verdict"),
    [
        (Gate(max_gain=0), 4, 4.5, "regressed"),
        (Gate(max_gain=0, absolute=1), 4, 4.5, "measured"),
        (Gate(max_gain=0, absolute=1), 4, 5, "regressed"),  # it reaches the limit
        (Gate(max_gain=0.1), 10, 10.9, "measured"),
        (Gate(max_gain=0.1), 10, 11, "regressed"),
        (Gate(max_gain=0.1), 10, 9.9, "improved"),
    ],
)
def test_judge_count__a_loss_counts_from_the_gate_on(gate: Gate, base: float, head: float, verdict: str) -> None:
    assert _judge_count("queries_per_request", head - base, base, gate)[0] == verdict
