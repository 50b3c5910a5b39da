"""What a run measures, and in which order: the cells and pairs of what came up, phase by phase. Pure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bench_action.config.load import Project
from bench_action.config.schema import PairPhase
from bench_action.plan.blocks import (
    COUNTS,
    Block,
    Cell,
    Pace,
    Pair,
    duet_blocks,
    interleaved_blocks,
    latency_blocks,
    solo_blocks,
)
from bench_action.plan.timetable import Timetable

_OVERHEAD_S = 0.3  # of a trial, beyond wrk's own duration (benchmarks/harness.py measures it)
_SWITCH_S = 1.5  # of a pair's block: stopping and starting its subjects, before they begin to boot
_INTERLEAVED = Pace(warmup_s=1, slice_s=1, turns=2)


@dataclass(frozen=True, slots=True)
class Design:
    """Cells that are loaded alone, and pairs that are compared. `duets`: whether there are CPUs enough for them.

    `boot_s`: how long the slowest subject takes to start.
    """

    cells: tuple[Cell, ...]
    pairs: tuple[Pair, ...]
    duets: bool
    seed: int
    boot_s: float = 1.0

    def blocks(self, project: Project) -> Iterator[Block]:
        """Every block, those of duets without end: the measurer knows when it is enough."""
        policy, writes = project.policy, any(profile.writes for profile in project.profiles.values())
        alone = solo_blocks(
            self.cells, blocks=self._capacity_blocks(project), warmup_s=policy.warmup, seed=self.seed, renew=writes
        )
        latency = [pair for pair in self.pairs if pair.kind == "revision"]
        phases: list[Iterator[Block]] = [
            alone,
            latency_blocks(latency, blocks=policy.latency.blocks, pace=_pace(policy.latency), seed=self.seed),
        ]
        if self.duets:
            phases.append(duet_blocks(self.pairs, blocks=policy.duet.blocks, pace=_pace(policy.duet), seed=self.seed))
        # where duets turn out not to compare rates, these do; the measurer leaves out what is not needed
        turns = latency if self.duets else self.pairs
        phases.append(interleaved_blocks(turns, blocks=policy.duet.blocks, pace=_INTERLEAVED, seed=self.seed))
        return chain.from_iterable(phases)

    def expected(self, project: Project) -> tuple[int, float]:
        """How many trials, and about how many seconds, if nothing is decided early."""
        policy, times, blocks = project.policy, self.timetable(project), self._capacity_blocks(project)
        alone_s = len(self.cells) * policy.warmup + blocks * times.capacity_s
        latency_s = times.revisions * policy.latency.blocks * times.latency_s
        duet_s = len(self.pairs) * policy.duet.seconds
        duets = min(policy.duet.blocks, int(policy.duet.seconds / times.duet_s))
        paired = times.revisions * policy.latency.blocks + len(self.pairs) * duets
        trials, total_s = len(self.cells) * (COUNTS + blocks) + 2 * paired, alone_s + latency_s + duet_s
        return trials, min(total_s, times.limit_s) if times.limit_s is not None else total_s

    def timetable(self, project: Project) -> Timetable:
        """Estimate what the blocks take from the profiles and from how long the subjects took to start."""
        policy = project.policy
        return Timetable(
            limit_s=policy.minutes * 60 if policy.minutes is not None else None,
            pairs=len(self.pairs),
            revisions=sum(1 for pair in self.pairs if pair.kind == "revision"),
            restart_s=_SWITCH_S + self.boot_s,
            capacity_s=sum(project.profiles[cell.profile].duration + _OVERHEAD_S for cell in self.cells),
            latency=policy.latency,
            duet=policy.duet,
        )

    def _capacity_blocks(self, project: Project) -> int:
        return project.policy.paired_blocks if self.pairs else project.policy.blocks


def make_design(
    names: Sequence[tuple[str, str]],
    profiles: Sequence[str],
    compare: Sequence[tuple[str, str]],
    *,
    duets: bool,
    seed: int,
    without: Collection[Cell] = (),
    boot_s: float = 1.0,
) -> Design:
    """Lay out the cells and pairs of a run.

    `names`: variant and revision of every verified subject; `compare`: pairs of variants that were asked for;
    `without`: cells of head that base has no counterpart of.
    """
    every = (Cell(v, "base" if r == "base" else "head", p) for p in profiles for v, r in names)
    cells = tuple(cell for cell in every if cell.revision == "head" or replace(cell, revision="head") not in without)
    known = set(cells)
    pairs: list[Pair] = []
    for cell in cells:
        base = Cell(cell.variant, "base", cell.profile)
        if cell.revision == "head" and base in known:
            pairs.append(Pair("revision", base, cell))
    for base_name, head_name in compare:
        for profile in profiles:
            sides = Cell(base_name, "head", profile), Cell(head_name, "head", profile)
            if known.issuperset(sides):
                pairs.append(Pair("variant", *sides))
    return Design(cells, tuple(pairs), duets, seed, boot_s)


def _pace(paced: PairPhase) -> Pace:
    return Pace(paced.warmup, paced.slice)
