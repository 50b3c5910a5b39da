"""Cells × blocks in a seeded order. Pure: the same seed gives the same order, on every machine and Python."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.model.result import PhaseName, Revision, cell_name


@dataclass(frozen=True, slots=True)
class Cell:
    """A subject with a profile."""

    variant: str
    revision: Revision
    profile: str

    def __str__(self) -> str:
        return cell_name(self.variant, self.revision, self.profile)


@dataclass(frozen=True, slots=True)
class Step:
    """One trial to come. Before it the subject may be renewed (fresh data, restarted) and warmed up under load."""

    phase: PhaseName
    block: int
    position: int
    cell: Cell
    warmup_s: int
    renew: bool


def make_plan(cells: Sequence[Cell], *, blocks: int, warmup_s: int, seed: int, renew: bool = False) -> tuple[Step, ...]:
    """First `count` (work per request, exact), then `capacity`: each cell once a block, each block in its own order.

    A cell is warmed up under load before its first trial, which is the count: connections are then set up, statements
    prepared and caches filled, so what is counted is the steady state. Where a profile writes (`renew`), every trial
    begins anew: else it would find more data than the one before.
    """

    def step(phase: PhaseName, block: int, position: int, cell: Cell) -> Step:
        return Step(phase, block, position, cell, warmup_s if renew or phase == "count" else 0, renew)

    steps = [step("count", 0, i, cell) for i, cell in enumerate(_shuffled(cells, f"{seed}/count"))]
    for block in range(1, blocks + 1):
        order = _shuffled(cells, f"{seed}/capacity/{block}")
        steps += [step("capacity", block, i, cell) for i, cell in enumerate(order)]
    return tuple(steps)


def _shuffled(cells: Sequence[Cell], key: str) -> list[Cell]:
    # seeding with text goes through SHA-512 (random.seed, version 2): the same on every platform
    order = list(cells)
    random.Random(key).shuffle(order)
    return order
