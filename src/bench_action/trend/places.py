"""Where each run belongs in the history of the commits, whenever it was measured. Pure.

A commit's place is when it was committed, and never later than when it was first measured, as a committer's clock may
run ahead. Old records do not say when; there the first measurement counts. Runs of one commit stay together, in the
order in which they were measured.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from bench_action.model.benchmark import Benchmark


class RunRecord(Protocol):
    """The part of a record that all records of a run share. Times are ISO 8601 in UTC, so that text sorts as time."""

    @property
    def run_id(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def sha(self) -> str: ...
    @property
    def committed_at(self) -> str: ...
    @property
    def benchmark(self) -> Benchmark: ...


@dataclass(frozen=True, slots=True)
class Position:
    """`order` counts the runs of a benchmark; `at` is when a chart shows the run, and never falls with the order.

    `repeated`: its commit had been measured before, and so had a later one meanwhile: an old job was run again.
    """

    order: int
    at: str
    repeated: bool


@dataclass(frozen=True, slots=True, order=True)
class _Commit:
    """In the order of the history."""

    at: str
    first_run: str
    name: str


def place_runs(records: Iterable[RunRecord]) -> dict[tuple[Benchmark, str], Position]:
    """Place every run of every benchmark; the keys are (benchmark, run id)."""
    runs: dict[Benchmark, dict[str, RunRecord]] = {}
    for record in records:
        runs.setdefault(record.benchmark, {}).setdefault(record.run_id, record)
    return {
        (benchmark, run_id): place
        for benchmark, own in runs.items()
        for run_id, place in _place(list(own.values())).items()
    }


def _place(runs: list[RunRecord]) -> dict[str, Position]:
    commits = _commits(runs)
    overtaken = _overtaken({commits[run.run_id] for run in runs if run.sha})
    ordered = sorted(runs, key=lambda run: (commits[run.run_id], run.at, run.run_id))
    places: dict[str, Position] = {}
    shown = "~"  # after every time
    for order in range(len(ordered) - 1, -1, -1):
        run = ordered[order]
        commit = commits[run.run_id]
        first = order == 0 or commits[ordered[order - 1].run_id] != commit
        if run.at <= shown:
            shown = run.at
        elif first:
            shown = commit.at
        places[run.run_id] = Position(order, shown, not first and overtaken.get(commit, "~") < run.at)
    return places


def _commits(runs: list[RunRecord]) -> dict[str, _Commit]:
    """The commit of each run; one that is not known is the run's own."""
    first: dict[str, str] = {}
    committed: dict[str, str] = {}
    names = {run.run_id: run.sha or f"run {run.run_id}" for run in runs}
    for run in runs:
        name = names[run.run_id]
        first[name] = min(first.get(name, run.at), run.at)
        if run.committed_at:
            committed[name] = min(committed.get(name, run.committed_at), run.committed_at)
    made = {name: _Commit(min(committed.get(name, at), at), at, name) for name, at in first.items()}
    return {run.run_id: made[names[run.run_id]] for run in runs}


def _overtaken(commits: Iterable[_Commit]) -> dict[_Commit, str]:
    """When a later commit was first measured after each one's own first measurement; none where that never was."""
    found: dict[_Commit, str] = {}
    later: list[str] = []
    for commit in sorted(commits, reverse=True):
        place = bisect_right(later, commit.first_run)
        if place < len(later):
            found[commit] = later[place]
        insort(later, commit.first_run)
    return found
