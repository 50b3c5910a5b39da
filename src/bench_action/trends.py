"""What may be done with a history: append to it, check it, draw it, ask what a gate would have done."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bench_action.history.record import Record
from bench_action.history.recording import records_of
from bench_action.history.store import Store
from bench_action.model.errors import InputError, RegressionError
from bench_action.model.result import Result
from bench_action.model.wording import plural
from bench_action.report.table import Table
from bench_action.trend.backtest import table_of
from bench_action.trend.change_points import ChangePoint, changes_of, latest_changes_of, new_since
from bench_action.trend.check import assurance, headline, sentence
from bench_action.trend.page import Links, render
from bench_action.trend.series import Series, series_of

_DAYS = 450


@dataclass(frozen=True, slots=True)
class Trends:
    """A history and whom to tell what is found in it."""

    store: Store
    say: Callable[[str], None]

    def append(self, results: Sequence[Result]) -> int:
        """How many records were new. Raises InputError where a result has none to give."""
        records: list[Record] = []
        for result in results:
            own = records_of(result)
            if not own:
                raise InputError(
                    f"run {result.run.id} has nothing for a history",
                    cause="no cell of it was measured alone and validly",
                    advice="run without problems first; `bench-action report` shows them",
                )
            records += own
        new = self.store.append(records)
        self.say(f"{plural(new, 'new record')}, {len(records) - new} there already")
        return new

    def check(self) -> tuple[ChangePoint, ...]:
        """Tell change points that no check has told; they are marked, so that none is told twice."""
        index = self.store.index()
        series = series_of(self.store.read(_since(index.newest)))
        new = new_since(latest_changes_of(series), {told for _, told in index.marks})
        self.say(headline(new, len(series)))
        for point in new:
            self.say(f"- {sentence(point)}")
        self.say(assurance())
        if new:
            self.store.mark(mark for one in new for mark in _marks(one))
        return new

    def require_nothing_worse(self) -> None:
        """A check that raises RegressionError where something new is for the worse."""
        refuse_worse(self.check())

    def render(self, folder: Path, repository: str) -> None:
        """The static site; `repository`: the address at which commits are shown, empty for none."""
        records = list(self.store.read())
        series = series_of(records)
        if not series:
            raise InputError("the history is empty", advice="`bench-action trend append RESULT.json` first")
        judged = {_identity(one) for one in series}
        plain = [one for one in series_of(records, absolute=True) if _identity(one) not in judged]
        render([*series, *plain], changes_of(series), Links(repository), folder)
        self.say(f"the page: {folder / 'index.html'}")

    def backtest(self, gates: Sequence[float]) -> Table:
        """What each gate, between one run and the next, would have done."""
        return table_of(self._series(), gates)

    def _series(self) -> tuple[Series, ...]:
        return series_of(self.store.read())


def refuse_worse(points: Sequence[ChangePoint]) -> None:
    """Raises RegressionError where one is for the worse."""
    worse = [point for point in points if point.direction == "worse"]
    if worse:
        raise RegressionError(
            f"the trend has {plural(len(worse), 'new change point')} for the worse",
            where=_cell(worse[0].series),
            cause=f"commits {worse[0].last_before[:10]}..{worse[0].first_after[:10]}",
            advice="mend it; where it was meant, nothing is to be done: it is told once",
        )


def _identity(series: Series) -> tuple[str, str, str, bool, str]:
    return series.variant, series.profile, series.metric, series.relative, series.origin


def _cell(series: Series) -> str:
    return f"{series.variant} · {series.profile}"


def _marks(point: ChangePoint) -> Iterator[tuple[str, str]]:
    """That it was told, and that the first record after it is never thinned."""
    run_id = point.series.points[point.index].run_id
    return iter([(run_id, point.key), (run_id, _cell(point.series))])


def _since(newest: str) -> str:
    """A check looks back so far from the newest record: more than its test does, of a run a day."""
    if not newest:
        return ""
    return (datetime.fromisoformat(newest) - timedelta(days=_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
