"""Warnings about cells that were measured before they were warm."""

from typing import Any

import numpy as np
import pytest
from tests.unit.factories import make_duet, make_trial

from bench_action.compare.evidence import pair_blocks
from bench_action.compare.warmth import (
    compute_fall,
    find_cold_blocks,
    is_fall,
    measure_warm_up_s,
    warn_of_cold_blocks,
    warn_of_cold_cells,
)
from bench_action.model.result import Trial, WarmUp
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

WARM = WarmUp(duration_s=1.1, limit_s=20, steady=True, cpu_ms_first=2.0, cpu_ms_last=0.9, change_per_s=0.01)
COLD = WarmUp(duration_s=20.1, limit_s=20, steady=False, cpu_ms_first=4.5, cpu_ms_last=2.06, change_per_s=-0.061)


def duet(block: int, warm_up: WarmUp | None, cost_ms: float = 0.9, **changes: Any) -> Trial:
    """Build a trial of 10,000 requests."""
    fields = {"phase": "duet", "pair": "web · list", "side": "head", "warm_up": warm_up, "connections_live": 0}
    cpu_ms = {"application": cost_ms * 10_000}
    return make_trial("web", block=block, profile="list", **({"cpu_ms": cpu_ms} | fields | changes))


def test_warn_of_cold_cells__says_what_it_cost_and_what_to_set() -> None:
    (warning,) = warn_of_cold_cells([duet(1, COLD), duet(2, WARM), duet(3, COLD), duet(3, COLD, position=1)])
    assert (warning.code, warning.cell) == (Code.COLD, "web · list")
    assert warning.message == (
        "the longest warm-up, 20 s, was too short: CPU/request was 4.5 ms at first, 2.06 ms at the end, falling "
        "by 6.1 % a second (in 2 of 3 restarts)"
    )
    assert "Set `warmup: 40s` in profile `list`" in warning.advice
    assert not warning.code.invalidates


def test_warn_of_cold_cells__a_rising_cost_is_no_reason_to_wait_longer() -> None:
    (warning,) = warn_of_cold_cells([duet(1, COLD.model_copy(update={"change_per_s": 0.02}))])
    assert "2.06 ms at the end, rising by 2.0 % a second" in warning.message
    assert "leak" in warning.advice
    assert "warmup" not in warning.advice


def test_warn_of_cold_cells__too_few_requests_are_named() -> None:
    stuck = COLD.model_copy(update={"cpu_ms_last": None, "change_per_s": None})
    (warning,) = warn_of_cold_cells([duet(1, stuck)])
    assert warning.message.endswith("was too short: too few requests were answered")


def test_warn_of_cold_cells__what_still_works_without_requests_is_named() -> None:
    compiling = COLD.model_copy(update={"change_per_s": 0.001, "rested": False})
    (warning,) = warn_of_cold_cells([duet(1, compiling)])
    assert warning.message.endswith("rising by 0.1 % a second, and it still used CPU when no request was under way")
    assert "Set `warmup: 40s` in profile `list`" in warning.advice


def test_compute_fall__leaves_out_what_was_under_way_at_the_end() -> None:
    """A request that waited in a queue until wrk left has cost nothing."""
    trial = duet(1, WARM, cost_ms=1.0, requests=200, cpu_ms={"application": 200.0}, connections_live=64)
    assert compute_fall(trial, WARM.model_copy(update={"cpu_ms_last": 1.0})) == pytest.approx(0.0)


def test_warn_of_cold_cells__what_broke_off_is_named() -> None:
    broken = WARM.model_copy(update={"steady": None, "duration_s": 2.5})
    unknown = WARM.model_copy(update={"steady": None, "cpu_ms_first": None, "cpu_ms_last": None})
    (warning,) = warn_of_cold_cells([duet(1, broken), duet(2, WARM), duet(3, unknown)])
    assert warning.message == "1 of 3 warm-ups broke off, the shortest after 2.5 s, as wrk could not connect again"


