"""How often would this gate have raised an alarm over the stored history, and how often for nothing? Pure."""

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

WITHIN = 10  # records in which the level must come back for an alarm to count as undone
_BASE = 1  # a gate compares with the record before


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a gate did over one series: `undone` alarms were followed by the old level; `pending` ones are too new."""

    series: Series
    gate: float
    records: int
    alarms: int
    undone: int
    pending: int

    @property
    def stood(self) -> int:
        """Alarms after which the level stayed."""
        return self.alarms - self.undone - self.pending


def replay(series: Series, gate: float, within: int = WITHIN) -> Replayed:
    """Each record against the one before it: a loss of `gate` (a fraction) or more is an alarm.

    It was undone if the median of the next `within` records has lost less than half of the gate against the level
    before the alarm (the median of as many records). Where fewer than half of these have been measured, it is pending.
    """
    points = series.judged
    losses = [_loss(series.metric, a.value, b.value) for a, b in pairwise(points)]
    alarms = [at + _BASE for at, loss in enumerate(losses) if loss >= gate]
    fates = [_undone(series.metric, points, (at, within), gate) for at in alarms]
    return Replayed(series, gate, len(points), len(alarms), fates.count(True), fates.count(None))


def table_of(all_series: Sequence[Series], gates: Sequence[float], within: int = WITHIN) -> Table:
    """A row for each series and gate."""
    names = name_each(series.benchmark for series in all_series)
    rows = [_row(replay(series, gate, within), names[series.benchmark]) for series in all_series for gate in gates]
    return Table(
        ("Cell", "Metric", "Gate", "Records", "Alarms", "Undone", "Stood", "Pending"),
        (False, False, True, True, True, True, True, True),
        tuple(rows),
    )


def _row(one: Replayed, benchmark: str) -> tuple[str, ...]:
    title = METRICS[one.series.metric].title + (" ÷ control" if one.series.relative else "")
    counts = (one.records, one.alarms, one.undone, one.stood, one.pending)
    cell = f"{benchmark}, {one.series.cell}" if benchmark else one.series.cell
    return (cell, title, percent(one.gate), *(numbers.count(count) for count in counts))


def _undone(metric: str, points: Sequence[Point], place: tuple[int, int], gate: float) -> bool | None:
    """`place`: the alarm's index, and how many points on each side count."""
    at, within = place
    before = [point.value for point in points[max(0, at - within) : at]]
    after = [point.value for point in points[at + 1 : at + 1 + within]]
    if 2 * len(after) < within:
        return None
    return _loss(metric, median(before), median(after)) < gate / 2


def _loss(metric: str, before: float, after: float) -> float:
    """How much worse, as a fraction, whichever way is better; a rise from 0 of what should be low is without bounds."""
    if METRICS[metric].better == "higher":
        return 1 - after / before if before > 0 else 0.0
    if before > 0:
        return after / before - 1
    return math.inf if after > 0 else 0.0
