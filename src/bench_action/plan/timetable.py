"""Estimate how long blocks take, and leave some out so that pairs get the time they need. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from bench_action.config.schema import PairPhase
from bench_action.plan.blocks import PAIRED_PHASES, Block, ElapsedTime
from bench_action.stats.interval import LEAST_BLOCKS as LEAST_SAMPLE
from bench_action.stats.steady import LONG_WARM_UP_S

LEAST_BLOCKS = 5  # of a pair's duets: the first interim analysis comes after five
_LEAST_LATENCY = LEAST_SAMPLE  # fewer latency blocks decide nothing
ENOUGH_REQUESTS = 500  # with one connection, of each subject, after which its slice ends early
ENOUGH_BLOCKS = 10  # duets that show, with the usual noise, that unchanged code is unchanged
_MARGIN = 1.1
OVERHEAD_S = 0.3  # of a trial, in addition to wrk's own duration (benchmarks/harness.py measures it)

# phase and pair → seconds that each of its blocks took
Times = Mapping[tuple[str, str], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Timetable:
    """How long the parts of a run take, in seconds.

    `limit_s`: the time limit of measuring, None without one. `pairs`: how many are compared. `revisions`: how many of
    them are base and head of a variant, which have latency blocks as well. `restart_s`: restarting both subjects of a
    pair, once per block; `renewal_s`: the part of it in which data are made new, on average. `capacity_s`: one
    `capacity` block, with all its cells. `latency`, `duet`: warm-up, slice and number of blocks of these phases.
    `rate_s`, `objective_s`: one block of phases `rate` and `slo`. `enough_s`: how long enough requests with one
    connection take, of each of the pairs whose requests have been timed.
    """

    limit_s: float | None
    pairs: int
    revisions: int
    restart_s: float
    capacity_s: float
    latency: PairPhase
    duet: PairPhase
    renewal_s: float = 0.0
    rate_s: float = 0.0
    objective_s: float = 0.0
    enough_s: tuple[float, ...] = ()

    @property
    def duet_s(self) -> float:
        """The estimated duration of a duet block."""
        return self.restart_s + self.duet.warmup + self.duet.slice

    @property
    def latency_s(self) -> float:
        """The estimated duration of a latency block, on average; it shares the restart and warm-up of another block."""
        slices_s = [min(self.latency.slice, enough_s) for enough_s in self.enough_s] or [self.latency.slice]
        return fmean(slices_s) + OVERHEAD_S

    def must_yield(self, block: Block, elapsed: ElapsedTime) -> bool:
        """Tell whether a block must be left out, because the pairs' first five duets need its time.

        A `capacity` block after the first yields to all latency blocks and to those duets; the first is always
        measured, as it holds head's own figures. A block at a fixed rate yields to those duets too. A latency block
        yields if the time left is too short for those duets and the fewest latency blocks that can be judged. Other
        blocks never yield.
        """
        if self.limit_s is None or not self.pairs:
            return False
        left_s, longer_s = self.limit_s - elapsed.total_s, self._lengthen_warm_up_s(elapsed.warmup_s)
        if block.phase == "capacity" and block.number > 1:
            capacity_s = max([self.capacity_s, *elapsed.blocks_s])
            latency_s = self.revisions * self.latency.blocks * self.latency_s
            return left_s < capacity_s + latency_s + self.pairs * LEAST_BLOCKS * (self.duet_s + longer_s)
        if block.phase in {"rate", "slo"}:
            planned_s = self.rate_s if block.phase == "rate" else self.objective_s
            block_s = fmean(elapsed.blocks_s) if elapsed.blocks_s else planned_s
            return left_s < block_s + self.pairs * LEAST_BLOCKS * (self.duet_s + longer_s)
        if block.phase == "latency":
            block_s = fmean(elapsed.blocks_s) if elapsed.blocks_s else self.latency_s
            load_s = fmean(elapsed.loads_s) if elapsed.loads_s else self.duet_s + longer_s
            loads_s = self.pairs * max(0, LEAST_BLOCKS - len(elapsed.loads_s)) * load_s
            needed = min(_LEAST_LATENCY, self.latency.blocks) - len(elapsed.blocks_s)
            if needed > self.latency.blocks - block.number + 1:
                return True  # earlier ones have yielded, and the rest would not be enough
            return left_s < self.revisions * max(1, needed) * block_s + loads_s
        return False

    def reserve_s(self, block: Block, elapsed: ElapsedTime) -> float:
        """Estimate what the blocks still take that share restarts with a pair's blocks from this one on."""
        if block.then is None or self.must_yield(block.then, elapsed):
            return 0.0
        return self.revisions * max(0, self.latency.blocks - block.number + 1) * self.latency_s

    def _lengthen_warm_up_s(self, alone_s: float) -> float:
        """Estimate by how much a pair's warm-up is longer than the shortest: the two share the CPU that one had."""
        return 2 * max(0.0, alone_s - self.duet.warmup)

    def explain_shortage(self, times: Times, warmup_s: float = 0.0) -> str:
        """Say what took the time, and which limit should be long enough; empty without a limit or a pair.

        `warmup_s`: how long subjects were warmed up, on average; 0 if none was.
        """
        if self.limit_s is None or not self.pairs:
            return ""
        duets = [seconds for (phase, _), blocks in times.items() if phase in PAIRED_PHASES for seconds in blocks]
        latencies = [seconds for (phase, _), blocks in times.items() if phase == "latency" for seconds in blocks]
        latency_s = fmean(latencies) if latencies else self.latency_s
        warmup_s = max(warmup_s, self.duet.warmup)
        duet_s = fmean(duets) if duets else self.duet_s + warmup_s - self.duet.warmup
        restart_s = max(0.0, duet_s - warmup_s - self.duet.slice)
        alone_s = sum(sum(blocks) for (phase, _), blocks in times.items() if phase in {"count", "capacity"})
        pairs_s = self.pairs * ENOUGH_BLOCKS * duet_s + self.revisions * self.latency.blocks * latency_s
        minutes = ceil(_MARGIN * (max(alone_s, self.capacity_s) + pairs_s) / 60)
        copies = 2 * self.renewal_s > self.restart_s
        what = "copying the data again and restarting" if copies else "restarting"
        warming = f" and warming up {warmup_s:.0f} s" if warmup_s > LONG_WARM_UP_S else ""
        limit = f"--max-minutes {max(minutes, int(self.limit_s // 60) + 1)}"
        return (
            f"{what} took {restart_s:.0f} s{warming} of each block of {duet_s:.0f} s; "
            f"{limit}{' or a smaller seed' if copies else ''} should do"
        )
