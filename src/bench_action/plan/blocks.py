"""The phases of a run as blocks of trials in a seeded order. Pure: the same seed gives the same order everywhere.

| phase | its question |
|---|---|
| `count` | how much work is one request, exactly? A fixed number of requests, one after the other |
| `capacity` | how much does each subject serve alone, with the profile as written? |
| `latency` | how long does one request wait? One connection, the two subjects of a pair in turn |
| `duet` | by how much do two subjects differ? Both at once on the same CPU |
| `interleaved` | the same where a duet is impossible: short slices in turn |
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from bench_action.model.result import PhaseName, Revision, cell_name

COUNTS = 6  # of each cell, where two do not settle its work
_PAUSE_S = 1.0
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Cell:
    """A subject with a profile."""

    variant: str
    revision: Revision
    profile: str

    def __str__(self) -> str:
        return cell_name(self.variant, self.revision, self.profile)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells of one profile that are compared: base and head of a variant, or two variants."""

    kind: Literal["revision", "variant"]
    base: Cell
    head: Cell

    def __str__(self) -> str:
        if self.kind == "variant":
            return f"{self.head.variant} against {self.base.variant} · {self.head.profile}"
        return f"{self.head.variant} · {self.head.profile}"


@dataclass(frozen=True, slots=True)
class Step:
    """Trials to come, of one cell, or of two at once. Its subjects may first be begun anew and warmed up under load.

    `pause_s`: wait so long first. `idle`: measure idle work after it, for as long as the trial took.
    """

    position: int
    cells: tuple[Cell, ...]
    warmup_s: int = 0
    renew: bool = False
    slice_s: int = 0  # 0: as the profile says
    pause_s: float = 0.0
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Steps close in time; the unit of statistics.

    A pair's subjects are restarted for it and warmed up together for `warmup_s`. `swapped`: base is in the second slot.
    `head_first`: head is started first. `side`: which placement it uses.
    """

    phase: PhaseName
    number: int
    steps: tuple[Step, ...]
    pair: Pair | None = None
    warmup_s: int = 0
    swapped: bool = False
    head_first: bool = False
    side: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take in the phases of pairs, in whole seconds, as wrk knows no others."""

    warmup_s: int
    slice_s: int
    turns: int = 1  # interleaved: how often each subject has its turn in a block


@dataclass(frozen=True, slots=True)
class Spent:
    """Time that measuring has taken: since it began, and what each block of this pair in this phase took."""

    total_s: float
    blocks_s: Sequence[float]


def solo_blocks(
    cells: Sequence[Cell], *, blocks: int, warmup_s: int, seed: int, renew: bool = False
) -> Iterator[Block]:
    """First `count` (work per request), then `capacity`: each cell once a block, each block in its own order.

    Every cell is counted twice. The blocks of `count` after that are one for each variant and profile, for those whose
    counts do not agree: the measurer leaves out what is not needed.

    A cell is warmed up under load before its first trial, which is the count: connections are then set up, statements
    prepared and caches filled, so what is counted is the steady state. A subject begins anew before its first count, as
    verification has used it; where a profile writes (`renew`), every trial does, or it would find more data than the
    one before.
    """
    order = _shuffled(cells, f"{seed}/count")
    first = {(cell.variant, cell.revision): cell for cell in reversed(order)}
    steps = (
        Step(i, (cell,), warmup_s, renew or first[cell.variant, cell.revision] == cell) for i, cell in enumerate(order)
    )
    yield Block("count", 0, tuple(steps))
    order = _shuffled(cells, f"{seed}/count/1")
    yield Block("count", 1, tuple(Step(i, (cell,)) for i, cell in enumerate(order)))
    yield from _recounts(cells, seed)
    for number in range(1, blocks + 1):
        order = _shuffled(cells, f"{seed}/capacity/{number}")
        yield Block(
            "capacity",
            number,
            tuple(Step(i, (cell,), warmup_s if renew else 0, renew) for i, cell in enumerate(order)),
        )


def _recounts(cells: Sequence[Cell], seed: int) -> Iterator[Block]:
    """Base and head close together, in an order drawn by lot, each after a pause that is drawn too.

    What runs every so often then meets each of them as often: nothing that recurs is in step with the counts.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.variant, cell.profile), []).append(cell)
    for number in range(2, COUNTS):
        for name, group in groups.items():
            dice = random.Random(f"{seed}/count/{number}/{name}")
            dice.shuffle(group)
            steps = (Step(i, (cell,), pause_s=dice.random() * _PAUSE_S, idle=True) for i, cell in enumerate(group))
            yield Block("count", number, tuple(steps))


def latency_blocks(pairs: Sequence[Pair], *, blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """One connection to each subject, which take turns of a few requests."""
    return _both("latency", pairs, blocks, pace, seed)


def duet_blocks(pairs: Sequence[Pair], *, blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """Both subjects at once, dealt round-robin over the pairs, so that whoever leaves off has seen each as often."""
    return _both("duet", pairs, blocks, pace, seed)


def _both(phase: PhaseName, pairs: Sequence[Pair], blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    for number, pair, dice in _rounds(phase, pairs, blocks, seed):
        cells = (pair.base, pair.head)
        step = Step(0, cells[::-1] if dice.random() < 0.5 else cells, slice_s=pace.slice_s)
        yield _paired(Block(phase, number, (step,), pair, pace.warmup_s), dice)


def interleaved_blocks(pairs: Sequence[Pair], *, blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """Slices in turn under the profile's load, for machines on which a duet is impossible.

    Base, head, head, base or the other way round, so that what drifts meets both alike.
    """
    for number, pair, dice in _rounds("interleaved", pairs, blocks, seed):
        order: list[Cell] = []
        for _ in range(pace.turns):
            turn = [pair.base, pair.head]
            dice.shuffle(turn)
            order += [*turn, *turn[::-1]]
        steps = tuple(Step(i, (cell,), slice_s=pace.slice_s) for i, cell in enumerate(order))
        yield _paired(Block("interleaved", number, steps, pair, pace.warmup_s), dice)


def _rounds(
    phase: PhaseName, pairs: Sequence[Pair], blocks: int, seed: int
) -> Iterator[tuple[int, Pair, random.Random]]:
    for number in range(1, blocks + 1):
        for pair in _shuffled(pairs, f"{seed}/{phase}/{number}"):
            yield number, pair, random.Random(f"{seed}/{phase}/{number}/{pair}")


def _paired(block: Block, dice: random.Random) -> Block:
    """With what must not favour either of the two: drawn by lot, or in turn."""
    swapped, head_first = dice.random() < 0.5, dice.random() < 0.5
    return replace(block, swapped=swapped, head_first=head_first, side=block.number % 2)


def _shuffled(items: Sequence[_Item], key: str) -> list[_Item]:
    # seeding with text goes through SHA-512 (random.seed, version 2): the same on every platform
    order = list(items)
    random.Random(key).shuffle(order)
    return order
