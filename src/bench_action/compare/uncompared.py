"""Explain why a metric of a pair was not compared. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.compare.evidence import SHARE_FAULTS, DuetCheck, check_duets, pair_blocks
from bench_action.compare.steps import is_usable
from bench_action.config.gates import ALONE, AT_RATE, EXACT, OBJECTIVE
from bench_action.model.result import Trial
from bench_action.model.wording import plural
from bench_action.plan.blocks import PAIRED_PHASES, Pair
from bench_action.stats.interval import LEAST_BLOCKS

_PHASES = {ALONE: ("latency",), AT_RATE: ("rate",), OBJECTIVE: ("slo",)}
_NAMES = {ALONE: "with one connection", AT_RATE: "at a fixed rate", OBJECTIVE: "with steps of the rate"}


@dataclass(frozen=True, slots=True)
class PairAttempt:
    """Everything that was measured of a pair.

    `shortage` says what took the time; empty without a time limit. `decided`: whether a look decided its duets. If they
    cannot compare rates, only a broken gate does that, and nothing is measured in turn then.
    """

    pair: Pair
    trials: Sequence[Trial]
    shortage: str = ""
    decided: bool = False

    @property
    def duets(self) -> DuetCheck:
        """Whether the pair's duets can compare rates."""
        return check_duets(pair_blocks(self.trials, str(self.pair), "duet"))

    @property
    def only_shares(self) -> bool:
        """Whether unequal shares of the CPU are all that is wrong with the duets, so that costs can be compared."""
        faults = self.duets.faults
        return bool(faults) and set(faults) <= SHARE_FAULTS

    @property
    def faults(self) -> str:
        """Why the duets cannot compare rates, as a clause; empty if they can."""
        return "; ".join(self.duets.faults.values())

    def count_blocks(self, metric: str) -> int:
        """Count the blocks of the phases that compare this metric."""
        phases = next((phases for metrics, phases in _PHASES.items() if metric in metrics), PAIRED_PHASES)
        return len({(t.phase, t.block) for t in self.trials if t.pair == str(self.pair) and t.phase in phases})


def explain_uncompared(metric: str, attempt: PairAttempt) -> str:
    """Say why no block compares a metric, as a clause."""
    if metric in EXACT:
        cells = {str(attempt.pair.base), str(attempt.pair.head)}
        lost = any(t.phase == "count" and t.cell in cells and not t.work_known for t in attempt.trials)
        return "counters were reset while its requests were being counted" if lost else "its requests were not counted"
    if metric == "requests_per_second" and attempt.faults:
        broken = "the two were not measured in turn, as another gate is broken"
        return f"{attempt.faults}, and {broken if attempt.decided else 'no time was left to measure the two in turn'}"
    if attempt.count_blocks(metric):
        if metric in OBJECTIVE:
            own = [t for t in attempt.trials if t.phase == "slo" and t.pair == str(attempt.pair)]
            if not all(map(is_usable, own)):
                return "k6 was the bottleneck before the objective was missed"
            return "in no block was it known of both sides which rate holds the objective"
        return "no block has a value for both sides"
    blocks = next((name for metrics, name in _NAMES.items() if metric in metrics), "of the pair")
    return "; ".join(filter(None, (f"no block {blocks} was measured", attempt.shortage)))


def explain_few_blocks(metric: str, blocks: int, attempt: PairAttempt) -> str:
    """Say why too few blocks compare a metric for a verdict, as a clause."""
    if metric == "requests_per_second" and attempt.faults:
        few = f"only {plural(blocks, 'block')} in turn could be measured, but a verdict needs {LEAST_BLOCKS}"
        return f"{attempt.faults}, and {few}"
    few = f"only {plural(blocks, 'block')} could be measured, but a verdict needs {LEAST_BLOCKS}"
    return "; ".join(filter(None, (few, attempt.shortage)))
