"""The intervals, compared with scipy's and with the error rates that they promise if the truth is known."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bench_action.stats.distributions import t_quantile
from bench_action.stats.interval import LEAST_BLOCKS, Interval, Ratio, estimate_mean, estimate_ratio, estimate_share

pytestmark = pytest.mark.unit

RUNS = 1500
SD = 0.0134  # of a block's log-ratio (docs/how-it-decides.md)
speeds = st.floats(min_value=1e-3, max_value=1e6)
pairs = st.lists(st.tuples(speeds, speeds), min_size=LEAST_BLOCKS, max_size=20)


def samples(seed: int, blocks: int, mean: float = 0.0, sd: float = SD) -> NDArray[np.float64]:
    """Draw RUNS rows of `blocks` log-normal values."""
    drawn: NDArray[np.float64] = np.exp(np.random.default_rng(seed).normal(mean, sd, (RUNS, blocks)))
    return drawn


def compared(rows: NDArray[np.float64]) -> Iterator[Ratio]:
    """Estimate the ratio of each row, taken as heads of pairs whose bases are 1."""
    base = [1.0] * rows.shape[1]
    for row in rows:
        ratio = estimate_ratio(base, row.tolist())
        assert ratio is not None
        yield ratio


def is_significant(ratio: Ratio) -> bool:
    assert ratio.interval is not None
    return not ratio.interval.low <= 1 <= ratio.interval.high


def assert_share(counted: int, share: float) -> None:
    """Check that `counted` of RUNS agrees with `share`, except once in ten thousand draws on either side."""
    low, high = stats.binom.ppf(1e-4, RUNS, share), stats.binom.ppf(1 - 1e-4, RUNS, share)
    assert low <= counted <= high, f"{counted} of {RUNS}, expected {share:.1%}"


@given(st.floats(min_value=1e-4, max_value=1 - 1e-4), st.integers(min_value=1, max_value=500))
def test_t_quantile__is_students_t(probability: float, degrees: int) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(float(stats.t.ppf(probability, degrees)), rel=1e-6)


@pytest.mark.parametrize(
    ("probability", "degrees", "value"), [(0.995, 4, 4.604), (0.995, 10, 3.169), (0.975, 9, 2.262), (0.95, 4, 2.132)]
)
def test_t_quantile__agrees_with_printed_tables(probability: float, degrees: int, value: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize("blocks", [5, 11])
def test_estimate_mean__contains_the_typical_value_in_99_of_100_runs(blocks: int) -> None:
    typical = 812.0
    intervals = [estimate_mean((typical * row).tolist()) for row in samples(1, blocks, sd=0.2)]
    missed = sum(not found.low <= typical <= found.high for found in intervals if found is not None)
    assert_share(missed, 0.01)


@pytest.mark.parametrize("blocks", [4, 5, 11])
def test_estimate_ratio__raises_a_false_alarm_in_1_of_100_runs_of_the_same_code(blocks: int) -> None:
    assert_share(sum(is_significant(ratio) for ratio in compared(samples(2, blocks))), 0.01)


@pytest.mark.parametrize("effect", [-0.02, 0.02, 0.05])
def test_estimate_ratio__finds_an_effect_as_often_as_student_says(effect: float) -> None:
    blocks, shift = 5, math.log1p(effect)
    critical, noncentrality = stats.t.ppf(0.995, blocks - 1), shift * math.sqrt(blocks) / SD
    power = stats.nct.sf(critical, blocks - 1, noncentrality) + stats.nct.cdf(-critical, blocks - 1, noncentrality)
    assert_share(sum(is_significant(ratio) for ratio in compared(samples(3, blocks, mean=shift))), float(power))


@pytest.mark.parametrize("blocks", [4, 5, 11])
def test_estimate_ratio__smallest_detectable_is_found_in_95_of_100_runs(blocks: int) -> None:
    # a run whose noise is exactly the true one, so that its promise can be tested
    shape = np.arange(blocks) - (blocks - 1) / 2
    typical = shape * SD / shape.std(ddof=1)
    promised = estimate_ratio([1.0] * blocks, np.exp(typical).tolist())
    assert promised is not None
    assert promised.smallest_detectable is not None
    rows = samples(4, blocks, mean=math.log1p(promised.smallest_detectable))
    assert_share(sum(is_significant(ratio) for ratio in compared(rows)), 0.95)


@given(pairs)
def test_estimate_ratio__of_swapped_sides_is_the_inverse(drawn: list[tuple[float, float]]) -> None:
    base, head = zip(*drawn, strict=True)
    one, other = estimate_ratio(base, head), estimate_ratio(head, base)
    assert one is not None
    assert other is not None
    assert one.interval is not None
    assert other.interval is not None
    assert one.ratio * other.ratio == pytest.approx(1)
    # bounds are e^±(a few hundred) when the noise is absurd: compare their logarithms
    assert _log(one.interval.low) == pytest.approx(-_log(other.interval.high), abs=1e-6)
    assert _log(one.interval.high) == pytest.approx(-_log(other.interval.low), abs=1e-6)


def _log(value: float) -> float:
    return math.log(value) if 1e-290 < value < 1e290 else 0.0


@given(
    st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=LEAST_BLOCKS, max_size=20),
    st.floats(min_value=1e-3, max_value=1e3),
)
def test_estimate_ratio__does_not_depend_on_the_unit(drawn: list[tuple[float, float]], scale: float) -> None:
    base, head = zip(*drawn, strict=True)
    one, scaled = estimate_ratio(base, head), estimate_ratio([scale * b for b in base], [scale * h for h in head])
    assert one is not None
    assert scaled is not None
    assert scaled.ratio == pytest.approx(one.ratio)
    assert scaled.base == pytest.approx(scale * one.base)
    assert scaled.interval is not None
    assert one.interval is not None
    assert (math.log(scaled.interval.low), math.log(scaled.interval.high)) == pytest.approx(
        (math.log(one.interval.low), math.log(one.interval.high)), abs=1e-6
    )


@given(pairs)
def test_estimate_ratio__is_head_over_base_and_lies_in_its_interval(drawn: list[tuple[float, float]]) -> None:
    base, head = zip(*drawn, strict=True)
    found = estimate_ratio(base, head)
    assert found is not None
    assert found.interval is not None
    assert found.ratio == pytest.approx(found.head / found.base)
    assert found.interval.low * (1 - 1e-9) <= found.ratio <= found.interval.high * (1 + 1e-9)


def test_estimate_ratio__pairs_cancel_the_noise_of_a_block() -> None:
    # the speed of the machine changes from block to block, the difference stays 5 %
    base = [100.0, 50.0, 200.0, 25.0]
    found = estimate_ratio(base, [1.05 * value for value in base])
    assert found is not None
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((1.05, 1.05))


def test_estimate_ratio__stays_finite_if_blocks_vary_by_orders_of_magnitude() -> None:
    found = estimate_ratio([1.0, 1e6, 1.0, 1e6], [1e6, 1.0, 1e6, 1.0])
    assert found is not None
    assert found.interval is not None
    assert found.smallest_detectable is not None
    assert math.isfinite(found.interval.high)
    assert math.isfinite(found.smallest_detectable)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_estimate_ratio__of_few_blocks_has_no_interval(blocks: int) -> None:
    found = estimate_ratio([100.0, 80.0, 90.0][:blocks], [110.0, 88.0, 99.0][:blocks])
    assert found is not None
    assert found.ratio == pytest.approx(1.1)
    assert found.interval is None
    assert found.smallest_detectable is None


@pytest.mark.parametrize(
    ("base", "head"), [([], []), ([1.0], [1.0, 2.0]), ([1.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, -1.0])]
)
def test_estimate_ratio__is_none_without_pairs_or_positive_values(base: list[float], head: list[float]) -> None:
    assert estimate_ratio(base, head) is None


@pytest.mark.parametrize("values", [[], [5.0], [5.0, 12.0], [5.0, 12.0, 0.0]])
def test_estimate_mean__needs_four_blocks(values: list[float]) -> None:
    assert estimate_mean(values) is None


def test_estimate_mean__of_equal_values_has_no_width() -> None:
    assert estimate_mean([3.0, 3.0]) == Interval(3.0, 3.0)
    assert estimate_mean([0.0, 0.0, 0.0]) == Interval(0.0, 0.0)


def test_estimate_mean__with_a_zero_is_plain_students_t_but_not_below_zero() -> None:
    values = [0.0, 2.0, 4.0, 6.0]
    low, high = stats.t.interval(0.99, 3, loc=3, scale=stats.sem(values))
    assert low < 0
    found = estimate_mean(values)
    assert found is not None
    assert [found.low, found.high] == pytest.approx([0.0, float(high)])


def test_estimate_mean__is_symmetric_on_the_logarithmic_scale() -> None:
    values = [90.0, 100.0, 120.0, 110.0]
    logs = np.log(values)
    low, high = stats.t.interval(0.99, 3, loc=logs.mean(), scale=stats.sem(logs))
    found = estimate_mean(values)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_estimate_mean__is_wider_for_more_confidence() -> None:
    narrow, wide = estimate_mean([1.0, 2.0, 3.0, 2.0], 0.9), estimate_mean([1.0, 2.0, 3.0, 2.0], 0.99)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.high < wide.high


@given(st.integers(1, 2000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_estimate_share__is_the_exact_interval(counted: tuple[int, int]) -> None:
    expected = stats.binomtest(*counted).proportion_ci(0.99, method="exact")
    found = estimate_share(*counted)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_estimate_share__without_runs_knows_nothing() -> None:
    assert estimate_share(0, 0) == Interval(0.0, 1.0)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.3])
def test_estimate_share__misses_the_truth_in_one_of_a_hundred_samples_at_most(share: float) -> None:
    counts = np.random.default_rng(11).binomial(150, share, RUNS)
    found = [estimate_share(int(count), 150) for count in counts]
    assert sum(not interval.low <= share <= interval.high for interval in found) <= 0.01 * RUNS + 8
