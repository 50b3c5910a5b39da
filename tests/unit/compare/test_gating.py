"""Verdicts on the blocks of a pair: by example, and their error rates by simulation."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.compare.alphas import split_alpha
from bench_action.compare.evidence import Evidence
from bench_action.compare.gating import Judgement, estimate_firing_rate, judge_losses
from bench_action.config.gates import Gate, default_gates
from bench_action.stats.distributions import normal_quantile
from bench_action.stats.sequential import Course, count_blocks

pytestmark = pytest.mark.unit

NOISE = (0.004, -0.006, 0.002, -0.003, 0.005, -0.002, 0.001, -0.001)
RATE = Gate(max_loss=0.01)
COST = Gate(max_gain=0.01)
ENDED = Course(8, ended=True)
ALPHA = split_alpha(default_gates(), 1).gated["cpu_ms_per_request"]


def judge(loss: float, metric: str = "requests_per_second", gate: Gate = RATE, base: float = 1000.0) -> Judgement:
    losses = tuple(loss + noise for noise in NOISE)
    return judge_losses(Evidence(metric, losses, base, base), ENDED, ALPHA, gate)


def test_judge_losses__fewer_requests_are_a_regression_of_that_size() -> None:
    found = judge(-math.log(0.94))
    assert found.verdict == "regressed"
    assert found.ratio == pytest.approx(0.94)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < 0.94 < found.ci_high < 1
    assert found.significant
    assert found.relevant


def test_judge_losses__more_cpu_is_a_regression_of_that_size() -> None:
    found = judge(math.log(1.06), "cpu_ms_per_request", COST)
    assert found.verdict == "regressed"
    assert found.ratio == pytest.approx(1.06)
    assert found.ci_low is not None
    assert found.ci_low > 1


def test_judge_losses__the_opposite_is_an_improvement() -> None:
    assert judge(-math.log(1.06)).verdict == "improved"
    assert judge(-math.log(1.06)).ratio == pytest.approx(1.06)
    assert judge(math.log(0.94), "cpu_ms_per_request", COST).verdict == "improved"


def test_judge_losses__no_loss_is_unchanged() -> None:
    found = judge(0.0)
    assert found.verdict == "unchanged"
    assert not found.significant
    assert found.blocks_wanted is None


def test_judge_losses__a_certain_loss_within_its_gate_is_not_called_unchanged() -> None:
    found = judge(-math.log(0.97), gate=Gate(max_loss=0.05))
    assert (found.verdict, found.reason) == ("measured", "the loss is within the gate of 5 %")
    assert found.significant
    assert found.relevant


def test_judge_losses__a_certain_loss_too_small_to_matter_is_not_relevant() -> None:
    found = judge_losses(
        Evidence("requests_per_second", tuple(0.006 + n / 4 for n in NOISE), 1.0, 1.0), ENDED, ALPHA, RATE
    )
    assert (found.verdict, found.reason) == ("measured", "the loss is too small to matter")
    assert (found.significant, found.relevant) == (True, False)


def test_judge_losses__a_loss_that_breaks_its_gate_less_surely_than_it_must_is_not_unchanged() -> None:
    """Its interval excludes no change, but its share of the error is smaller than the interval's."""
    losses = tuple(0.0112 + 2.4 * noise for noise in NOISE)
    found = judge_losses(Evidence("cpu_ms_per_request", losses, 1.0, 1.0), ENDED, ALPHA, COST)
    assert found.test is not None
    assert found.test.level < found.test.p_worse < 0.005
    assert (found.verdict, found.significant) == ("inconclusive", False)
    allowed = judge_losses(Evidence("cpu_ms_per_request", losses, 1.0, 1.0), ENDED, ALPHA, Gate(max_gain=0.05))
    assert allowed.verdict == "measured"
    assert allowed.reason.startswith("the loss is less certain than")


def test_judge_losses__a_certain_gain_that_is_no_improvement_is_too_small_to_matter() -> None:
    """10 % more is a larger step than 10 % less, on the scale of logarithms."""
    found = judge(-math.log(1.10) - 0.002, "latency_p50_us", Gate(max_gain=0.10), base=9000.0)
    assert (found.verdict, found.relevant, found.reason) == ("measured", True, "the gain is too small to matter")


def test_judge_losses__a_pair_that_had_been_decided_before_a_look_has_a_reason() -> None:
    found = judge_losses(Evidence("requests_per_second", NOISE[:4], 1.0, 1.0), Course(25, ended=False), ALPHA, RATE)
    assert found.reason == "the pair had been decided when 4 blocks of it counted, before the first look"


