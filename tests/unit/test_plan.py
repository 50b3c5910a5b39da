"""The order of trials."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.plan import Cell, make_plan

pytestmark = pytest.mark.unit

CELLS = [Cell(variant, "head", profile) for variant in ("django", "aiohttp", "flask") for profile in ("small", "large")]
numbers = st.integers(min_value=0, max_value=2**32)


@given(st.lists(st.sampled_from(CELLS), unique=True), st.integers(0, 12), numbers, st.booleans())
def test_make_plan__counts_each_cell_then_loads_each_once_a_block(
    cells: list[Cell], blocks: int, seed: int, renew: bool
) -> None:
    plan = make_plan(cells, blocks=blocks, warmup_s=2, seed=seed, renew=renew)
    assert Counter((step.phase, step.block, step.cell) for step in plan) == Counter(
        [("count", 0, cell) for cell in cells]
        + [("capacity", block, cell) for block in range(1, blocks + 1) for cell in cells]
    )
    assert [step.block for step in plan] == sorted(step.block for step in plan)
    assert [step.position for step in plan] == list(range(len(cells))) * (blocks + 1)


@given(numbers)
def test_make_plan__same_seed_is_the_same_order(seed: int) -> None:
    assert make_plan(CELLS, blocks=5, warmup_s=2, seed=seed) == make_plan(CELLS, blocks=5, warmup_s=2, seed=seed)


def test_make_plan__other_seeds_and_blocks_are_other_orders() -> None:
    plans = [make_plan(CELLS, blocks=5, warmup_s=2, seed=seed) for seed in range(50)]
    assert len({tuple(str(step.cell) for step in plan) for plan in plans}) == 50
    orders = {tuple(str(step.cell) for step in plans[0] if step.block == block) for block in range(6)}
    assert len(orders) == 6


def test_make_plan__every_cell_is_first_about_equally_often() -> None:
    first = Counter(step.cell for step in make_plan(CELLS, blocks=600, warmup_s=2, seed=1) if step.position == 0)
    assert all(60 <= first[cell] <= 145 for cell in CELLS), first


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_make_plan__does_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    program = (
        "from bench_action.plan import Cell, make_plan\n"
        "cells = [Cell(v, 'head', p) for v in ('django', 'aiohttp', 'flask') for p in ('small', 'large')]\n"
        "print('\\n'.join(str(step.cell) for step in make_plan(cells, blocks=5, warmup_s=2, seed=3)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(step.cell) for step in make_plan(CELLS, blocks=5, warmup_s=2, seed=3)]


def test_make_plan__warms_a_cell_up_before_its_count_only() -> None:
    plan = make_plan(CELLS, blocks=2, warmup_s=3, seed=0)
    assert {(step.phase, step.warmup_s, step.renew) for step in plan} == {("count", 3, False), ("capacity", 0, False)}


def test_make_plan__what_is_renewed_is_warmed_up_again() -> None:
    plan = make_plan(CELLS, blocks=2, warmup_s=3, seed=0, renew=True)
    assert {(step.warmup_s, step.renew) for step in plan} == {(3, True)}


def test_cell__names_base_and_not_head() -> None:
    assert str(Cell("aiohttp", "head", "quick-64")) == "aiohttp · quick-64"
    assert str(Cell("aiohttp", "base", "quick-64")) == "aiohttp@base · quick-64"
