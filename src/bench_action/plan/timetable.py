"""How long a run's blocks take, and which of them may be left out so that pairs get the time they need. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from bench_action.config.schema import PairPhase
from bench_action.plan.blocks import Block, Spent
from bench_action.stats.interval import LEAST_BLOCKS as LEAST_SAMPLE

LEAST_BLOCKS = 5  # of a pair's duets: the first interim analysis comes after five
_LEAST_LATENCY = LEAST_SAMPLE  # fewer blocks with one connection decide nothing
_MARGIN = 1.1
_COMPARING = frozenset({"duet", "interleaved"})

# phase and pair → seconds that each of its blocks took
Times = Mapping[tuple[str, str], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Timetable:
    """Seconds. `limit_s` is the end of measuring, None without one; `pairs` are compared, `revisions` of them as base
    and head, which have a latency phase as well.

    `restart_s` is what restarting both subjects of a pair takes in each block, `capacity_s` one block of all cells.
    """

    limit_s: float | None
    pairs: int
    revisions: int
    restart_s: float
    capacity_s: float
    latency: PairPhase
    duet: PairPhase

    @property
    def duet_s(self) -> float:
        """Estimate one duet block."""
        return self.restart_s + self.duet.warmup + self.duet.slice

    @property
    def latency_s(self) -> float:
        """Estimate one block with one connection."""
        return self.restart_s + self.latency.warmup + self.latency.slice

    def must_yield(self, block: Block, spent: Spent) -> bool:
        """Tell whether a block would take time that the pairs' first five duets need.

        The first `capacity` block is always measured: it has head's own figures.
        """
        if self.limit_s is None or not self.pairs:
            return False
        left_s = self.limit_s - spent.total_s
        if block.phase == "capacity" and block.number > 1:
            latency_s = self.revisions * self.latency.blocks * self.latency_s
            return left_s < self.capacity_s + latency_s + self.pairs * LEAST_BLOCKS * self.duet_s
        if block.phase == "latency":
            block_s = fmean(spent.blocks_s) if spent.blocks_s else self.latency_s
            others_s = self.pairs * LEAST_BLOCKS * max(self.duet_s, self._as_duet(block_s))
            together = self.revisions * max(1, min(_LEAST_LATENCY, self.latency.blocks) - block.number + 1)
            return left_s < together * block_s + others_s
        return False

    def shortage(self, times: Times) -> str:
        """Say what took the time, and which limit would do."""
        if self.limit_s is None or not self.pairs:
            return ""
        latencies = [seconds for (phase, _), blocks in times.items() if phase == "latency" for seconds in blocks]
        duets = [seconds for (phase, _), blocks in times.items() if phase in _COMPARING for seconds in blocks]
        duet_s = fmean(duets) if duets else self._as_duet(fmean(latencies)) if latencies else self.duet_s
        restart_s = max(0.0, duet_s - self.duet.warmup - self.duet.slice)
        alone_s = sum(sum(blocks) for (phase, _), blocks in times.items() if phase in {"count", "capacity"})
        pairs_s = self.pairs * LEAST_BLOCKS * duet_s
        pairs_s += self.revisions * self.latency.blocks * (duet_s + self.latency.slice - self.duet.slice)
        minutes = ceil(_MARGIN * (max(alone_s, self.capacity_s) + pairs_s) / 60)
        return (
            f"restarting took {restart_s:.0f} s of each block of {duet_s:.0f} s; "
            f"--max-minutes {max(minutes, int(self.limit_s // 60) + 1)} would do"
        )

    def _as_duet(self, latency_s: float) -> float:
        """Estimate a duet block from one with one connection, which restarts the same subjects."""
        return latency_s - self.latency.warmup - self.latency.slice + self.duet.warmup + self.duet.slice
