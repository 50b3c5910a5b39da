"""Which blocks yield so that pairs get their time."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from bench_action.compare.evidence import Evidence
from bench_action.compare.gating import judge_losses
from bench_action.config.gates import COST, default_gates
from bench_action.config.schema import PairPhase
from bench_action.plan.blocks import Block, Cell, ElapsedTime, Pair
from bench_action.plan.timetable import ENOUGH_BLOCKS, Timetable
from bench_action.stats.nested import USUAL, choose_slice
from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

PAIR = Pair("revision", Cell("web", "base", "list"), Cell("web", "head", "list"))
# an application that takes eight seconds to start: a duet block takes 14.5 s, five take 72.5 s
SLOW = Timetable(
    limit_s=300,
    pairs=1,
    revisions=1,
    restart_s=9.5,
    capacity_s=4.6,
    latency=PairPhase(warmup=1, slice=3, blocks=5),
    duet=PairPhase(warmup=1, slice=4),
)
FAST = replace(SLOW, restart_s=2.5)


def capacity(number: int) -> Block:
    return Block("capacity", number, ())


def latency(number: int) -> Block:
    return Block("latency", number, (), PAIR)


def test_must_yield__a_short_limit_leaves_out_latency() -> None:
    assert not replace(SLOW, limit_s=60).must_yield(capacity(1), ElapsedTime(20, []))
    assert replace(SLOW, limit_s=60).must_yield(capacity(2), ElapsedTime(25, []))
    assert replace(SLOW, limit_s=60).must_yield(latency(1), ElapsedTime(25, []))
    assert not replace(SLOW, limit_s=60).must_yield(Block("duet", 1, (), PAIR), ElapsedTime(55, []))
    assert not replace(SLOW, limit_s=60).must_yield(Block("count", 0, ()), ElapsedTime(55, []))


def test_must_yield__nothing_if_there_is_time() -> None:
    for block in (capacity(2), latency(1), latency(2)):
        assert not FAST.must_yield(block, ElapsedTime(30, []))
        assert not SLOW.must_yield(block, ElapsedTime(30, []))


def test_must_yield__latency_comes_before_a_second_capacity_block() -> None:
    # five blocks of each take 16.5 and 72.5 s: 92 s are enough for them, but not for more capacity
    times = replace(SLOW, limit_s=112)
    assert times.must_yield(capacity(2), ElapsedTime(20, []))
    assert not times.must_yield(latency(1), ElapsedTime(20, []))


def test_must_yield__measured_blocks_replace_the_estimate() -> None:
    # 70 s are left for two blocks of latency and three duets
    times = replace(FAST, limit_s=100)
    assert not times.must_yield(latency(3), ElapsedTime(30, [3.3, 3.3], loads_s=[7.5, 7.5]))
    assert times.must_yield(latency(3), ElapsedTime(30, [3.3, 3.3], loads_s=[25.0, 25.0]))
    assert times.must_yield(latency(3), ElapsedTime(30, [25.0, 25.0], loads_s=[7.5, 7.5]))
    assert not times.must_yield(latency(3), ElapsedTime(30, [25.0, 25.0], loads_s=[7.5] * 5))


def test_must_yield__warm_ups_count_as_long_as_they_took() -> None:
    # four blocks of latency take 3.3 s each, five duets 7.5 s: 20 s more if a subject took 11 s to warm up alone
    times = replace(FAST, limit_s=150)
    assert not times.must_yield(latency(1), ElapsedTime(40, [], warmup_s=1.0))
    assert times.must_yield(latency(1), ElapsedTime(40, [], warmup_s=11.0))
    assert not times.must_yield(capacity(2), ElapsedTime(40, [4.6], warmup_s=1.0))
    assert times.must_yield(capacity(2), ElapsedTime(40, [4.6], warmup_s=11.0))
    assert times.must_yield(capacity(2), ElapsedTime(40, [60.0], warmup_s=1.0))  # each trial was preceded by a warm-up


def test_must_yield__latency_that_has_yielded_does_not_come_back_for_too_few_blocks() -> None:
    times = replace(FAST, limit_s=300)
    assert not times.must_yield(latency(2), ElapsedTime(30, []))  # four are left
    assert times.must_yield(latency(4), ElapsedTime(30, [5.5]))  # two are left, and one was measured
    assert not times.must_yield(latency(5), ElapsedTime(30, [5.5, 5.5, 5.5]))


def test_must_yield__never_begins_latency_that_could_not_be_judged() -> None:
    # 72.5 s for the duets and 12 s: three blocks would fit, four would not
    assert replace(SLOW, limit_s=84.5).must_yield(latency(1), ElapsedTime(0, []))


def test_reserve_s__is_what_shares_restarts_from_a_block_on() -> None:
    def duet(number: int) -> Block:
        return Block("duet", number, (), PAIR, then=latency(number))

    assert FAST.reserve_s(duet(1), ElapsedTime(30, [])) == pytest.approx(5 * 3.3)
    assert FAST.reserve_s(duet(4), ElapsedTime(30, [3.3] * 3)) == pytest.approx(2 * 3.3)
    assert FAST.reserve_s(Block("duet", 6, (), PAIR), ElapsedTime(30, [])) == 0
    assert replace(FAST, limit_s=60).reserve_s(duet(1), ElapsedTime(30, [])) == 0  # it yields


@pytest.mark.parametrize("times", [replace(SLOW, limit_s=None), replace(SLOW, pairs=0, revisions=0)])
def test_must_yield__nothing_without_a_limit_or_a_pair(times: Timetable) -> None:
    assert not times.must_yield(capacity(2), ElapsedTime(10_000, []))
    assert not times.must_yield(latency(1), ElapsedTime(10_000, []))


def test_explain_shortage__names_what_took_the_time_and_a_sufficient_limit() -> None:
    text = replace(SLOW, limit_s=60).explain_shortage({("count", "None"): [22.0], ("capacity", "None"): [4.6]})
    # 26.6 s alone, ten duets of 14.5 s and five latency blocks of 3.3 s: 188.1 s, plus a tenth
    assert text == "restarting took 10 s of each block of 14 s; --max-minutes 4 should do"


def test_explain_shortage__uses_measured_times() -> None:
    text = replace(SLOW, limit_s=60).explain_shortage({("capacity", "None"): [4.0], ("duet", str(PAIR)): [18.0, 18.0]})
    assert text == "restarting took 13 s of each block of 18 s; --max-minutes 4 should do"
    assert replace(SLOW, limit_s=None).explain_shortage({}) == ""


def test_explain_shortage__names_the_data_if_copying_them_takes_most_of_the_time() -> None:
    large = replace(SLOW, limit_s=60, restart_s=63.5, renewal_s=60.0)
    text = large.explain_shortage({("capacity", "None"): [4.6]})
    assert text.startswith("copying the data again and restarting took 64 s of each block of 68 s; --max-minutes ")
    assert text.endswith(" or a smaller seed should do")


def test_must_yield__copies_of_large_data_count() -> None:
    times = replace(FAST, limit_s=150)
    assert not times.must_yield(latency(1), ElapsedTime(10, []))
    assert replace(times, restart_s=22.5, renewal_s=20.0).must_yield(latency(1), ElapsedTime(10, []))


def test_explain_shortage__names_long_warm_ups() -> None:
    times = {("duet", str(PAIR)): [44.0, 46.0]}
    text = replace(SLOW, limit_s=120).explain_shortage(times, warmup_s=18.0)
    # ten duets of 45 s, five latency blocks of 3.3 s and 4.6 s alone: 471.1 s, plus a tenth
    assert text == "restarting took 23 s and warming up 18 s of each block of 45 s; --max-minutes 9 should do"
    text = replace(SLOW, limit_s=120).explain_shortage({("count", "None"): [22.0]}, warmup_s=18.0)
    assert text == "restarting took 10 s and warming up 18 s of each block of 32 s; --max-minutes 7 should do"


def test_enough_blocks__show_that_unchanged_code_is_unchanged() -> None:
    """Of an application that takes 20 s to start; two blocks fewer are not enough."""
    dice = np.random.default_rng(1)
    sd = sqrt(USUAL.block(choose_slice(USUAL, 23, range(4, 9), 300)))
    shares = []
    for blocks in (ENOUGH_BLOCKS, ENOUGH_BLOCKS - 2):
        runs = [Evidence(COST, tuple(sd * dice.standard_normal(blocks)), 5.0, 5.0) for _ in range(1000)]
        course, gate = Course(blocks, ended=True), default_gates()[COST]
        shares.append(sum(judge_losses(run, course, 0.005, gate).verdict == "unchanged" for run in runs) / len(runs))
    assert shares[0] >= 0.95 > shares[1]
