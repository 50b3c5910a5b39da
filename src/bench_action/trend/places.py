"""Place each run in the history of the commits, no matter when it was measured. Pure.

A commit's place is the time when it was committed, but never later than its first measurement, as a committer's clock
may be ahead. Old records do not have that time; there the first measurement counts. Runs of one commit stay together,
in the order in which they were measured.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from bench_action.model.benchmark import Benchmark


class RunRecord(Protocol):
    """The part that all records of a run share. Times are ISO 8601 in UTC, so that text sorts as time."""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        ...

    @property
    def at(self) -> str:
        """Start of the run."""
        ...

    @property
    def sha(self) -> str:
        """Measured commit; empty if unknown."""
        ...

    @property
    def committed_at(self) -> str:
        """Time of the commit; empty if unknown."""
        ...

    @property
    def benchmark(self) -> Benchmark:
        """Benchmark that the run belongs to."""
        ...


@dataclass(frozen=True, slots=True)
class Position:
    """A run's place: `order` counts the runs of a benchmark; `at`, the time in a chart, never falls with the order.

    `repeated`: an old job ran again, as its commit had been measured before, and since then a later commit too.
    """

    order: int
    at: str
    repeated: bool


@dataclass(frozen=True, slots=True, order=True)
class _Commit:
    """A commit; they sort in the order of the history."""

    at: str
    first_run: str
    name: str


def place_runs(records: Iterable[RunRecord]) -> dict[tuple[Benchmark, str], Position]:
    """Place every run of every benchmark; the keys are (benchmark, run id)."""
    runs: dict[Benchmark, dict[str, RunRecord]] = {}
    for record in records:
        runs.setdefault(record.benchmark, {}).setdefault(record.run_id, record)
    return {
        (benchmark, run_id): position
        for benchmark, own in runs.items()
        for run_id, position in _place_own(list(own.values())).items()
    }


def _place_own(runs: list[RunRecord]) -> dict[str, Position]:
    """Place the runs of one benchmark."""
    commits = _identify_commits(runs)
    overtaken = _find_overtaken({commits[run.run_id] for run in runs if run.sha})
    ordered = sorted(runs, key=lambda run: (commits[run.run_id], run.at, run.run_id))
    positions: dict[str, Position] = {}
    shown = "~"  # after every time
    for order in range(len(ordered) - 1, -1, -1):
        run = ordered[order]
        commit = commits[run.run_id]
        first = order == 0 or commits[ordered[order - 1].run_id] != commit
        if run.at <= shown:
            shown = run.at
        elif first:
            shown = commit.at
        positions[run.run_id] = Position(order, shown, not first and overtaken.get(commit, "~") < run.at)
    return positions


def _identify_commits(runs: list[RunRecord]) -> dict[str, _Commit]:
    """Identify the commit of each run; a run without one counts as its own commit."""
    first: dict[str, str] = {}
    committed: dict[str, str] = {}
    names = {run.run_id: run.sha or f"run {run.run_id}" for run in runs}
    for run in runs:
        name = names[run.run_id]
        first[name] = min(first.get(name, run.at), run.at)
        if run.committed_at:
            committed[name] = min(committed.get(name, run.committed_at), run.committed_at)
    commits = {name: _Commit(min(committed.get(name, at), at), at, name) for name, at in first.items()}
    return {run.run_id: commits[names[run.run_id]] for run in runs}


def _find_overtaken(commits: Iterable[_Commit]) -> dict[_Commit, str]:
    """Find when a later commit was first measured after each commit; commits without such a time are left out."""
    overtaken: dict[_Commit, str] = {}
    later: list[str] = []
    for commit in sorted(commits, reverse=True):
        place = bisect_right(later, commit.first_run)
        if place < len(later):
            overtaken[commit] = later[place]
        insort(later, commit.first_run)
    return overtaken
