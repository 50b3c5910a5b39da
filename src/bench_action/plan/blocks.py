"""Lay out the phases of a run as blocks of trials, in an order drawn from a seed.

| phase | its question | how it is measured |
|---|---|---|
| `count` | how much work does one request cause, exactly? | a fixed number of requests, one after the other |
| `capacity` | how much does each subject serve alone? | the profile as written, one subject at a time |
| `latency` | how long does one request take? | one connection each, the two subjects of a pair in turn |
| `duet` | by how much do two subjects differ? | both under load at the same time, on the same CPU |
| `interleaved` | the same, if a duet is impossible | both under load, in short slices in turn |
| `rate` | how long do users wait at a usual load? | requests at a fixed rate (k6), one subject after the other |
| `slo` | which rate holds the objective? | steps of different rates (k6), the subjects in turn |

Pure: the same seed gives the same order on every machine.
"""

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from bench_action.model.result import PhaseName, Revision, Trial, cell_name, find_routes, name_route, split_route

COUNTS = 6  # the most counts of a cell: two, and four more if those two disagree
LOADED_PHASES: tuple[PhaseName, ...] = ("capacity", "duet", "interleaved")  # with the load of the warm-up
PAIRED_PHASES: tuple[PhaseName, ...] = ("duet", "interleaved")  # the phases that compare two subjects under load
_PAUSE_S = 1.0
_HASH_SEEDS = 2**31  # fits every runtime, also after adding the number of a track
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Cell:
    """A subject under one profile: what a trial measures."""

    variant: str
    revision: Revision
    profile: str

    def __str__(self) -> str:
        return cell_name(self.variant, self.revision, self.profile)

    @property
    def route(self) -> str:
        """The request of a mix that it is about; empty if it is about a whole profile."""
        return split_route(self.profile)[1]

    def take_route(self, title: str) -> "Cell":
        """Return the cell of one request of its mix; itself without a title."""
        return replace(self, profile=name_route(self.profile, title)) if title else self


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells with the same profile that are compared: base and head of a variant, or two variants."""

    kind: Literal["revision", "variant"]
    base: Cell
    head: Cell

    def __str__(self) -> str:
        if self.kind == "variant":
            return f"{self.head.variant} against {self.base.variant} · {self.head.profile}"
        return f"{self.head.variant} · {self.head.profile}"

    def split(self, trials: Sequence[Trial]) -> "list[Pair]":
        """Return the pairs of each request of its mix, by what was measured; itself if its profile is no mix."""
        return [self.take_route(title) for title in find_routes(trials, self.head.profile) or [""]]

    def take_route(self, title: str) -> "Pair":
        """Return the pair of one request of its mix; itself without a title."""
        return replace(self, base=self.base.take_route(title), head=self.head.take_route(title))


@dataclass(frozen=True, slots=True)
class Step:
    """One trial of one cell, or the two trials of two cells that are measured together.

    Before it, in this order: restart the subject with fresh data (`renew`); warm it up for at least `warmup_s`; wait
    `pause_s`. After it, if `idle`: measure the work done without requests, for as long as the trial took. `position`:
    how many steps come before it in its block. `slice_s`: seconds under load, 0 for the profile's `duration`.
    """

    position: int
    cells: tuple[Cell, ...]
    warmup_s: int = 0
    renew: bool = False
    slice_s: int = 0
    pause_s: float = 0.0
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Steps that follow each other closely; the unit of statistics.

    With a `pair`, its two subjects are restarted at the start of the block and warmed up together, for at least
    `warmup_s`. `then`: a block of another phase that is measured after it, before the next restart. `swapped`: base is
    in the second slot. `head_first`: head is started first. `side`: which of the placements is used. `hash_seed`: for
    both subjects, if they use one.
    """

    phase: PhaseName
    number: int
    steps: tuple[Step, ...]
    pair: Pair | None = None
    warmup_s: int = 0
    swapped: bool = False
    head_first: bool = False
    side: int = 0
    hash_seed: int = 0
    then: "Block | None" = None

    @property
    def parts(self) -> "tuple[Block, ...]":
        """What is measured after its restart, in this order unless the load adds data."""
        return (self,) if self.then is None else (self, self.then)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the shortest warm-up and a slice take in the phases of pairs, in whole seconds.

    `turns`: in phase `interleaved`, how many times the order of the two is drawn in a block; each draw is four slices.
    """

    warmup_s: int
    slice_s: int
    turns: int = 1


@dataclass(frozen=True, slots=True)
class ElapsedTime:
    """Seconds spent on measuring: in total, and on each block so far of one pair in one phase.

    `loads_s`: the same of its blocks under load, which also bear the time of a restart that two phases share.
    `warmup_s`: the longest that a subject took to warm up alone; 0 if none has been.
    """

    total_s: float
    blocks_s: Sequence[float]
    warmup_s: float = 0.0
    loads_s: Sequence[float] = ()


def make_solo_blocks(
    cells: Sequence[Cell],
    *,
    blocks: int,
    warmup_s: int,
    seed: int,
    renew: bool = False,
    in_turns: bool = False,
    without: Collection[Cell] = (),
) -> Iterator[Block]:
    """Yield the blocks of `count`, then `blocks` blocks of `capacity`.

    The first two blocks of `count` and every block of `capacity` hold each cell once, each block in its own random
    order. The other blocks of `count` hold one variant and profile each, for those whose first two counts disagree; the
    measurer skips those that are not needed.

    Each cell is warmed up under load, for at least `warmup_s`, before its first count, so that connections are set up,
    statements prepared and caches filled: what is counted is the steady state. Each subject is restarted with fresh
    data before its first count, because verification has used it.

    With `renew`, for profiles that write, the restart and the warm-up come before the first count of every cell and
    before every `capacity` trial, which would otherwise find more data than the one before it. `in_turns`, as subjects
    share slots: they come before every trial, since another subject may have been in the slot before it. `without`:
    cells that are only counted, as wrk cannot load them.
    """
    renew, again_s = renew or in_turns, warmup_s if in_turns else 0
    order = _shuffled(cells, f"{seed}/count")
    first = {(cell.variant, cell.revision): cell for cell in reversed(order)}
    steps = (
        Step(i, (cell,), warmup_s, renew or first[cell.variant, cell.revision] == cell) for i, cell in enumerate(order)
    )
    yield Block("count", 0, tuple(steps))
    order = _shuffled(cells, f"{seed}/count/1")
    yield Block("count", 1, tuple(Step(i, (cell,), again_s, in_turns) for i, cell in enumerate(order)))
    yield from _make_recounts(cells, seed, again_s, renew=in_turns)
    loaded = [cell for cell in cells if cell not in without]
    for number in range(1, blocks + 1 if loaded else 1):
        order = _shuffled(loaded, f"{seed}/capacity/{number}")
        yield Block(
            "capacity",
            number,
            tuple(Step(i, (cell,), warmup_s if renew else 0, renew) for i, cell in enumerate(order)),
        )


def _make_recounts(cells: Sequence[Cell], seed: int, warmup_s: int, *, renew: bool) -> Iterator[Block]:
    """Yield blocks that count base and head of one variant close together, each after a random pause, in random order.

    Work that recurs at intervals, such as a timer's, then falls into the counts of both equally often: nothing that
    recurs stays in step with the counts.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.variant, cell.profile), []).append(cell)
    for number in range(2, COUNTS):
        for name, group in groups.items():
            dice = random.Random(f"{seed}/count/{number}/{name}")
            dice.shuffle(group)
            steps = (
                Step(i, (cell,), warmup_s, renew, pause_s=dice.random() * _PAUSE_S, idle=True)
                for i, cell in enumerate(group)
            )
            yield Block("count", number, tuple(steps))


