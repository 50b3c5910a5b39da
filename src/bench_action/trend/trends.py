"""Work with a history: append to it, check it, draw it, replay a gate over it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

from bench_action.history.changes import is_from_the_future
from bench_action.history.record import Record
from bench_action.history.recording import find_missing_cells, make_records
from bench_action.history.store import Store
from bench_action.model.benchmark import Benchmark, name_each
from bench_action.model.errors import InputError, PublishError, RegressionError
from bench_action.model.result import Result
from bench_action.model.wording import plural
from bench_action.report.table import Table
from bench_action.trend.backtest import make_backtest_table
from bench_action.trend.change_points import (
    ChangePoint,
    find_all_change_points,
    find_latest_change_points,
    select_new,
)
from bench_action.trend.check import describe_change, describe_false_alarms, describe_start, summarize_check
from bench_action.trend.ledger import make_ledger, make_ledger_table, summarize_ledger
from bench_action.trend.ledger_page import render_ledger
from bench_action.trend.page import CommitLinks, render_site, write_files
from bench_action.trend.series import Series, make_series

_DAYS = 450


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Trends:
    """A history, and `say` for reporting what is found in it; `now` is this machine's clock."""

    store: Store
    say: Callable[[str], None]
    now: Callable[[], datetime] = _utc_now

    def append(self, results: Sequence[Result]) -> int:
        """Append runs, and return how many records were new; a run without records is reported, not refused."""
        records: list[Record] = []
        for result in results:
            own = make_records(result)
            if not own:
                self.say(explain_nothing_to_append(result))
            records += own
        new, now = self.store.append(records), self.now()
        known = sum(not is_from_the_future(record.at, now) for record in records) - new
        self.say(f"{plural(new, 'new record')}, {known} already there")
        return new

    def check(self, benchmark: Benchmark | None = None) -> tuple[ChangePoint, ...]:
        """Report the change points that no check has reported before; `mark` keeps that they were.

        `benchmark`: check only the series of this one; None checks all.
        """
        index = self.store.index()
        records = self._read_records(self._choose_start(index.newest))
        all_series = [series for series in _make_judged(records) if benchmark in {None, series.benchmark}]
        names = name_each(series.benchmark for series in all_series)
        new = select_new(find_latest_change_points(all_series), {key for _, key in index.marks})
        self.say(summarize_check(new, len(all_series)))
        for point in new:
            self.say(f"- {describe_change(point, names[point.series.benchmark])}")
        self.say(describe_false_alarms())
        return new

    def mark(self, new: Sequence[ChangePoint]) -> None:
        """Keep that change points were reported, and their first records unthinned. Raises PublishError."""
        if new:
            reported = [(point.first_run, point.key) for point in new]
            self.store.mark([*reported, *((point.first_run, point.series.cell) for point in new)])

    def require_nothing_worse(self) -> None:
        """Check, and raise RegressionError if a new change point is for the worse.

        Raises InputError if there is no history, which may be because its name is wrong.
        """
        if not self.store.index().newest:
            raise InputError("there is no history", advice="check `--store` and `--branch`; `trend append` begins one")
        new = self.check()
        try:
            self.mark(new)
        except PublishError as error:
            if any(point.direction == "worse" for point in new):
                self.say(f"could not keep that this was reported: {error.what}")
            else:
                raise
        require_nothing_worse(new)

    def render(self, folder: Path, repository: str) -> bool:
        """Write the static site, and return whether there was anything to show; an empty history has no site.

        If the history has runs of unchanged code, the site has their ledger, too.

        `repository`: the address that shows commits, empty for no links. Raises InputError if `folder` cannot be
        written to.
        """
        records, links = self._read_records(), CommitLinks(repository)
        judged, ledger = make_series(records), make_ledger(records)
        if not judged and not ledger.tallies:
            self.say("no page: the history is empty")
            return False
        identities = {_identify(series) for series in judged}
        plain = [series for series in make_series(records, absolute=True) if _identify(series) not in identities]
        summary = summarize_ledger(ledger) if ledger.tallies else ""
        site = render_site([*judged, *plain], find_all_change_points(judged), links, summary)
        own = render_ledger(ledger, links) if ledger.tallies else ()
        self._write(chain(site, ((f"ledger/{name}", text) for name, text in own)), folder)
        return True

    def render_ledger(self, folder: Path, repository: str) -> Table | None:
        """Write the page of the runs of unchanged code, and return its table; None without such runs.

        `repository`: the address that shows commits, empty for no links. Raises InputError if `folder` cannot be
        written to.
        """
        ledger = make_ledger(self._read_records())
        if not ledger.tallies:
            return None
        self._write(render_ledger(ledger, CommitLinks(repository)), folder)
        return make_ledger_table(ledger)

    def _write(self, files: Iterable[tuple[str, str]], folder: Path) -> None:
        """Write the files of a page. Raises InputError."""
        try:
            write_files(files, folder)
        except OSError as error:
            raise InputError(f"could not write the page to {folder}: {error}") from error
        self.say(f"wrote the page {folder / 'index.html'}")

    def backtest(self, gates: Sequence[float]) -> Table:
        """Replay each gate, between one run and the next, over the history."""
        return make_backtest_table(_make_judged(self._read_records()), gates)

    def _choose_start(self, newest: str) -> str:
        """Choose how far a check reads back from the newest record: more than its test needs with one run per day."""
        if not newest:
            return ""
        start = min(datetime.fromisoformat(newest), self.now()) - timedelta(days=_DAYS)
        return start.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _read_records(self, since: str = "") -> list[Record]:
        """Read all records that began at `since` or later, except those from the future, which are reported."""
        records, now = list(self.store.read(since)), self.now()
        kept = [record for record in records if not is_from_the_future(record.at, now)]
        if ignored := len(records) - len(kept):
            newest = max(record.at for record in records)
            self.say(
                f"ignored {plural(ignored, 'record')} from the future, up to {newest}: this machine's clock says "
                f"{now:%Y-%m-%d}. Either that clock is wrong, or the clock of the runner that measured them was"
            )
        return kept


def explain_nothing_to_append(result: Result) -> str:
    """Explain in one sentence why a run is not in the history."""
    if missing := find_missing_cells(result):
        more = f" and {plural(len(missing) - 1, 'more cell')}" if len(missing) > 1 else ""
        shards = f"{len(result.shards)} of {plural(result.shards[0].count, 'shard')}"
        return (
            f"run {result.run.id} was not appended to the history: only {shards} have a result, so "
            f"{missing[0]}{more} would be missing for good. Run the failed jobs again, and append the result of "
            "all shards"
        )
    return (
        f"run {result.run.id} has nothing for the history: no cell of head has a valid measurement "
        f"(verdict: {result.verdict})"
    )


def require_nothing_worse(points: Sequence[ChangePoint]) -> None:
    """Raise RegressionError if a change point is for the worse."""
    worse = [point for point in points if point.direction == "worse"]
    if worse:
        raise RegressionError(
            f"the trend has {plural(len(worse), 'new change point')} for the worse",
            where=worse[0].series.cell,
            cause=describe_start(worse[0]),
            advice="fix the regression; if it is intended, do nothing: each change point is reported once",
        )


def _make_judged(records: Iterable[Record]) -> list[Series]:
    """Make the series from which changes are concluded: those of the control are only shown."""
    return [series for series in make_series(records) if series.judged]


def _identify(series: Series) -> tuple[Benchmark, str, str, str, bool, str]:
    return series.benchmark, series.variant, series.profile, series.metric, series.relative, series.origin
