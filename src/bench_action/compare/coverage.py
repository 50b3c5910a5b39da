"""Which cells of head were compared with base, and why the others were not. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench_action.compare.evidence import pair_blocks
from bench_action.config.baseline import Lack
from bench_action.model.errors import StackError
from bench_action.model.result import NotCompared, Trial
from bench_action.plan.blocks import PAIRED_PHASES, Cell, Pair

_NEW = "new in this pull request: "


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is known of each cell of head when measuring has ended.

    `lacks`: cells that base has no counterpart of. `failed`: name of a subject that broke a rule → which. `lost`:
    variants whose base ended while it was measured. `shortage`: where the time went. `stopped`: why a run ended early.
    """

    cells: Sequence[Cell]
    pairs: Sequence[Pair]
    lacks: Mapping[Cell, Lack]
    failed: Mapping[str, str]
    lost: Mapping[str, StackError]
    shortage: str = ""
    stopped: str = ""

    def split(self, trials: Sequence[Trial]) -> tuple[tuple[str, ...], tuple[NotCompared, ...]]:
        """The names of the cells that were compared, and the others with their reasons; in the order of `cells`."""
        missing = {cell: found for cell in self.cells if (found := self._missing(cell, trials)) is not None}
        return tuple(str(cell) for cell in self.cells if cell not in missing), tuple(missing.values())

    def _missing(self, cell: Cell, trials: Sequence[Trial]) -> NotCompared | None:
        if cell.variant in self.failed:
            return NotCompared(cell=str(cell), status="head-failed", reason=f"head broke {self.failed[cell.variant]}")
        if lack := self.lacks.get(cell):
            reason = f"{_NEW}{lack.reason}" if lack.status == "new" else lack.reason
            return NotCompared(cell=str(cell), status=lack.status, reason=reason, log=lack.log)
        if error := self.lost.get(cell.variant):
            reason = f"base ended while it was measured: {error.what}"
            return NotCompared(cell=str(cell), status="base-failed", reason=reason, log=error.log)
        pair = next((str(one) for one in self.pairs if one.kind == "revision" and one.head == cell), "")
        if any(pair_blocks(trials, pair, phase) for phase in PAIRED_PHASES):
            return None
        return NotCompared(cell=str(cell), status="not-measured", reason=next(self._unmeasured(pair, trials)))

    def _unmeasured(self, pair: str, trials: Sequence[Trial]) -> Iterator[str]:
        """Yield reasons why no block of a pair counts, the most telling first."""
        if self.stopped:
            yield f"no pair was measured: the run ended early: {self.stopped}"
        own = [warned for trial in trials for warned in trial.warnings if trial.pair in {"", pair}]
        for warned in own:
            if warned.code.invalidates:
                yield f"no pair counts, as a trial was invalid: {warned.message}"
        if self.shortage:
            yield f"no pair was measured in time: {self.shortage}"
        yield "no pair was measured"


def describe(compared: Sequence[str], others: Sequence[NotCompared], base: str) -> str:
    """Say in one line how many cells were compared with base and why the others were not."""
    total = len(compared) + len(others)
    head = f"compared {len(compared)} of {total} {'cell' if total == 1 else 'cells'} with {base}"
    cells: dict[str, list[str]] = {}
    for one in others:
        cells.setdefault(one.reason, []).append(one.cell)
    reasons = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in cells.items())
    return f"{head}; not compared: {reasons}" if reasons else head
