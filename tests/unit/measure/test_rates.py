"""Which rates k6 sends, and how many users it needs."""

from typing import Any

import pytest
from tests.unit.compare.test_rates import make_turn
from tests.unit.factories import make_trial, warn

from bench_action.config.schema import Profile
from bench_action.measure.rates import find_capacity, find_longest_s, find_rate, limit_rate
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell

pytestmark = pytest.mark.unit

BASE = Cell("aiohttp", "base", "article-500")
TRIALS = [make_trial(revision="base", block=block, speed=speed) for block, speed in ((1, 900.0), (2, 1100.0))]


def make_profile(rate: str, **changes: Any) -> Profile:
    return Profile.model_validate({"connections": 4, "threads": 2, "duration": 1, "rate": rate} | changes)


def test_find_rate__a_share_is_one_of_what_base_serves_alone() -> None:
    assert find_rate(make_profile("200/s"), [], BASE) == 200
    assert find_rate(make_profile("60%"), TRIALS, BASE) == 600
    assert find_rate(Profile.model_validate({"k6": "buy.js"}), [], BASE) is None
    others = [make_trial(speed=5000.0), make_trial(revision="base", speed=1.0, warnings=(warn(Code.CLOCK_STEP),))]
    assert find_capacity([*TRIALS, *others], BASE) == 1000
    assert find_capacity([], BASE) == 0


@pytest.mark.parametrize(
    ("rate", "cores", "timeout", "sent"),
    [("60%", 2, 2, 1400), ("60%", 64, 2, 5000), ("60%", 64, 10, 1000), ("9000/s", 2, 1, 9000)],
)
def test_limit_rate__only_a_share_is_lowered_to_what_k6_can_send(
    rate: str, cores: int, timeout: int, sent: float
) -> None:
    assert limit_rate(make_profile(rate, timeout=timeout), 9000.0, cores) == sent


def test_find_longest_s__has_the_pauses_of_a_script() -> None:
    profile = Profile.model_validate({"k6": "buy.js", "rate": "5/s"})
    counted = make_turn("base", 1, 5000.0, rate={"iteration_us": 2e6}, phase="count")
    assert find_longest_s(profile, [counted], BASE) == 5
    assert find_longest_s(make_profile("5/s", timeout=3), [counted], BASE) == 3
