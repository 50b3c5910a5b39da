"""The blocks of a run, and the order of their trials."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.plan.blocks import (
    Block,
    Cell,
    Pace,
    Pair,
    make_duet_blocks,
    make_interleaved_blocks,
    make_latency_blocks,
    make_solo_blocks,
    share_restarts,
)

pytestmark = pytest.mark.unit

CELLS = [Cell(variant, "head", profile) for variant in ("django", "aiohttp", "flask") for profile in ("small", "large")]
numbers = st.integers(min_value=0, max_value=2**32)


def make_plan(cells: list[Cell], *, blocks: int = 5, seed: int = 0, renew: bool = False) -> list[Block]:
    return list(make_solo_blocks(cells, blocks=blocks, warmup_s=2, seed=seed, renew=renew))


@given(st.lists(st.sampled_from(CELLS), unique=True, min_size=1), st.integers(0, 12), numbers, st.booleans())
def test_make_solo_blocks__count_each_cell_then_load_each_once_per_block(
    cells: list[Cell], blocks: int, seed: int, renew: bool
) -> None:
    plan = make_plan(cells, blocks=blocks, seed=seed, renew=renew)
    whole = [block for block in plan if block.phase == "capacity" or block.number < 2]
    assert [(block.phase, block.number) for block in whole] == [("count", 0), ("count", 1)] + [
        ("capacity", number) for number in range(1, blocks + 1)
    ]
    for block in whole:
        assert Counter(step.cells for step in block.steps) == Counter((cell,) for cell in cells)
        assert [step.position for step in block.steps] == list(range(len(cells)))


@given(numbers)
def test_make_solo_blocks__the_same_seed_gives_the_same_order(seed: int) -> None:
    assert make_plan(CELLS, seed=seed) == make_plan(CELLS, seed=seed)


def test_make_solo_blocks__other_seeds_and_blocks_have_other_orders() -> None:
    plans = [make_plan(CELLS, seed=seed) for seed in range(50)]
    assert len({str([block.steps for block in plan]) for plan in plans}) == 50
    orders = {tuple(step.cells for step in block.steps) for block in plans[0]}
    assert len(orders) == 7 + len(CELLS)  # and counts of each cell alone, for two counts that disagree


def test_make_solo_blocks__count_base_and_head_close_together_if_two_counts_disagree() -> None:
    cells = [Cell("django", "base", "small"), Cell("django", "head", "small"), Cell("flask", "head", "small")]
    orders, pauses = set(), set()
    for seed in range(30):
        again = [block for block in make_plan(cells, seed=seed) if block.phase == "count" and block.number > 1]
        assert [block.number for block in again] == [2, 2, 3, 3, 4, 4, 5, 5]
        for block in again:
            counted = [step.cells[0] for step in block.steps]
            assert sorted(map(str, counted)) in (["django · small", "django@base · small"], ["flask · small"])
            orders.add(tuple(map(str, counted)))
            pauses |= {step.pause_s for step in block.steps}
            assert all(step.idle and not step.renew and not step.warmup_s for step in block.steps)
    assert len(orders) == 3
    assert len(pauses) == 30 * 12
    assert all(0 <= pause < 1 for pause in pauses)


def test_make_solo_blocks__every_cell_is_first_about_equally_often() -> None:
    first = Counter(block.steps[0].cells[0] for block in make_plan(CELLS, blocks=600, seed=1))
    assert all(60 <= first[cell] <= 145 for cell in CELLS), first


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_make_solo_blocks__do_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    program = (
        "from bench_action.plan.blocks import Cell, make_solo_blocks\n"
        "cells = [Cell(v, 'head', p) for v in ('django', 'aiohttp', 'flask') for p in ('small', 'large')]\n"
        "plan = make_solo_blocks(cells, blocks=5, warmup_s=2, seed=3)\n"
        "print('\\n'.join(str(step.cells[0]) for block in plan for step in block.steps))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [str(step.cells[0]) for block in make_plan(CELLS, seed=3) for step in block.steps]
    assert done.stdout.splitlines() == here


def test_make_solo_blocks__warm_a_cell_up_before_its_count_and_restart_each_subject_once() -> None:
    count, *others = make_plan(CELLS, blocks=2)
    assert [step.warmup_s for step in count.steps] == [2] * len(CELLS)
    renewed = [step.cells[0].variant for step in count.steps if step.renew]
    assert sorted(renewed) == ["aiohttp", "django", "flask"]
    firsts = dict.fromkeys(step.cells[0].variant for step in count.steps)
    assert renewed == list(firsts)
    assert {(step.warmup_s, step.renew) for block in others for step in block.steps} == {(0, False)}


def test_make_solo_blocks__what_is_renewed_is_warmed_up_again() -> None:
    plan = [block for block in make_plan(CELLS, blocks=2, renew=True) if (block.phase, block.number) != ("count", 1)]
    plan = [block for block in plan if block.phase == "capacity" or block.number < 2]
    assert {(step.warmup_s, step.renew) for block in plan for step in block.steps} == {(2, True)}


PAIRS = [Pair("revision", Cell(name, "base", "small"), Cell(name, "head", "small")) for name in ("django", "aiohttp")]
PACE = Pace(warmup_s=1, slice_s=4, turns=2)


def test_make_duet_blocks__deal_round_robin_and_load_both_at_the_same_time() -> None:
    plan = list(make_duet_blocks(PAIRS, blocks=6, pace=PACE, seed=2))
    assert [block.number for block in plan] == [n for n in range(1, 7) for _ in PAIRS]
    for number in range(1, 7):
        assert {block.pair for block in plan if block.number == number} == set(PAIRS)
    for block in plan:
        assert block.pair is not None
        (step,) = block.steps
        assert set(step.cells) == {block.pair.base, block.pair.head}
        assert (step.slice_s, block.warmup_s, block.side) == (4, 1, block.number % 2)


def test_make_duet_blocks__slots_and_orders_are_random() -> None:
    plan = list(make_duet_blocks(PAIRS[:1], blocks=400, pace=PACE, seed=3))
    for drawn in (
        [block.swapped for block in plan],
        [block.head_first for block in plan],
        [block.steps[0].cells[0].revision == "head" for block in plan],
    ):
        assert 150 < sum(drawn) < 250
    combinations = Counter((block.swapped, block.head_first, block.side) for block in plan)
    assert len(combinations) == 8
    assert len({block.hash_seed for block in plan}) == 400
    assert 150 < sum(block.hash_seed < 2**30 for block in plan) < 250


def test_make_latency_blocks__take_both_of_a_pair_in_one_step() -> None:
    plan = list(make_latency_blocks(PAIRS, blocks=3, pace=PACE, seed=2))
    assert {block.phase for block in plan} == {"latency"}
    assert len(plan) == 6
    assert all(len(block.steps[0].cells) == 2 for block in plan)


def test_share_restarts__what_finds_no_block_of_its_number_comes_last() -> None:
    duets = list(make_duet_blocks(PAIRS[:1], blocks=2, pace=PACE, seed=2))
    latency = list(make_latency_blocks(PAIRS[:1], blocks=3, pace=PACE, seed=2))
    shared = list(share_restarts(duets, latency))
    assert [[(part.phase, part.number) for part in block.parts] for block in shared] == [
        [("duet", 1), ("latency", 1)],
        [("duet", 2), ("latency", 2)],
        [("latency", 3)],
    ]
    assert [block.steps for block in shared[:2]] == [block.steps for block in duets]


def test_make_interleaved_blocks__give_each_as_many_turns_mirrored() -> None:
    for block in make_interleaved_blocks(PAIRS, blocks=5, pace=PACE, seed=2):
        cells = [step.cells[0] for step in block.steps]
        assert len(cells) == 8
        for half in (cells[:4], cells[4:]):
            assert half == half[::-1]
            assert len(set(half)) == 2


def test_pair__is_named_by_its_variants() -> None:
    assert str(PAIRS[0]) == "django · small"
    variants = Pair("variant", Cell("django", "head", "small"), Cell("aiohttp", "head", "small"))
    assert str(variants) == "aiohttp against django · small"


def test_cell__names_base_and_not_head() -> None:
    assert str(Cell("aiohttp", "head", "quick-64")) == "aiohttp · quick-64"
    assert str(Cell("aiohttp", "base", "quick-64")) == "aiohttp@base · quick-64"


def test_make_solo_blocks__subjects_that_take_turns_are_restarted_and_warmed_up_before_every_trial() -> None:
    plan = list(make_solo_blocks(CELLS, blocks=2, warmup_s=2, seed=0, in_turns=True))
    assert {(step.renew, step.warmup_s) for block in plan for step in block.steps} == {(True, 2)}
