"""Which servers lack connections at first, and how much longer their slices are for this reason."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench_action.config.schema import Profile
from bench_action.load.wrk import Report
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural
from bench_action.plan.blocks import Cell
from bench_action.stack.subject import Subject

_SPARE_S = 2


@dataclass(slots=True)
class Openings:
    """Knows whose connections were not all open half a second after the first of them.

    wrk opens all of them in the same moment. A server whose backlog is shorter (50 in Java) loses some of them, and the
    kernel tries these again after a second: a slice of one second would never have all of them.

    `taken`, `missing`: cell → runs of wrk, and those in which connections were missing at first. `wanted`: cell → how
    many connections its profile has.
    """

    taken: Counter[Cell] = field(default_factory=Counter)
    missing: Counter[Cell] = field(default_factory=Counter)
    wanted: dict[Cell, int] = field(default_factory=dict)

    def note(self, cell: Cell, subject: Subject, profile: Profile, report: Report) -> None:
        """Note a run of wrk, unless its server closes connections or answered with errors."""
        if not subject.keeps_open(cell.profile) or report.errors.total:
            return
        self.taken[cell] += 1
        self.wanted[cell] = profile.connections
        self.missing[cell] += report.connections_early < profile.connections

    def find_spare_s(self, cells: Iterable[Cell]) -> int:
        """Find by how many seconds slices of these cells, of both sides of a pair, are longer than planned."""
        return _SPARE_S if any(self.missing[cell] for cell in cells) else 0

    def list_warnings(self) -> Sequence[RunWarning]:
        """Warn about each cell whose connections were not all open at first."""
        return [
            Code.CONNECTIONS_LATE.warn(
                f"fewer than {self.wanted[cell]} connections were open at first, in {missing} of "
                f"{plural(self.taken[cell], 'trial')}",
                str(cell),
            )
            for cell, missing in sorted(self.missing.items(), key=lambda each: str(each[0]))
            if missing
        ]
