"""How long the blocks of a run took: what more of them would cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median

from bench_action.config.gates import ALONE
from bench_action.model.result import Comparison, Result
from bench_action.report.change import list_comparisons


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a block of each phase and cell usually took, from one start to the next, and how many cells there are.

    `block_s`: phase, variant and profile → seconds; a cell with one block has none.
    """

    block_s: Mapping[tuple[str, str, str], float]
    cells: int

    def find_block_s(self, c: Comparison) -> float | None:
        """Find how long a block of this comparison took; None if it is unknown."""
        return self.block_s.get(("latency" if c.metric in ALONE else c.method, c.variant, c.profile))


def measure_pace(result: Result) -> Pace:
    """Measure the pace of a run. A clock that was set in the meantime affects one time of many."""
    starts: dict[tuple[str, str, str], dict[int, datetime]] = {}
    for trial in result.trials:
        place = starts.setdefault((trial.phase, trial.variant, trial.profile), {})
        place[trial.block] = datetime.fromisoformat(trial.started_at)
    block_s = {}
    for key, times in starts.items():
        gaps = [(later[1] - earlier[1]).total_seconds() for earlier, later in pairwise(sorted(times.items()))]
        if gaps and (usual := median(gaps)) > 0:
            block_s[key] = usual
    return Pace(block_s, len({comparison.whole_cell for comparison in list_comparisons(result)}))
