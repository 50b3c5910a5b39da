"""Find which cells of head were compared with base, and why the others were not. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench_action.compare.evidence import pair_blocks
from bench_action.config.baseline import Lack
from bench_action.model.errors import StackError
from bench_action.model.result import NotCompared, Trial
from bench_action.plan.blocks import PAIRED_PHASES, Cell, Pair

_NEW = "new in this pull request: "


@dataclass(frozen=True, slots=True)
class Coverage:
    """The cells of head at the end of a run, and everything that may have kept them from being compared.

    `lacks`: cells without a counterpart in base. `failed`: name of a subject that failed a check → which. `lost`:
    variants whose base exited while it was measured. `shortage`: what took the time. `stopped`: why the run ended
    early. `gone`: variants whose head exited or reached a limit.
    """

    cells: Sequence[Cell]
    pairs: Sequence[Pair]
    lacks: Mapping[Cell, Lack]
    failed: Mapping[str, str]
    lost: Mapping[str, StackError]
    shortage: str = ""
    stopped: str = ""
    gone: Mapping[str, StackError] = field(default_factory=dict)

    def split(self, trials: Sequence[Trial]) -> tuple[tuple[str, ...], tuple[NotCompared, ...]]:
        """Split into names of cells that were compared and the others, with their reasons; in the order of `cells`."""
        reports = {cell: self._report_missing(cell, trials) for cell in self.cells}
        missing = {cell: report for cell, report in reports.items() if report is not None}
        return tuple(str(cell) for cell in self.cells if cell not in missing), tuple(missing.values())

    def _report_missing(self, cell: Cell, trials: Sequence[Trial]) -> NotCompared | None:
        if cell.variant in self.failed:
            return NotCompared(cell=str(cell), status="head-failed", reason=f"head failed {self.failed[cell.variant]}")
        if error := self.gone.get(cell.variant):
            reason = f"head could not be measured to the end: {error.what}"
            return NotCompared(cell=str(cell), status="head-failed", reason=reason, log=error.log)
        if lack := self.lacks.get(cell):
            reason = f"{_NEW}{lack.reason}" if lack.status == "new" else lack.reason
            return NotCompared(cell=str(cell), status=lack.status, reason=reason, log=lack.log)
        if error := self.lost.get(cell.variant):
            reason = f"base exited while it was being measured: {error.what}"
            return NotCompared(cell=str(cell), status="base-failed", reason=reason, log=error.log)
        pair = next((str(pair) for pair in self.pairs if pair.kind == "revision" and pair.head == cell), "")
        if any(pair_blocks(trials, pair, phase) for phase in (*PAIRED_PHASES, "rate")):
            return None
        return NotCompared(cell=str(cell), status="not-measured", reason=next(self._explain_unmeasured(pair, trials)))

    def _explain_unmeasured(self, pair: str, trials: Sequence[Trial]) -> Iterator[str]:
        """Yield the reasons why no block of a pair counts, the most specific first."""
        if self.stopped:
            yield f"no pair was measured because the run ended early: {self.stopped}"
        for warning in (warning for trial in trials if trial.pair in {"", pair} for warning in trial.warnings):
            if warning.code.invalidates:
                yield f"no pair counts because a trial was invalid: {warning.message}"
        if self.shortage:
            yield f"no pair was measured in time: {self.shortage}"
        yield "no pair was measured"


def describe(compared: Sequence[str], others: Sequence[NotCompared], base: str) -> str:
    """Say in one line how many cells were compared with base and why the others were not."""
    total = len(compared) + len(others)
    head = f"compared {len(compared)} of {total} {'cell' if total == 1 else 'cells'} with {base}"
    cells: dict[str, list[str]] = {}
    for missing in others:
        cells.setdefault(missing.reason, []).append(missing.cell)
    reasons = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in cells.items())
    return f"{head}; not compared: {reasons}" if reasons else head