def test_judge_losses__a_gate_that_needs_an_absolute_change_fires_for_no_smaller_one() -> None:
    gate, losses = Gate(max_gain=0.10, absolute=200), tuple(10 * noise for noise in NOISE)
    small = judge_losses(Evidence("latency_p50_us", losses, 500.0, 500.0), ENDED, ALPHA, gate)
    large = judge_losses(Evidence("latency_p50_us", losses, 5000.0, 5000.0), ENDED, ALPHA, gate)
    assert small.fires is not None
    assert large.fires is not None
    assert small.fires[2] == large.fires[2] == pytest.approx(0.5)
    assert small.fires[0] < large.fires[0] / 100  # for a change of 32 % instead of 40 %, and of 8 % instead of 10 %


def test_judge_losses__a_gain_counts_if_it_matters_with_any_gate() -> None:
    assert judge(math.log(0.97), gate=Gate(max_loss=0.05)).verdict == "improved"


@pytest.mark.parametrize("count", [2, 3])
def test_judge_losses__two_or_three_blocks_decide_nothing(count: int) -> None:
    losses = (0.301, 0.3, 0.302)[:count]
    found = judge_losses(Evidence("requests_per_second", losses, 1.0, 1.0), Course(count, ended=True), ALPHA, RATE)
    assert (found.verdict, found.ci_low, found.smallest_detectable) == ("inconclusive", None, None)
    assert found.reason == f"only {count} blocks could be measured, but a verdict needs 4"


def test_judge_losses__a_loss_in_between_is_inconclusive_and_estimates_how_many_blocks_decide() -> None:
    losses = tuple(0.012 + 6 * noise for noise in NOISE)
    found = judge_losses(Evidence("requests_per_second", losses, 1.0, 1.0), ENDED, ALPHA, RATE)
    assert found.verdict == "inconclusive"
    assert found.blocks_wanted is not None
    assert found.blocks_wanted > 8


def test_judge_losses__an_absolute_limit_applies_in_addition_to_the_relative_one() -> None:
    gate = Gate(max_gain=0.10, absolute=200)
    assert judge(math.log(1.5), "latency_p50_us", gate, base=300.0).verdict == "measured"
    assert judge(math.log(1.5), "latency_p50_us", gate, base=3000.0).verdict == "regressed"


@pytest.mark.parametrize(("loss", "verdict"), [(0.093, "measured"), (0.11, "regressed")])
def test_judge_losses__an_absolute_limit_on_requests_is_how_many_fewer_there_are(loss: float, verdict: str) -> None:
    """1000 requests/s that become 907 are 93 fewer, although base has 10.3 % more than head."""
    assert judge(-math.log1p(-loss), gate=Gate(max_loss=0.05, absolute=100)).verdict == verdict


def test_judge_losses__the_blocks_that_are_wanted_follow_from_the_absolute_limit_if_it_is_more() -> None:
    losses = tuple(0.12 + 75 * noise for noise in NOISE)  # of 500 µs, so that 200 µs are a loss of 40 %
    found = judge_losses(
        Evidence("latency_p50_us", losses, 500.0, 500.0), ENDED, ALPHA, Gate(max_gain=0.10, absolute=200)
    )
    assert found.test is not None
    assert found.verdict == "inconclusive"
    wanted = count_blocks(found.test.sd, math.log(1.4) - sum(losses) / len(losses), found.test.level)
    assert found.blocks_wanted == wanted > 8


@pytest.mark.parametrize("losses", [(), (0.5,)])
def test_judge_losses__too_few_blocks_have_no_interval(losses: tuple[float, ...]) -> None:
    found = judge_losses(Evidence("requests_per_second", losses, 1.0, 1.0), ENDED, ALPHA, RATE)
    assert (found.verdict, found.ci_low, found.smallest_detectable) == ("inconclusive", None, None)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=30), st.sampled_from([0.0, 0.01, 0.05]))
def test_judge_losses__the_interval_of_a_significant_change_excludes_no_change(
    losses: list[float], size: float
) -> None:
    found = judge_losses(
        Evidence("requests_per_second", tuple(losses), 1.0, 1.0), Course(30, ended=True), 0.01, Gate(max_loss=size)
    )
    assert found.ratio is not None
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low <= found.ratio * (1 + 1e-9)
    assert found.ratio <= found.ci_high * (1 + 1e-9)
    if found.significant:
        assert not found.ci_low < 1 < found.ci_high
    if found.verdict == "unchanged":
        assert found.ci_low <= 1 <= found.ci_high
    if found.verdict == "regressed":
        assert found.ratio <= 1 - size + 1e-9


