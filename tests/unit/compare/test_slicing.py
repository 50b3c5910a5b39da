"""How long later blocks are measured: by what the first ones cost and how they vary, not by what they show."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.factories import PAIR, make_duet

from bench_action.compare.evidence import Evidence, PairedBlock, build_paired_evidence, pair_blocks
from bench_action.compare.gating import judge_losses
from bench_action.compare.slicing import choose, describe_noise, estimate_block_noise
from bench_action.config.gates import Gate
from bench_action.config.schema import PairPhase
from bench_action.model.result import Mark, Trial
from bench_action.stats.nested import USUAL
from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

CI = PairPhase(warmup=1, slice=4, shortest=4, longest=8)


def marks(speeds: Sequence[float], cost_ms: float) -> tuple[Mark, ...]:
    """Build marks a second apart, for a server with these rates, whose replies have 1,000 bytes."""
    served = np.concatenate(([500.0], 500 + np.cumsum(speeds)))
    return tuple(Mark(s=0.25 + n, bytes_read=round(1000 * s), cpu_ms=cost_ms * s) for n, s in enumerate(served))


def make_blocks(count: int, *, restart: float, second: float, loss: float = 0.0, seed: int = 3) -> list[PairedBlock]:
    """Make duets of two servers that differ by `loss`: sd of a restart, sd of a second."""
    dice, trials = np.random.default_rng(seed), list[Trial]()
    for number in range(1, count + 1):
        drawn = restart * dice.standard_normal()
        seconds = loss + drawn + second * dice.standard_normal(4)
        pair = make_duet(number, base=1e6, head=1e6 * math.exp(-seconds.mean()), connections_live=1)
        rates = (1000 * np.ones(4), 1000 * np.exp(-seconds))
        costs = (0.5, 0.5 * math.exp(loss + drawn))
        trials += [
            trial.model_copy(update={"marks": marks(rate.tolist(), cost)})
            for trial, rate, cost in zip(pair, rates, costs, strict=True)
        ]
    return pair_blocks(trials, str(PAIR), "duet")


def test_choose__does_not_depend_on_the_difference_of_base_and_head() -> None:
    chosen = {
        loss: [
            choose(make_blocks(3, restart=0.012, second=0.03, loss=loss, seed=seed), [7.3] * 3, CI, 150).slice_s
            for seed in range(20)
        ]
        for loss in (0.0, 0.05, -0.3)
    }
    assert chosen[0.0] == chosen[0.05] == chosen[-0.3]
    assert len(set(chosen[0.0])) > 1


def test_estimate_block_noise__of_duets_at_the_same_time_is_that_of_their_mean() -> None:
    def merge(number: int) -> list[Trial]:
        """Make four tracks of the blocks with this number, each with its own noise."""
        return [
            trial.model_copy(update={"track": track})
            for track in range(4)
            for block in noises[track][number : number + 1]
            for trial in (*block.base, *block.head)
        ]

    noises = [make_blocks(400, restart=0.012, second=0.03, seed=seed) for seed in range(4)]
    blocks = pair_blocks([trial for number in range(400) for trial in merge(number)], str(PAIR), "duet")
    assert [len(block.tracks) for block in blocks] == [4] * 400
    (one, _), (mean, measured) = estimate_block_noise(noises[0], 4), estimate_block_noise(blocks, 4)
    assert measured
    assert mean.second == pytest.approx(one.second / 4, rel=0.15)
    assert mean.restart == pytest.approx(one.restart / 4, rel=0.3)
    choice = choose(blocks[:3], [7.3] * 3, CI, 150)
    assert describe_noise("web", choice, blocks).tracks == 4


def test_choose__costs_decide_if_there_are_no_marks() -> None:
    blocks = pair_blocks([trial for n in (1, 2, 3) for trial in make_duet(n)], str(PAIR), "duet")
    assert estimate_block_noise(blocks, 4) == (USUAL, False)
    assert choose(blocks, [5.5] * 3, CI, 600).slice_s == 4
    assert choose(blocks, [28.0] * 3, CI, 600).slice_s >= 6
    assert choose([], [7.3] * 3, CI, 150).slice_s in CI.lengths


def test_choose__a_phase_without_bounds_keeps_its_slice_and_as_many_blocks_as_fit() -> None:
    fixed = choose([], [7.5, 7.6, 7.4], PairPhase(warmup=1, slice=4), 120 - 22.5)
    assert fixed.slice_s == 4
    assert fixed.count_blocks(120 - 22.5) == 16
    assert fixed.count_blocks(-3) == 3


def test_describe_noise__says_where_the_noise_came_from() -> None:
    blocks = make_blocks(60, restart=0.02, second=0.01)
    found = describe_noise(str(PAIR), choose(blocks[:3], [7.3] * 3, PairPhase(warmup=1, slice=4), 400), blocks)
    assert found.measured
    assert (found.blocks, found.first_blocks, found.slice_s) == (60, 3, 4)
    assert found.cost_s == pytest.approx(3.3)
    assert found.restart_sd == pytest.approx(0.02, rel=0.25)
    assert found.restart_share > 0.8
    still = describe_noise(str(PAIR), choose([], [7.3] * 3, CI, 400), pair_blocks(make_duet(1), str(PAIR), "duet"))
    assert not still.measured
    assert still.restart_sd == pytest.approx(math.sqrt(USUAL.restart))


def test_estimate_block_noise__marks_that_stand_still_tell_nothing() -> None:
    stuck = [Mark(s=n, bytes_read=5, cpu_ms=n) for n in (0.25, 1.25, 2.25)]
    trials = [trial.model_copy(update={"marks": tuple(stuck)}) for n in (1, 2, 3) for trial in make_duet(n)]
    assert estimate_block_noise(pair_blocks(trials, str(PAIR), "duet"), 4) == (USUAL, False)


def test_build_paired_evidence__knows_that_blocks_vary_at_least_as_seconds_within_them_do() -> None:
    blocks = make_blocks(200, restart=0.0, second=0.03)
    evidence = build_paired_evidence(blocks, "requests_per_second")
    assert evidence is not None
    assert evidence.least_sd == pytest.approx(math.sqrt(0.03**2 * USUAL.slice(4) / USUAL.slice(1)), rel=0.05)
    trials = [trial for number in range(1, 9) for trial in make_duet(number)]
    without = build_paired_evidence(pair_blocks(trials, str(PAIR), "duet"), "requests_per_second")
    assert without is not None
    assert without.least_sd == 0.0


def test_judge_losses__is_not_convinced_by_five_blocks_that_happen_to_agree() -> None:
    losses = (0.016, 0.017, 0.016, 0.021, 0.014)  # of unchanged code, recorded on 2026-11-28
    course, gate = Course(22, ended=False), Gate(max_gain=0.01)
    alone = Evidence("cpu_ms_per_request", losses, 1.0, 1.0)
    assert judge_losses(alone, course, 0.002, gate).verdict == "regressed"
    known = judge_losses(replace(alone, least_sd=0.009), course, 0.002, gate)
    assert (known.verdict, known.test and known.test.sd) == ("inconclusive", 0.009)
