"""The product's rule on recorded duets: 36 blocks of the same code, with effects put in."""

import numpy as np
import pytest
from benchmarks.rules.replay import centred, ours

pytestmark = pytest.mark.unit

RUNS = 300


def found(effect: float, cap: int) -> float:
    """Share of replayed runs that end in an alarm."""
    replay = ours(np.random.default_rng(5), centred("duets"), cap)
    return sum(replay(effect)[0] for _ in range(RUNS)) / RUNS


def test_replay__the_same_code_is_hardly_ever_an_alarm() -> None:
    assert found(0.0, cap=14) <= 0.015


def test_replay__5_percent_are_found_within_a_minute_and_3_within_two() -> None:
    assert found(0.05, cap=7) >= 0.95
    assert found(0.03, cap=14) >= 0.97


def test_replay__2_percent_are_found_when_there_is_time() -> None:
    assert found(0.02, cap=35) >= 0.95