def test_warn_of_cold_cells__what_became_cheaper_while_it_was_measured_was_cold() -> None:
    trials = [duet(block, WARM, cost_ms=0.6) for block in range(1, 6)]
    (warning,) = warn_of_cold_cells(trials)
    assert "CPU/request kept falling while it was measured: it was 33 % lower" in warning.message
    assert not list(warn_of_cold_cells(trials[:3]))  # too few to tell it from noise
    assert not list(warn_of_cold_cells([*trials, *(duet(block, WARM) for block in range(6, 12))]))


def follow(end_ms: float, *costs_ms: float) -> list[Trial]:
    """Build trials alone after the warm-up of a count, at whose end a request cost `end_ms`."""
    alone: dict[str, Any] = {"pair": "", "side": ""}
    return [
        duet(0, WARM.model_copy(update={"cpu_ms_last": end_ms}), phase="count", **alone),
        *(duet(block, None, cost_ms, phase="capacity", **alone) for block, cost_ms in enumerate(costs_ms, start=1)),
    ]


def test_warn_of_cold_cells__trials_alone_follow_the_last_warm_up_of_their_cell() -> None:
    (warning,) = warn_of_cold_cells(follow(0.27, 0.12, 0.11, 0.10))
    assert warning.message == (
        "CPU/request kept falling while it was measured: it was 59 % lower than at the end of the warm-up"
    )
    assert not list(warn_of_cold_cells(follow(0.15, 0.12, 0.11, 0.10)))  # one warm-up that was noisy explains it


def test_warn_of_cold_cells__noise_of_one_warm_up_is_in_all_trials_that_follow_it() -> None:
    """On the machine of the docs, whose speed has a standard deviation of 20 %."""
    dice = np.random.default_rng(20261201)
    warned = 0
    for _ in range(1000):
        end_ms, *costs_ms = np.exp(0.2 * dice.standard_normal(6))
        warned += bool(list(warn_of_cold_cells(follow(float(end_ms), *map(float, costs_ms)))))
    assert warned <= 5


def test_warn_of_cold_cells__slices_in_turn_after_one_warm_up_count_once() -> None:
    turns = [duet(block, WARM, 0.6, phase="interleaved", position=at) for block in range(1, 5) for at in range(4)]
    assert not list(warn_of_cold_cells(turns[:12]))
    (warning,) = warn_of_cold_cells(turns)
    assert warning.message.endswith("33 % lower than at the end of the warm-up, in the median of 4 warm-ups")


@pytest.mark.parametrize("phase", ["latency", "count"])
def test_warn_of_cold_cells__requests_of_another_load_have_another_cost(phase: str) -> None:
    assert not list(warn_of_cold_cells([duet(block, WARM, cost_ms=0.5, phase=phase) for block in range(6)]))


@pytest.mark.parametrize("warm_up", [None, WARM, WARM.model_copy(update={"steady": None, "cpu_ms_last": None})])
def test_warn_of_cold_cells__nothing_about_warm_ones_and_unknown_ones(warm_up: WarmUp | None) -> None:
    assert not list(warn_of_cold_cells([duet(block, warm_up) for block in range(6)]))


def test_compute_fall__is_a_fraction_of_the_warm_ups_end() -> None:
    assert compute_fall(duet(1, WARM, cost_ms=0.45), WARM) == pytest.approx(0.5)
    assert compute_fall(duet(1, WARM, cpu_ms={}), WARM) is None
    assert [is_fall(fall) for fall in (None, -0.5, 0.1, 0.16)] == [False, False, False, True]


def test_measure_warm_up_s__is_that_of_pairs_if_there_are_any() -> None:
    alone = make_trial("web", warm_up=COLD)
    assert measure_warm_up_s([alone, duet(1, WARM)]) == pytest.approx(1.1)
    assert measure_warm_up_s([alone, duet(1, None)]) == pytest.approx(20.1)
    assert measure_warm_up_s([]) == 0.0


