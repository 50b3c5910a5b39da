"""Say why a pair's metric was not compared. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.compare.evidence import FAULTS_OF_SHARES, Soundness, pair_blocks, soundness_of
from bench_action.config.gates import ALONE, EXACT
from bench_action.model.result import Trial
from bench_action.model.wording import plural
from bench_action.plan.blocks import PAIRED_PHASES, Pair
from bench_action.stats.interval import LEAST_BLOCKS


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was measured of a pair. `shortage`: where the run's time went; empty without a time limit."""

    pair: Pair
    trials: Sequence[Trial]
    shortage: str = ""

    @property
    def sound(self) -> Soundness:
        """What its duets are worth."""
        return soundness_of(pair_blocks(self.trials, str(self.pair), "duet"))

    @property
    def only_shares(self) -> bool:
        """Whether nothing but the CPU's shares keeps its duets from comparing rates, so that costs still compare."""
        return bool(self.sound.faults) and set(self.sound.faults) <= FAULTS_OF_SHARES

    @property
    def faults(self) -> str:
        """Why its duets cannot compare rates, in words; empty where they can."""
        return "; ".join(self.sound.faults.values())

    def blocks(self, metric: str) -> int:
        """Count the blocks of the phases that compare this metric."""
        phases = ("latency",) if metric in ALONE else PAIRED_PHASES
        return len({(t.phase, t.block) for t in self.trials if t.pair == str(self.pair) and t.phase in phases})


def why_uncompared(metric: str, attempt: Attempt) -> str:
    """Give the reason why no block compares a metric, as a clause."""
    if metric in EXACT:
        cells = {str(attempt.pair.base), str(attempt.pair.head)}
        lost = any(t.phase == "count" and t.cell in cells and not t.work_known for t in attempt.trials)
        return "counters were reset while its requests were counted" if lost else "its requests were not counted"
    if metric == "requests_per_second" and attempt.faults:
        return f"{attempt.faults}, and no time was left to measure the two in turns"
    if attempt.blocks(metric):
        return "no block has a value of it for both sides"
    what = "with one connection" if metric in ALONE else "of the pair"
    return "; ".join(filter(None, (f"no block {what} was measured", attempt.shortage)))


def why_few(metric: str, blocks: int, attempt: Attempt) -> str:
    """Give the reason why too few blocks compare a metric for a verdict, as a clause."""
    if metric == "requests_per_second" and attempt.faults:
        return f"{attempt.faults}, and only {plural(blocks, 'block')} in turns could be measured of {LEAST_BLOCKS}"
    few = f"only {plural(blocks, 'block')} could be measured, and a verdict needs {LEAST_BLOCKS}"
    return "; ".join(filter(None, (few, attempt.shortage)))