def simulated(effect: float, sd: float, cap: int, runs: int) -> tuple[Counter[str], float]:
    """Simulate runs that stop at the first look with a verdict: their verdicts, and the mean number of blocks."""
    dice, verdicts, blocks = np.random.default_rng(11), Counter[str](), 0
    course = Course(cap, ended=False)
    for _ in range(runs):
        losses = tuple(float(loss) for loss in math.log1p(effect) + sd * dice.standard_normal(cap))
        for due in course.looks:
            found = judge_losses(Evidence("cpu_ms_per_request", losses[:due], 1.0, 1.0), course, ALPHA, COST)
            if found.verdict != "inconclusive":
                break
        verdicts[found.verdict] += 1
        blocks += due
    return verdicts, blocks / runs


def test_verdicts__the_same_code_hardly_ever_raises_an_alarm_and_is_decided_early() -> None:
    verdicts, blocks = simulated(0.0, 0.0134, cap=16, runs=1500)
    assert verdicts["regressed"] + verdicts["improved"] <= 0.005 * 1500
    assert verdicts["unchanged"] >= 0.95 * 1500
    assert blocks < 9.5


def test_verdicts__a_slowdown_of_2_percent_is_found() -> None:
    verdicts, _ = simulated(0.02, 0.0134, cap=24, runs=600)
    assert verdicts["regressed"] >= 0.95 * 600
    assert verdicts["improved"] == 0


def test_verdicts__a_slowdown_just_above_the_gate_is_not_called_unchanged_before_time_is_up() -> None:
    verdicts, blocks = simulated(0.013, 0.0105, cap=14, runs=600)
    assert verdicts["regressed"] >= 0.75 * 600
    assert verdicts["unchanged"] <= 0.15 * 600
    assert blocks > 10


def test_verdicts__a_gain_is_not_called_unchanged_before_time_is_up() -> None:
    verdicts, _ = simulated(-0.025, 0.0134, cap=16, runs=1000)
    assert verdicts["unchanged"] <= 0.01 * 1000
    assert verdicts["improved"] >= 0.9 * 1000


def test_verdicts__a_slowdown_of_5_percent_is_always_found_early() -> None:
    verdicts, blocks = simulated(0.05, 0.0134, cap=24, runs=300)
    assert verdicts["regressed"] == 300
    assert blocks < 8


def test_estimate_firing_rate__grows_gradually_around_the_gate() -> None:
    low, middle, high = (estimate_firing_rate(0.05, share, 0.003, 0.003, higher=False) for share in (0.8, 0.9, 1.0))
    assert 0 < low < middle < high
    assert high == pytest.approx(0.5)
    assert estimate_firing_rate(0.01, 1.0, 0.004, 0.003, higher=True) < 0.5  # a small gate must be sure first
    certain = [estimate_firing_rate(0.05, share, 0.0, 0.003, higher=True) for share in (0.9, 1.0)]
    assert certain == [0.0, 1.0]


@pytest.mark.parametrize("higher", [False, True])
@pytest.mark.parametrize("share", [0.8, 1.0])
def test_estimate_firing_rate__is_how_often_the_gate_fires(higher: bool, share: float) -> None:
    size, error, level, sign = 0.30, 0.11, 0.003, -1 if higher else 1
    noise = error * np.random.default_rng(5).standard_normal(20_000)
    changes = np.exp(sign * noise) * (1 + sign * share * size) - 1
    significant = sign * np.log1p(changes) >= normal_quantile(1 - level) * error
    fires = (significant & (sign * changes >= size)).mean()
    assert estimate_firing_rate(size, share, error, level, higher=higher) == pytest.approx(fires, abs=0.012)


def test_judge_losses__a_pair_that_ran_out_of_time_promises_no_more_than_its_blocks() -> None:
    found = Evidence("requests_per_second", NOISE, 1.0, 1.0)
    decided = judge_losses(found, Course(24, ended=False), ALPHA, RATE)
    cut_off = judge_losses(found, Course(24, ended=True), ALPHA, RATE)
    assert decided.smallest_detectable is not None
    assert cut_off.smallest_detectable is not None
    assert decided.smallest_detectable < cut_off.smallest_detectable
