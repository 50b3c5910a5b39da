"""Which servers lack connections at first, and how much longer their short trials are for this reason."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench_action.config.schema import Profile
from bench_action.load.wrk import Report
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Cell
from bench_action.stack.subject import Subject

_SPARE_S = 3  # after one second and after three, the kernel tries again
_MOST_S = 3  # longer trials have all connections for most of their time
_LEAST_SEEN = 2


@dataclass(slots=True)
class Openings:
    """Knows whose connections were not all open half a second after the first of them.

    wrk opens all of them in the same moment. A server whose backlog is shorter (50 in Java) loses some of them, and the
    kernel tries these again after a second: a slice of one second would never have all of them.

    `taken`, `missing`: cell → trials, and those in which connections were missing at first. `short`: cells that a
    trial has ended without all connections of. `wanted`: cell → how many connections its profile has.
    """

    taken: Counter[Cell] = field(default_factory=Counter)
    missing: Counter[Cell] = field(default_factory=Counter)
    short: set[Cell] = field(default_factory=set)
    wanted: dict[Cell, int] = field(default_factory=dict)

    def note(self, cell: Cell, subject: Subject, profile: Profile, report: Report) -> None:
        """Note a trial, unless its server closes connections or breaks them off."""
        errors = report.errors
        if not subject.keeps_open(cell.profile) or errors.connect or errors.read or errors.write:
            return
        self.taken[cell] += 1
        self.wanted[cell] = profile.connections
        self.missing[cell] += report.connections_early < profile.connections
        if report.connections_live < profile.connections:
            self.short.add(cell)

    def find_spare_s(self, cells: Iterable[Cell], duration_s: int, *, once: bool = False) -> int:
        """Find by how many seconds a trial of one of these cells is longer than planned.

        `once`: it cannot be taken again, so connections that were late in a longer one are reason enough.
        """
        known = {*self.short, *(+self.missing if once else ())}
        return _SPARE_S if duration_s < _MOST_S and not known.isdisjoint(cells) else 0

    def list_warnings(self) -> Sequence[RunWarning]:
        """Warn about each cell whose connections were not all open at first, in more than one trial."""
        return [
            Code.CONNECTIONS_LATE.warn(
                f"fewer than {self.wanted[cell]} connections were open at first (trials: {missing} of "
                f"{self.taken[cell]})",
                str(cell),
            )
            for cell, missing in sorted(self.missing.items(), key=lambda each: str(each[0]))
            if missing >= _LEAST_SEEN
        ]
