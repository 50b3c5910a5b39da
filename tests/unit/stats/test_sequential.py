"""Looks while blocks come in: the error that they share, counted by simulation."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr

from bench_action.stats.levels import nominal_levels
from bench_action.stats.sequential import (
    Course,
    Group,
    compute_agreement,
    count_blocks,
    look,
    plan_looks,
    pool,
    smallest_detectable,
)

pytestmark = pytest.mark.unit

RUNS = 20_000


def test_plan_looks__grows_by_half_and_ends_at_the_cap() -> None:
    assert plan_looks(35) == (5, 8, 12, 18, 27, 35)
    assert plan_looks(16) == (5, 8, 12, 16)
    assert plan_looks(5) == (5,)
    assert plan_looks(3) == (3,)


@given(st.integers(2, 400))
def test_plan_looks__plans_few_and_never_two_in_succession(cap: int) -> None:
    looks = plan_looks(cap)
    assert looks[-1] == cap
    assert all(later - earlier >= 2 for earlier, later in pairwise(looks))
    assert len(looks) <= 3 + math.log(max(cap, 5) / 5, 1.4)


def test_nominal_levels__are_those_of_the_literature() -> None:
    """Six looks that spend alpha · t^1.5, with the levels that were computed alongside the first recordings."""
    looks = (5, 8, 12, 18, 26, 35)
    spent = tuple(0.01 * (blocks / 35) ** 1.5 for blocks in looks)
    found = nominal_levels(tuple(blocks / 35 for blocks in looks), spent)
    assert found == pytest.approx((0.00052, 0.00067, 0.00117, 0.00219, 0.0038, 0.00577), rel=0.06)


def test_nominal_levels__a_single_look_has_all_of_alpha() -> None:
    assert nominal_levels((1.0,), (0.01,)) == pytest.approx((0.01,), rel=0.01)


@pytest.mark.parametrize(("cap", "alpha"), [(5, 0.01), (14, 0.01), (16, 0.0025), (35, 0.01), (35, 0.05)])
def test_course__all_looks_together_spend_no_more_than_alpha(cap: int, alpha: float) -> None:
    """There is no margin here: with one, alarms are rarer. The allowed excess is that of t over the normal law."""
    blocks = np.random.default_rng(7).standard_normal((RUNS, cap))
    course = Course(cap, ended=False)
    alarmed = np.zeros(RUNS, bool)
    for due in course.looks:
        seen = blocks[:, :due]
        t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / math.sqrt(due))
        alarmed |= stdtr(due - 1, -t) <= course.level(due, alpha)
    error = math.sqrt(alpha * (1 - alpha) / RUNS)
    assert alpha * 0.8 - 3 * error < alarmed.mean() < alpha * 1.15 + 3 * error


def test_course__between_looks_only_the_last_one_counts() -> None:
    course = Course(16, ended=False)
    assert [course.reached(blocks) for blocks in (0, 4, 5, 7, 8, 11, 12, 15, 16)] == [0, 0, 5, 5, 8, 8, 12, 12, 16]
    assert Course(16, ended=True).reached(7) == 7


def test_course__ending_early_spends_the_remaining_alpha() -> None:
    ended, going = Course(35, ended=True), Course(35, ended=False)
    assert ended.level(8, 0.01) > 5 * going.level(8, 0.01)
    assert ended.level(8, 0.01) < 0.01


def test_look__analyses_the_blocks_of_the_look_that_is_due() -> None:
    losses = [0.01, 0.02, 0.01, 0.02, 0.01, 5.0, 5.0]
    seen = look(losses, Course(16, ended=False), 0.01)
    assert seen is not None
    assert seen.blocks == 5
    assert seen.mean == pytest.approx(0.014)
    assert seen.worse + seen.better == pytest.approx(1)


def test_look__needs_two_blocks() -> None:
    assert look([], Course(16, ended=True), 0.01) is None
    assert look([0.1], Course(16, ended=True), 0.01) is None


@pytest.mark.parametrize(("value", "worse"), [(0.0, 0.5), (0.02, 0.0), (-0.02, 1.0)])
def test_look__handles_blocks_that_are_all_equal(value: float, worse: float) -> None:
    seen = look([value] * 5, Course(5, ended=True), 0.01)
    assert seen is not None
    assert (seen.sd, seen.worse) == (0.0, worse)


def test_smallest_detectable__is_found_in_95_of_100_runs() -> None:
    sd, blocks, level = 0.0134, 14, 0.003
    size = math.log1p(smallest_detectable(sd, blocks, level))
    seen = size + sd * np.random.default_rng(3).standard_normal((RUNS, blocks))
    t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / math.sqrt(blocks))
    assert (stdtr(blocks - 1, -t) <= level).mean() == pytest.approx(0.95, abs=0.006)


def test_smallest_detectable__is_infinite_for_one_block() -> None:
    assert smallest_detectable(0.01, 1, 0.01) == math.inf


def test_count_blocks__grows_near_the_limit() -> None:
    assert count_blocks(0.0134, 0.02, 0.003) < count_blocks(0.0134, 0.01, 0.003) < count_blocks(0.0134, 0.001, 0.003)
    assert count_blocks(0.0134, 0.0, 0.003) == 10_000


def test_pool__runners_with_means_of_their_own_raise_no_more_alarms_than_alpha() -> None:
    """Two runners of five blocks, whose own offsets cancel: a true mean of zero, and an sd within runners of 1."""
    blocks = np.random.default_rng(11).standard_normal((4000, 2, 5)) + np.array([[[2.0], [-2.0]]])
    alarms = 0
    for run in blocks:
        seen = pool([Group(5, float(one.mean()), float(one.std(ddof=1))) for one in run], 0.05)
        assert seen is not None
        assert seen.blocks - seen.groups == 8
        alarms += seen.worse <= seen.level
    assert alarms / len(blocks) == pytest.approx(0.05, abs=0.011)


def test_pool__one_runner_is_as_if_there_were_no_groups() -> None:
    losses = [0.01, 0.03, 0.02, -0.01, 0.015]
    alone = look(losses, Course(5, ended=True), 0.01)
    assert alone is not None
    pooled = pool([Group(5, alone.mean, alone.sd)], alone.level)
    assert pooled is not None
    assert pooled.worse == pytest.approx(alone.worse)
    assert pooled.bound(0.99) == pytest.approx(alone.bound(0.99))
    assert pool([Group(1, 0.1, 0.0), Group(1, 0.2, 0.0)], 0.01) is None


def test_compute_agreement__is_uniform_for_runners_that_agree_and_small_for_others() -> None:
    blocks = np.random.default_rng(5).standard_normal((2000, 3, 6))
    groups = [[Group(6, float(one.mean()), float(one.std(ddof=1))) for one in run] for run in blocks]
    p_values = np.array([compute_agreement(run) for run in groups])
    assert (p_values < 0.1).mean() == pytest.approx(0.1, abs=0.021)
    assert compute_agreement([Group(6, 0.0, 1.0), Group(6, 9.0, 1.0)]) < 1e-6
    assert compute_agreement([Group(6, 0.0, 1.0)]) == 1.0
