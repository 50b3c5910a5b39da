"""Where the noise of blocks comes from, and how long to measure after a restart; error rates counted by simulation."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from benchmarks.rules import recorded
from scipy.special import stdtr

from bench_action.stats.nested import USUAL, Noise, Spread, choose_slice, estimate_noise, measure_spread
from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

LENGTHS = range(4, 9)
PILOTS, FIXED_S, PARTS = 3, 4, 3
OVERHEAD_S = 3.0  # of a block, in addition to its slice and to what the subjects take to boot
ALPHA, RUNS = 0.01, 1000
# from restarts that add nothing to restarts that add ten times as much as usual, and the same for a second of measuring
NOISES = (Noise(0.0, USUAL.second), USUAL, Noise(10 * USUAL.restart, USUAL.second), Noise(USUAL.restart, 0.004))


def spread_of(noise: Noise, blocks: int, seed: int = 1) -> Spread:
    """Draw blocks with slices of four seconds, and parts of one."""
    dice = np.random.default_rng(seed)
    values = math.sqrt(noise.block(4)) * dice.standard_normal(blocks)
    found = measure_spread(values.tolist(), (math.sqrt(noise.slice(1)) * dice.standard_normal((blocks, 4))).tolist())
    assert found is not None
    return found


def test_noise__a_block_has_what_the_restart_and_the_slice_add() -> None:
    assert Noise(0.0001, 0.0).block(4) == pytest.approx(0.0001)
    assert USUAL.block(4) == pytest.approx(0.0139**2, rel=0.03)  # as recorded: 1.34 to 1.37 %
    assert USUAL.restart_share(4) == pytest.approx(0.57, abs=0.02)
    assert Noise(0.0, 0.0).restart_share(4) == 0.0


@pytest.mark.parametrize("metric", ["loss", "cpu_loss"])
def test_usual__is_what_recordings_show(metric: str) -> None:
    """Blocks of six seconds of one second each, without the first one, and slices of five seconds without restarts."""
    rows = recorded.read("slices")
    seconds = [
        [
            loss
            for loss, block, second in zip(rows[metric], rows["block"], rows["second"], strict=True)
            if block == number and second > 0
        ]
        for number in sorted(set(rows["block"]))
    ]
    spread = measure_spread([float(np.mean(block)) for block in seconds], seconds)
    assert spread is not None
    assert spread.within == pytest.approx(USUAL.slice(1), rel=0.15)
    assert spread.between - spread.within / 5 == pytest.approx(USUAL.restart, rel=0.15)
    rows = recorded.read("unrestarted")
    slices = [
        loss
        for loss, length, effect in zip(rows[metric], rows["slice_s"], rows["effect_percent"], strict=True)
        if length == 5 and effect == 0
    ]
    assert math.sqrt(USUAL.slice(5)) == pytest.approx(np.std(slices, ddof=1), rel=0.25)


@pytest.mark.parametrize("slice_s", [1, 2, 4])
def test_noise__one_slice_is_never_worse_than_several_as_long_together(slice_s: int) -> None:
    for slices in (2, 3, 4):
        assert USUAL.slice(slices * slice_s) < USUAL.slice(slice_s) / slices


@pytest.mark.parametrize("noise", NOISES)
def test_estimate_noise__many_blocks_show_both_variances(noise: Noise) -> None:
    found = estimate_noise([spread_of(noise, 5_000)], 4, 1)
    assert found.restart == pytest.approx(noise.restart, rel=0.1, abs=0.05 * noise.second)
    assert found.second == pytest.approx(noise.second, rel=0.1)


def test_estimate_noise__few_blocks_stay_near_the_usual_share() -> None:
    shares = [estimate_noise([spread_of(NOISES[2], 3, seed)], 4, 1).restart_share(4) for seed in range(200)]
    assert USUAL.restart_share(4) < np.median(shares) < NOISES[2].restart_share(4)
    assert np.quantile(shares, 0.9) - np.quantile(shares, 0.1) < 0.5


def test_estimate_noise__the_restart_is_never_negative() -> None:
    calm = Spread(between=1e-7, between_free=50, within=1e-4, within_free=200)
    assert estimate_noise([calm], 4, 1).restart == 0.0


def test_estimate_noise__is_the_usual_one_without_information() -> None:
    assert estimate_noise([], 4, 1) == USUAL
    assert estimate_noise([Spread(0.0, 2, 0.0, 6)], 4, 1) == USUAL
    assert measure_spread([0.1], [[0.1, 0.2]]) is None
    assert measure_spread([0.1, 0.2], [[], [0.1]]) is None


def test_estimate_noise__does_not_depend_on_the_difference() -> None:
    dice = np.random.default_rng(2)
    values, parts = dice.standard_normal(5), dice.standard_normal((5, 3))
    here, there = (measure_spread((values + loss).tolist(), (parts + loss).tolist()) for loss in (0.0, 0.5))
    assert here is not None
    assert there is not None
    assert estimate_noise([here], 4, 1).restart == pytest.approx(estimate_noise([there], 4, 1).restart)


def test_choose_slice__is_longer_after_rare_restarts_and_after_noisy_seconds() -> None:
    assert choose_slice(USUAL, 1.5, LENGTHS, 600) == 4
    assert choose_slice(USUAL, 23, LENGTHS, 600) > 6
    assert choose_slice(Noise(USUAL.restart, 0.01), 3, LENGTHS, 600) == 8
    assert choose_slice(Noise(0.01, USUAL.second), 3, LENGTHS, 600) == 4


def test_choose_slice__leaves_time_for_enough_blocks() -> None:
    # five blocks of 24 s fit into two minutes, and only four of 28 s
    assert choose_slice(USUAL, 20, LENGTHS, 120) == 4
    assert choose_slice(USUAL, 20, LENGTHS, 30) == 4
    assert choose_slice(USUAL, 20, [7], 30) == 7


def cost_s(boot_s: float) -> float:
    return boot_s + OVERHEAD_S


def draw_runs(noise: Noise, boot_s: float, budget_s: float, *, fitted: bool) -> Iterator["np.ndarray[tuple[int, int]]"]:
    """Draw the losses of runs, run × block, in groups of equally many blocks; those of unchanged code.

    Fitted: the first slices as the boot's time says, the others as the first blocks say. Otherwise always four seconds.
    """
    dice = np.random.default_rng(7)
    first_s = choose_slice(USUAL, cost_s(boot_s), LENGTHS, budget_s) if fitted else FIXED_S
    values = math.sqrt(noise.block(first_s)) * dice.standard_normal((RUNS, PILOTS))
    parts = math.sqrt(noise.slice(1)) * dice.standard_normal((RUNS, PILOTS, PARTS))
    left_s = budget_s - PILOTS * (cost_s(boot_s) + first_s)
    chosen = [FIXED_S] * RUNS
    for run in range(RUNS if fitted else 0):
        spread = measure_spread(values[run].tolist(), parts[run].tolist())
        assert spread is not None
        found = estimate_noise([spread], first_s, 1)
        chosen[run] = choose_slice(found, cost_s(boot_s), LENGTHS, left_s, [first_s] * PILOTS)
    for length, runs in Counter(chosen).items():
        own = values[[choice == length for choice in chosen]]
        later = math.sqrt(noise.block(length)) * dice.standard_normal((runs, int(left_s / (cost_s(boot_s) + length))))
        yield np.hstack([own, later])


def count_alarms(noise: Noise, boot_s: float, budget_s: float, effect: float = 0.0, *, fitted: bool = True) -> float:
    """Count the share of runs in which a look raises an alarm."""
    alarms = 0
    for drawn in draw_runs(noise, boot_s, budget_s, fitted=fitted):
        losses = drawn + effect
        course = Course(losses.shape[1], ended=False)
        alarmed = np.zeros(len(losses), bool)
        for due in course.looks:
            seen = losses[:, :due]
            t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / math.sqrt(due))
            alarmed |= stdtr(due - 1, -t) <= course.level(due, ALPHA)
        alarms += int(alarmed.sum())
    return alarms / RUNS


@pytest.mark.parametrize("boot_s", [1, 4, 20])
def test_choose_slice__error_rates_stand_wherever_the_noise_comes_from(boot_s: float) -> None:
    rates = [count_alarms(noise, boot_s, 180) for noise in NOISES]
    error = math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
    assert max(rates) < 1.15 * ALPHA + 3 * error
    assert np.mean(rates) < 1.15 * ALPHA + 3 * error / math.sqrt(len(rates))


@pytest.mark.parametrize(
    ("boot_s", "budget_s", "effect", "gain"), [(1, 60, 0.02, -0.02), (4, 120, 0.015, 0.02), (20, 180, 0.015, 0.05)]
)
def test_choose_slice__finds_as_much_as_slices_of_four_seconds_and_more_if_restarts_are_slow(
    boot_s: float, budget_s: float, effect: float, gain: float
) -> None:
    fitted, fixed = (count_alarms(USUAL, boot_s, budget_s, effect, fitted=choice) for choice in (True, False))
    assert 0.3 < fixed < 0.7
    assert fitted >= fixed + gain


@pytest.mark.parametrize(("tracks", "effect", "share"), [(1, 0.02, 0.68), (2, 0.02, 0.95), (4, 0.013, 0.90)])
def test_tracks__find_more_within_a_minute_and_keep_the_error_rate(tracks: int, effect: float, share: float) -> None:
    """As many duets at the same time, whose mean is the value of a block (docs/how-it-decides.md, "Every core")."""
    noise = Noise(USUAL.restart / tracks, USUAL.second / tracks)
    assert count_alarms(noise, 1, 60, effect) == pytest.approx(share, abs=0.04)
    assert count_alarms(noise, 1, 60) < 1.15 * ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
