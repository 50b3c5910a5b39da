"""What may be done with a history: append to it, check it, draw it, ask what a gate would have done."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench_action.history.changes import is_from_the_future
from bench_action.history.record import Record
from bench_action.history.recording import make_records
from bench_action.history.store import Store
from bench_action.model.benchmark import Benchmark, name_each
from bench_action.model.errors import InputError, RegressionError
from bench_action.model.result import Result
from bench_action.model.wording import plural
from bench_action.report.table import Table
from bench_action.trend.backtest import table_of
from bench_action.trend.change_points import ChangePoint, changes_of, latest_changes_of, new_since
from bench_action.trend.check import assurance, headline, sentence
from bench_action.trend.page import CommitLinks, render
from bench_action.trend.series import Series, series_of

_DAYS = 450


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Trends:
    """A history and where to report what is found in it; `now` is this machine's clock."""

    store: Store
    say: Callable[[str], None]
    now: Callable[[], datetime] = _utc_now

    def append(self, results: Sequence[Result]) -> int:
        """Append runs, and return how many records were new; a run that has none to give is reported, not refused."""
        records: list[Record] = []
        for result in results:
            own = make_records(result)
            if not own:
                self.say(explain_nothing_to_append(result))
            records += own
        new, now = self.store.append(records), self.now()
        known = sum(not is_from_the_future(record.at, now) for record in records) - new
        self.say(f"{plural(new, 'new record')}, {known} there already")
        return new

    def check(self, benchmark: Benchmark | None = None) -> tuple[ChangePoint, ...]:
        """Report the change points that no check has reported, and mark them, so that none is reported twice.

        `benchmark`: look at this one's series only; at all where it is None.
        """
        index = self.store.index()
        series = [
            one
            for one in series_of(self._records(_since(index.newest, self.now())))
            if benchmark in {None, one.benchmark}
        ]
        names = name_each(one.benchmark for one in series)
        new = new_since(latest_changes_of(series), {known for _, known in index.marks})
        self.say(headline(new, len(series)))
        for point in new:
            self.say(f"- {sentence(point, names[point.series.benchmark])}")
        self.say(assurance())
        if new:
            self.store.mark(mark for one in new for mark in _marks(one))
        return new

    def require_nothing_worse(self) -> None:
        """A check that raises RegressionError where something new is for the worse."""
        refuse_worse(self.check())

    def render(self, folder: Path, repository: str) -> bool:
        """Write the static site, and return whether there was anything to show: nothing is written of an empty history.

        `repository`: the address at which commits are shown, empty for none. Raises InputError where `folder` cannot be
        written to.
        """
        records = self._records()
        series = series_of(records)
        if not series:
            self.say("no page: the history is empty")
            return False
        judged = {_identity(one) for one in series}
        plain = [one for one in series_of(records, absolute=True) if _identity(one) not in judged]
        try:
            render([*series, *plain], changes_of(series), CommitLinks(repository), folder)
        except OSError as error:
            raise InputError(f"could not write the trend's page to {folder}: {error}") from error
        self.say(f"the page: {folder / 'index.html'}")
        return True

    def backtest(self, gates: Sequence[float]) -> Table:
        """What each gate, between one run and the next, would have done."""
        return table_of(series_of(self._records()), gates)

    def _records(self, since: str = "") -> list[Record]:
        """All that began at `since` or later, except those from the future, which are reported."""
        found, limit = list(self.store.read(since)), self.now()
        kept = [record for record in found if not is_from_the_future(record.at, limit)]
        if ignored := len(found) - len(kept):
            newest = max(record.at for record in found)
            self.say(
                f"ignored {plural(ignored, 'record')} from the future, up to {newest}: by this machine's clock it is "
                f"{limit:%Y-%m-%d}. The clock of the runner that measured them was wrong, or this machine's is"
            )
        return kept


def explain_nothing_to_append(result: Result) -> str:
    """One sentence: why a run is not in the history."""
    return (
        f"run {result.run.id} has nothing for the history: no cell was measured alone and validly "
        f"(verdict: {result.verdict})"
    )


def refuse_worse(points: Sequence[ChangePoint]) -> None:
    """Raises RegressionError where one is for the worse."""
    worse = [point for point in points if point.direction == "worse"]
    if worse:
        raise RegressionError(
            f"the trend has {plural(len(worse), 'new change point')} for the worse",
            where=_cell(worse[0].series),
            cause=f"commits {worse[0].last_before[:10]}..{worse[0].first_after[:10]}",
            advice="fix it; nothing to do if it was intended: each change point is reported once",
        )


def _identity(series: Series) -> tuple[Benchmark, str, str, str, bool, str]:
    return series.benchmark, series.variant, series.profile, series.metric, series.relative, series.origin


def _cell(series: Series) -> str:
    return f"{series.variant} · {series.profile}"


def _marks(point: ChangePoint) -> Iterator[tuple[str, str]]:
    """That it was reported, and that the first record after it is never thinned."""
    return iter([(point.first_run, point.key), (point.first_run, _cell(point.series))])


def _since(newest: str, now: datetime) -> str:
    """A check looks back so far from the newest record that is not from the future: more than its test does, of a run a
    day.
    """
    if not newest:
        return ""
    return (min(datetime.fromisoformat(newest), now) - timedelta(days=_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