def make_latency_blocks(pairs: Sequence[Pair], *, blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """Yield blocks in which a pair's two subjects take turns of a few requests, over one connection to each."""
    return _make_joint_blocks("latency", pairs, blocks, pace, seed)


def make_duet_blocks(pairs: Sequence[Pair], *, blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """Yield blocks in which a pair's two subjects are loaded at the same time.

    Block 1 of every pair comes first, then block 2 of every pair and so on: wherever measuring stops, all pairs have
    the same number of blocks, give or take one.
    """
    return _make_joint_blocks("duet", pairs, blocks, pace, seed)


def _make_joint_blocks(phase: PhaseName, pairs: Sequence[Pair], blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """Yield blocks of one step with both subjects; which of the two is loaded first is random."""
    for number, pair, dice in _deal(phase, pairs, blocks, seed):
        cells = (pair.base, pair.head)
        step = Step(0, cells[::-1] if dice.random() < 0.5 else cells, slice_s=pace.slice_s)
        yield _balance(Block(phase, number, (step,), pair, pace.warmup_s), dice)


def share_restarts(blocks: Iterable[Block], others: Iterable[Block]) -> Iterator[Block]:
    """Let each of `others` follow its pair's block with the same number, in one restart; those without one come last.

    Load comes first: what a compiler has made for it does not fit a server that is nearly idle, and is made again.
    """
    waiting = {(other.pair, other.number): other for other in others}
    for block in blocks:
        then = waiting.pop((block.pair, block.number), None)
        yield replace(block, then=then) if then is not None else block
    yield from waiting.values()


def fit_slices(block: Block, slice_s: int) -> Block:
    """Give the slices of a block another length; nothing else of it changes."""
    return replace(block, steps=tuple(replace(step, slice_s=slice_s) for step in block.steps))


def make_interleaved_blocks(pairs: Sequence[Pair], *, blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """Yield blocks of slices in turn under the profile's load, for machines on which a duet is impossible.

    The order is base, head, head, base or the reverse, at random, so that drift affects both equally.
    """
    for number, pair, dice in _deal("interleaved", pairs, blocks, seed):
        order: list[Cell] = []
        for _ in range(pace.turns):
            turn = [pair.base, pair.head]
            dice.shuffle(turn)
            order += [*turn, *turn[::-1]]
        steps = tuple(Step(i, (cell,), slice_s=pace.slice_s) for i, cell in enumerate(order))
        yield _balance(Block("interleaved", number, steps, pair, pace.warmup_s), dice)


def make_rate_blocks(pairs: Sequence[Pair], *, blocks: int, pace: Pace, seed: int) -> Iterator[Block]:
    """Yield blocks in which a pair's two subjects are loaded at a fixed rate, one after the other.

    Which of the two comes first is random: at the usual share of a subject's capacity, two would not fit on its CPUs.
    """
    for number, pair, dice in _deal("rate", pairs, blocks, seed):
        order = [pair.base, pair.head]
        dice.shuffle(order)
        steps = tuple(Step(i, (cell,), slice_s=pace.slice_s) for i, cell in enumerate(order))
        yield _balance(Block("rate", number, steps, pair, pace.warmup_s), dice)


def make_objective_blocks(pairs: Sequence[Pair], *, blocks: int, warmup_s: int, seed: int) -> Iterator[Block]:
    """Yield blocks in which the highest rates of a pair's two subjects are found that hold an objective."""
    return _make_joint_blocks("slo", pairs, blocks, Pace(warmup_s, 0), seed)


def make_solo_rate_blocks(
    phase: Literal["rate", "slo"], cells: Sequence[Cell], *, blocks: int, pace: Pace, seed: int
) -> Iterator[Block]:
    """Yield blocks in which each cell is loaded at fixed rates, with nothing to compare it with."""
    for number in range(1, blocks + 1 if cells else 1):
        order = _shuffled(cells, f"{seed}/{phase}/{number}")
        steps = tuple(Step(i, (cell,), pace.warmup_s, renew=True, slice_s=pace.slice_s) for i, cell in enumerate(order))
        yield Block(phase, number, steps)


def _deal(phase: PhaseName, pairs: Sequence[Pair], blocks: int, seed: int) -> Iterator[tuple[int, Pair, random.Random]]:
    """Yield every pair once per round, each round in its own random order: its block's number, the pair, its dice."""
    for number in range(1, blocks + 1):
        for pair in _shuffled(pairs, f"{seed}/{phase}/{number}"):
            yield number, pair, random.Random(f"{seed}/{phase}/{number}/{pair}")


def _balance(block: Block, dice: random.Random) -> Block:
    """Set what must favour neither subject: slot, start order and hash seed at random, the placement in turn."""
    swapped, head_first = dice.random() < 0.5, dice.random() < 0.5
    seed = dice.randrange(_HASH_SEEDS)
    return replace(block, swapped=swapped, head_first=head_first, side=block.number % 2, hash_seed=seed)


def _shuffled(items: Sequence[_Item], key: str) -> list[_Item]:
    # a text seed goes through SHA-512 (random.seed, version 2), so the order is the same on every platform
    order = list(items)
    random.Random(key).shuffle(order)
    return order
