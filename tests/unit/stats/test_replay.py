"""The product's rule on recorded duets with added effects, and the rules that it is compared with."""

import math

import numpy as np
import pytest
from benchmarks.rules import recorded, rules
from benchmarks.rules.course import End, ends
from benchmarks.rules.replay import BEFORE, OWN, Blocks, smallest_found

pytestmark = pytest.mark.unit


def replayed(effect: float, limit_s: float, runs: int) -> list[End]:
    """Replay runs with this slowdown, drawn from the 36 blocks of the recording; the same ones each time."""
    losses = recorded.duets()
    centred = recorded.centre(losses, [0] * len(losses))
    blocks = recorded.draw(centred, BEFORE.count(limit_s), runs, np.random.default_rng(5))
    return list(ends(blocks + math.log1p(effect)))


def found(effect: float, limit_s: float, runs: int = 200) -> float:
    return sum(end.verdict == "regressed" for end in replayed(effect, limit_s, runs)) / runs


def test_replay__the_same_code_hardly_ever_raises_an_alarm_and_stops_early() -> None:
    same = replayed(0.0, 120, 1000)
    assert sum(end.verdict == "regressed" for end in same) <= 10
    assert sum(end.verdict == "improved" for end in same) <= 10
    assert BEFORE.block_s * sum(end.blocks for end in same) / len(same) < 110


def test_replay__5_percent_are_found_within_a_minute_and_3_within_two() -> None:
    assert found(0.05, 60) >= 0.95
    assert found(0.05, 120) >= 0.99
    assert found(0.03, 120) >= 0.97


def test_replay__2_percent_are_found_given_time() -> None:
    assert found(0.02, 120) >= 0.7
    assert found(0.02, 300) >= 0.95


def test_smallest_found__is_the_effect_that_95_of_100_runs_find() -> None:
    assert smallest_found(lambda effect: float(effect >= 0.05)) == pytest.approx(0.05, rel=0.03)
    assert smallest_found(lambda effect: 0.9 * effect / 3) == math.inf


def test_recorded__runs_keep_their_order_and_get_the_effect() -> None:
    base, head = recorded.in_order("bhhb", 10)[0]
    rates = np.array(recorded.read("single")["requests_per_second"])
    assert base.rates == pytest.approx([rates[:10].mean(), rates[30:40].mean()])
    assert head.slowed(0.25).rates == pytest.approx([rates[10:20].mean() / 1.25, rates[20:30].mean() / 1.25])


def test_recorded__centring_keeps_the_spread_and_subtracts_the_mean_of_each_group() -> None:
    rows = np.array([[1.0], [3.0], [10.0], [10.5], [11.0]])
    assert recorded.centre(rows, "aabbb").ravel() == pytest.approx(
        [-math.sqrt(2), math.sqrt(2), -0.5 * math.sqrt(1.5), 0.0, 0.5 * math.sqrt(1.5)]
    )


@pytest.mark.parametrize(
    ("rule", "runs", "below", "above"),
    [
        (rules.slower_by(2.0), 1, 0.99, 1.01),
        (rules.codspeed, 5, 0.11, 0.12),
        (rules.postgrest, 1, 0.049, 0.051),
        (rules.react_on_rails, 3, 0.24, 0.26),
        (rules.asv_continuous, 10, 0.09, 0.12),
        (rules.autocannon_compare, 5, 0.05, 0.06),
        (rules.node, 5, 0.0, 0.01),
        (rules.bencher_t_test, 10, 0.0, 0.01),
        (rules.php_judy_like, 10, 0.09, 0.12),
        (rules.reth_like, 8, 0.0, 0.01),
        (rules.paired_t, 60, 0.0, 0.01),
    ],
)
def test_rules__alarm_above_their_limit_if_there_is_hardly_any_noise(
    rule: rules.Rule, runs: int, below: float, above: float
) -> None:
    quiet = 1000 * np.exp(1e-4 * np.random.default_rng(2).standard_normal(runs))
    side, other = rules.Side(quiet, 1e6 / quiet), rules.Side(quiet[::-1], 1e6 / quiet[::-1])
    assert not rule(side, other.slowed(below))
    assert rule(side, other.slowed(above))


@pytest.mark.parametrize("own", OWN)
def test_recorded__own_runs_are_of_one_application(own: Blocks) -> None:
    """Their blocks scatter by 0.9 to 1.6 %; those of other runtimes scatter by more."""
    losses = recorded.own_duets(own.recording)
    assert len(losses) > 100
    assert (losses.std(axis=0) > 0.009).all()
    assert (losses.std(axis=0) < 0.016).all()