def make_duets(*warm_ups: tuple[float, float, float], **changes: Any) -> list[Trial]:
    """Build duets, each after a warm-up of so many seconds, at whose end a request of base and of head cost so much."""
    return [
        trial.model_copy(
            update={
                "warm_up": WarmUp(
                    duration_s=seconds,
                    limit_s=60,
                    steady=True,
                    cpu_ms_first=2.0,
                    cpu_ms_last=base if trial.side == "base" else head,
                    change_per_s=0.0,
                ),
                **changes,
            }
        )
        for block, (seconds, base, head) in enumerate(warm_ups, start=1)
        for trial in make_duet(block)
    ]


USUAL = (24.0, 0.15, 0.15)


@pytest.mark.parametrize(
    ("warm_ups", "cold"),
    [
        (((6.5, 1.5, 1.4), (12.0, 0.8, 0.6), USUAL, USUAL, USUAL), {1, 2}),
        (((6.5, 0.15, 0.5), USUAL, USUAL, USUAL), set()),  # only head is dear: it may be what head does
        (((6.5, 1.5, 1.4), USUAL, USUAL), set()),  # too few to know what is usual
        (((6.5, 0.16, 0.16), USUAL, USUAL, USUAL), set()),  # quick, and as cheap as the others
        (((24.0, 0.15, 0.40), USUAL, USUAL, USUAL), set()),  # head is slow after some restarts: that counts
        (((1.0, 1.5, 1.5), (2.0, 0.5, 0.5), (2.0, 0.5, 0.5), (2.0, 0.5, 0.5)), set()),  # nothing compiles for long
    ],
)
def test_find_cold_blocks__are_those_whose_compiler_had_not_begun(
    warm_ups: tuple[tuple[float, float, float], ...], cold: set[int]
) -> None:
    trials = make_duets(*warm_ups)
    pair = "aiohttp · article-500"
    assert find_cold_blocks(trials, pair, "duet") == cold
    assert [block.number for block in pair_blocks(trials, pair, "duet")] == sorted(
        set(range(1, len(warm_ups) + 1)) - cold
    )
    latency = [trial.model_copy(update={"phase": "latency", "warm_up": None}) for trial in trials]
    assert {block.number for block in pair_blocks([*trials, *latency], f"{pair} · GET /", "latency")} == set()
    assert {block.number for block in pair_blocks([*trials, *latency], pair, "latency")} == set(
        range(1, len(warm_ups) + 1)
    ) - cold
    found = [warning.message for warning in warn_of_cold_blocks(trials, pair, pair)]
    assert [message.partition(":")[0] for message in found] == (["2 of 5 blocks do not count"] if cold else [])


def test_find_cold_blocks__of_slices_in_turn_take_latency_with_them() -> None:
    pair = "aiohttp · article-500"
    turns = make_duets((6.5, 1.5, 1.4), USUAL, USUAL, USUAL, phase="interleaved")
    assert find_cold_blocks(turns, pair, "interleaved") == find_cold_blocks(turns, pair, "latency") == {1}
    assert find_cold_blocks([t.model_copy(update={"phase": "rate"}) for t in turns], pair, "rate") == set()
    (warning,) = warn_of_cold_blocks(turns, pair, pair)
    assert warning.message.startswith("1 of 4 blocks does not count")


def test_find_cold_blocks__what_is_usual_is_so_on_one_machine() -> None:
    """All warm-ups of a slower machine may look cold next to those of another one."""
    slow = make_duets(*((15.0, 0.3, 0.3),) * 4, shard=2)
    slow = [trial.model_copy(update={"block": trial.block + 10}) for trial in slow]
    assert find_cold_blocks([*make_duets(*(USUAL,) * 10, shard=1), *slow], "aiohttp · article-500", "duet") == set()
