"""The highest rate that holds an objective, found by steps."""

import math
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.stats.objective import RESOLUTION, Attempt, choose_rate, estimate_rate, find_bracket

pytestmark = pytest.mark.unit


def search(true: float, start: float, factor: float, most: int, *, noise: float = 0.0, seed: int = 0) -> list[Attempt]:
    """Search where the latency grows as a power of the rate, and is at its limit at `true`."""
    dice, attempts = random.Random(seed), list[Attempt]()
    while (rate := choose_rate(attempts, start, factor, most)) is not None:
        attempts.append(Attempt(rate, (rate / true) ** 4 * math.exp(dice.gauss(0, noise))))
    return attempts


def test_find_bracket__is_the_lowest_rate_that_failed_and_the_highest_below_it_that_held() -> None:
    attempts = [Attempt(100, 0.5), Attempt(200, 2.0), Attempt(150, 1.5), Attempt(120, 0.9), Attempt(180, 0.8)]
    assert find_bracket(attempts) == (Attempt(120, 0.9), Attempt(150, 1.5))
    assert find_bracket([]) == (None, None)
    assert find_bracket([Attempt(10, math.inf)]) == (None, Attempt(10, math.inf))


@given(st.floats(20, 20_000), st.floats(0.2, 5))
def test_search__finds_the_rate_wherever_it_begins(true: float, off: float) -> None:
    attempts = search(true, max(1.0, true * off), 1.3, 30)
    held, failed = find_bracket(attempts)
    assert held is not None
    assert failed is not None
    assert held.rate <= true * 1.0001
    assert failed.rate >= true * 0.9999
    assert failed.rate <= RESOLUTION * held.rate
    assert estimate_rate(attempts) == pytest.approx(true, rel=1e-6)  # such a latency is a straight line


def test_search__takes_few_steps_once_the_rate_is_known() -> None:
    assert [len(search(true, 400, RESOLUTION, 5)) for true in (390, 401, 450, 360)] == [2, 2, 3, 3]
    assert len(search(4000, 300, 1.3, 9)) == 9


def test_search__ends_without_a_rate_if_none_holds_or_all_do() -> None:
    assert estimate_rate(search(0.2, 50, 1.3, 9)) is None
    assert estimate_rate(search(1e9, 50, 1.3, 9)) is None
    assert choose_rate([Attempt(1.1, 2.0)], 50, 1.3, 9) is None


def test_estimate_rate__is_the_middle_if_the_higher_one_failed_by_errors() -> None:
    assert estimate_rate([Attempt(100, 0.5), Attempt(108, math.inf)]) == pytest.approx(math.sqrt(100 * 108))


def test_search__noise_favours_neither_side() -> None:
    rates = [estimate_rate(search(400, 400, 1.1, 5, noise=0.3, seed=seed)) for seed in range(400)]
    known = [math.log(rate / 400) for rate in rates if rate is not None]
    assert len(known) > 350
    assert abs(fmean(known)) < 0.05
