"""Count what the thresholds promise, and when a shift is found."""

import numpy as np
import pytest
from tests.unit.trend.simulated import series

from bench_action.stats.shift import Shift, find_shifts
from bench_action.trend.change_points import find_change_points

pytestmark = pytest.mark.unit
Values = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def shifts(values: Values, once_in: int = 10_000) -> tuple[Shift, ...]:
    return find_shifts(np.argsort(np.argsort(values)).tolist(), once_in)


@pytest.mark.parametrize(("once_in", "records", "most"), [(1_000, 40_000, 55), (10_000, 80_000, 15)])
def test_find_shifts__noise_raises_no_more_alarms_than_the_rate_promises(once_in: int, records: int, most: int) -> None:
    random = np.random.default_rng(11)
    found = sum(len(shifts(random.normal(size=1_000), once_in)) for _ in range(records // 1_000))
    assert found <= most  # 40 and 8 expected; one such count in a hundred is this high or higher


def test_find_shifts__noise_raises_some_alarms() -> None:
    random = np.random.default_rng(12)
    assert sum(len(shifts(random.normal(size=2_000), 1_000)) for _ in range(10)) >= 8  # 20 expected


def test_find_shifts__correlated_neighbours_raise_few_alarms() -> None:
    random = np.random.default_rng(13)
    found = 0
    for _ in range(40):
        noise = random.normal(size=1_001)
        found += len(shifts(noise[1:] + 0.25 * noise[:-1]))  # lag-1 correlation 0.24
    assert found <= 16  # four times the rate for independent noise


@pytest.mark.parametrize(("times", "most"), [(2.0, 20), (4.0, 60)])
def test_find_shifts__noisier_periods_raise_few_alarms(times: float, most: int) -> None:
    """Every second period of 60 records is noisier; even noise would raise 4 alarms in these 40,000 records."""
    random = np.random.default_rng(14)
    scale = np.where(np.arange(400) // 60 % 2 == 0, 1.0, times)
    found = sum(len(shifts(random.normal(size=400) * scale)) for _ in range(100))
    assert found <= most


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_find_shifts__so_few_bad_days_are_not_a_shift(bad: int) -> None:
    random = np.random.default_rng(15)
    for _ in range(30):
        values = random.normal(size=160)
        values[100 : 100 + bad] -= 50
        assert not shifts(values)


@pytest.mark.parametrize(("size", "within", "least"), [(4.0, 7, 97), (2.0, 20, 90), (1.0, 90, 90)])
def test_find_shifts__a_step_is_found_soon(size: float, within: int, least: int) -> None:
    """`size` in standard deviations: with a ratio of 1.4 % noise, 4.0 is a step of 6 %."""
    random = np.random.default_rng(16)
    found = 0
    for _ in range(100):
        values = random.normal(size=120 + within)
        values[120:] -= size
        found += any(abs(shift.index - 120) <= 15 and shift.raised < 120 + within for shift in shifts(values))
    assert found >= least


def test_find_shifts__what_was_found_is_found_again() -> None:
    random = np.random.default_rng(17)
    values = random.normal(size=600) + np.repeat([0, 3, 1, -2], 150)
    ranks = np.argsort(np.argsort(values))
    whole = find_shifts(ranks.tolist())
    assert [shift.index for shift in whole] == pytest.approx([150, 300, 450], abs=3)
    for end in (200, 350, 455, 599):
        assert find_shifts(ranks[:end].tolist()) == tuple(shift for shift in whole if shift.raised < end)


def test_find_change_points__a_slow_creep_is_found() -> None:
    random = np.random.default_rng(18)
    values = np.exp(random.normal(0, 0.014, 365) - 0.0003 * np.arange(365))  # 0.03 % a day, 10 % a year
    assert [point.direction for point in find_change_points(series(values.tolist()))].count("worse") >= 2


def test_find_shifts__an_unknown_rate_is_refused() -> None:
    with pytest.raises(KeyError):
        find_shifts([1, 2, 3], once_in=7)


@pytest.mark.parametrize("length", range(9))
def test_find_shifts__too_few_records_have_none(length: int) -> None:
    assert find_shifts(list(range(length))) == ()
