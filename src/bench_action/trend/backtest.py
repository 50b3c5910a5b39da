"""Replay a gate over the stored history: how many alarms it would have raised, and how many were false. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bench_action.model.benchmark import name_each
from bench_action.model.metric import METRICS
from bench_action.model.wording import percent
from bench_action.report import numbers
from bench_action.report.table import Table
from bench_action.trend.series import Point, Series

WITHIN = 10  # records in which the level must return for an alarm to count as undone
_BASE = 1  # a gate compares with the record before


@dataclass(frozen=True, slots=True)
class Replay:
    """A gate's alarms over one series: `undone` ones were followed by the old level; `pending` ones are too new."""

    series: Series
    gate: float
    records: int
    alarms: int
    undone: int
    pending: int

    @property
    def confirmed(self) -> int:
        """Alarms after which the new level lasted."""
        return self.alarms - self.undone - self.pending


def replay(series: Series, gate: float, within: int = WITHIN) -> Replay:
    """Compare each record with the one before it: a loss of `gate` (a fraction) or more is an alarm.

    An alarm is undone if the median of the next `within` records has lost less than half of the gate against the level
    before the alarm (the median of as many records). If fewer than half of these were measured yet, it is pending.
    """
    points = series.judged
    losses = [_compute_loss(series.metric, a.value, b.value) for a, b in pairwise(points)]
    alarms = [place + _BASE for place, loss in enumerate(losses) if loss >= gate]
    outcomes = [_is_undone(series.metric, points, place, within, gate) for place in alarms]
    return Replay(series, gate, len(points), len(alarms), outcomes.count(True), outcomes.count(None))


def make_backtest_table(all_series: Sequence[Series], gates: Sequence[float], within: int = WITHIN) -> Table:
    """Make a table with one row for each series and gate."""
    names = name_each(series.benchmark for series in all_series)
    rows = []
    for series in all_series:
        benchmark = names[series.benchmark]
        cell = f"{benchmark}, {series.cell}" if benchmark else series.cell
        title = METRICS[series.metric].title + (" ÷ control" if series.relative else "")
        for gate in gates:
            outcome = replay(series, gate, within)
            counts = (outcome.records, outcome.alarms, outcome.undone, outcome.confirmed, outcome.pending)
            rows.append((cell, title, percent(gate, exact=True), *(numbers.count(count) for count in counts)))
    return Table(
        ("Cell", "Metric", "Gate", "Records", "Alarms", "Undone", "Confirmed", "Pending"),
        (False, False, True, True, True, True, True, True),
        tuple(rows),
    )


def _is_undone(metric: str, points: Sequence[Point], place: int, within: int, gate: float) -> bool | None:
    """Return whether the level returned after the alarm at `place`; None if it is too early to know."""
    before = [point.value for point in points[max(0, place - within) : place]]
    after = [point.value for point in points[place + 1 : place + 1 + within]]
    if 2 * len(after) < within:
        return None
    return _compute_loss(metric, median(before), median(after)) < gate / 2


def _compute_loss(metric: str, before: float, after: float) -> float:
    """Compute how much worse a value is, as a fraction of the one before.

    Infinite for a rise from 0 of a metric that should be low.
    """
    if METRICS[metric].better == "higher":
        return 1 - after / before if before > 0 else 0.0
    if before > 0:
        return after / before - 1
    return math.inf if after > 0 else 0.0
