"""Change points: from which commit on a metric is at another level, by how much, and whether the work changed. Pure.

Where they are comes from `stats/shift.py`: false alarms are one in 10,000 records of a series (27 years of daily runs)
where noise is independent. A PELT of a library (`ruptures`) was considered: its penalty promises no false-alarm rate,
it finds anew all change points with each record, so that one told yesterday may be gone today, and it does not run on
Python 3.14 (1.1.10).
"""

import math
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench_action.model.metric import METRICS
from bench_action.stats.interval import Interval
from bench_action.stats.shift import SHORTEST, WINDOW, find_shifts, locate_shift
from bench_action.trend.series import Point, Series

FALSE_ALARMS_ONCE_IN = 10_000  # records of one series
SMALLEST = 0.01  # as a gate's margin: less than 1 % is not worth anybody's day
CONFIDENCE_Z = 2.576  # 99 %, two-sided
_NEAR = 3  # records by which later data may move a change point without its being another one
_AROUND = 5  # records on each side in which the work is looked up
Direction = Literal["better", "worse"]


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The level of `series` changed before the record `index`, whose run is `first_run`.

    `size` is level after ÷ level before − 1, with its 99 % interval; None where a level is 0. `raised` is the record
    after which it was sure; it and `index` count the judged points only. `last_before` and `first_after` are the
    commits between which the cause is. `work_changed` is None where counts are missing. `new_machine`: no runner of the
    records before it is among those after it. `key` names the change point for good; `near` are the names that later
    data may have given it.
    """

    series: Series
    index: int
    at: str
    last_before: str
    first_after: str
    before: float
    after: float
    size: float | None
    interval: Interval | None
    direction: Direction
    work_changed: bool | None
    new_machine: bool
    raised: int
    key: str
    near: tuple[str, ...]
    first_run: str


def change_points(
    series: Series, once_in: int = FALSE_ALARMS_ONCE_IN, smallest: float = SMALLEST
) -> tuple[ChangePoint, ...]:
    """Those of a series that are at least as large as `smallest` (a fraction), oldest first.

    One whose interval, from all records since, has come to include no change is left out.
    Errors: KeyError where `once_in` is not among `stats.shift.RATES`.
    """
    points = series.judged
    ranks = _ranks(points)
    if len(ranks) < 2 * SHORTEST or min(p.value for p in points) == max(p.value for p in points):
        return ()
    shifts = find_shifts(ranks, once_in)
    places = _placed(ranks, [shift.index for shift in shifts])
    edges = [0, *places, len(ranks)]
    found = []
    for number, shift in enumerate(shifts):
        start, place, end = edges[number : number + 3]
        point = _change_point(series, points, (start, place, end), shift.raised)
        if point is not None and _counts(point, smallest):
            found.append(point)
    return tuple(found)


def changes_of(
    all_series: Iterable[Series], once_in: int = FALSE_ALARMS_ONCE_IN, smallest: float = SMALLEST
) -> tuple[ChangePoint, ...]:
    """Those of many series, in the order of the series."""
    return tuple(point for series in all_series for point in change_points(series, once_in, smallest))


def latest_changes_of(
    all_series: Iterable[Series], once_in: int = FALSE_ALARMS_ONCE_IN, smallest: float = SMALLEST
) -> tuple[ChangePoint, ...]:
    """Those that were raised by the newest `WINDOW` records of each series: what a check needs, however long they are.

    Only as many records again are looked at, before which no look goes back. `index` and `raised` count within these.
    """
    recent = (replace(series, points=series.judged[-2 * WINDOW :]) for series in all_series)
    return tuple(
        point for point in changes_of(recent, once_in, smallest) if point.raised >= len(point.series.points) - WINDOW
    )


def new_since(points: Iterable[ChangePoint], known: Collection[str]) -> tuple[ChangePoint, ...]:
    """Those that are not known by their key, nor by one that they had before later data moved them a little."""
    names = frozenset(known)
    return tuple(point for point in points if names.isdisjoint(point.near))


def _ranks(points: Sequence[Point]) -> list[int]:
    """Distinct ranks of the values; equal values by lot, which is drawn from the run's id and so stays the same."""
    order = sorted(range(len(points)), key=lambda i: (points[i].value, zlib.crc32(points[i].run_id.encode()), i))
    ranks = [0] * len(points)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def _placed(ranks: Sequence[int], shifts: Sequence[int]) -> list[int]:
    """The shifts, each moved by a few records at most to where all records between its neighbours put it."""
    placed: list[int] = []
    for number, shift in enumerate(shifts):
        start = max(placed[-1] if placed else 0, shift - WINDOW)
        end = min(shifts[number + 1] if number + 1 < len(shifts) else len(ranks), shift + WINDOW)
        better = start + locate_shift(ranks[start:end]) if end - start >= 2 * SHORTEST else shift
        placed.append(better if abs(better - shift) <= _NEAR else shift)
    return placed


def _change_point(
    series: Series, points: Sequence[Point], edges: tuple[int, int, int], raised: int
) -> ChangePoint | None:
    """None where both levels are the same after all, which only equal values can bring about.

    `edges`: where the level before begins, where it changes, where the one after ends.
    """
    start, place, end = edges
    before, after = points[max(start, place - WINDOW) : place], points[place : min(end, place + WINDOW)]
    old, new = _median(before), _median(after)
    if old == new:
        return None
    size, interval = _size(before, after)
    rises = new > old if size is None or size == 0 else size > 0
    keys = [_key(series, point) for point in points[max(0, place - _NEAR) : place + _NEAR + 1]]
    return ChangePoint(
        series=series,
        index=place,
        at=after[0].at,
        last_before=before[-1].sha,
        first_after=after[0].sha,
        before=old,
        after=new,
        size=size,
        interval=interval,
        direction="better" if rises == (METRICS[series.metric].better == "higher") else "worse",
        work_changed=_work_changed(before, after),
        new_machine={p.fingerprint for p in before}.isdisjoint(p.fingerprint for p in after),
        raised=raised,
        key=_key(series, after[0]),
        near=tuple(keys),
        first_run=after[0].run_id,
    )


def _counts(point: ChangePoint, smallest: float) -> bool:
    if point.interval is not None and point.interval.low <= 0 <= point.interval.high:
        return False
    return point.size is None or abs(point.size) >= smallest


def _key(series: Series, point: Point) -> str:
    kind = "ratio" if series.relative else "plain"
    return f"{series.cell}/{series.metric}/{kind}/{point.run_id}"


def _median(points: Sequence[Point]) -> float:
    return float(np.median([point.value for point in points]))


def _size(before: Sequence[Point], after: Sequence[Point]) -> tuple[float | None, Interval | None]:
    """Hodges and Lehmann's shift (1963, Ann. Math. Statist. 34) of logarithms with Moses' interval, as ratio − 1."""
    if min(point.value for point in (*before, *after)) <= 0:
        old, new = _median(before), _median(after)
        return (new / old - 1, None) if old > 0 and new > 0 else (None, None)
    shifts = np.sort((_logs(after)[:, None] - _logs(before)[None, :]).ravel())
    many, few = len(before), len(after)
    reach = CONFIDENCE_Z * math.sqrt(many * few * (many + few + 1) / 12)
    lowest = max(0, math.floor(many * few / 2 - reach))
    low, high = shifts[lowest], shifts[len(shifts) - 1 - lowest]
    return math.expm1(float(np.median(shifts))), Interval(math.expm1(float(low)), math.expm1(float(high)))


def _logs(points: Sequence[Point]) -> NDArray[np.float64]:
    return np.log([point.value for point in points])


def _work_changed(before: Sequence[Point], after: Sequence[Point]) -> bool | None:
    """Whether what most of the nearest records counted is another thing; None where one side has no counts."""
    old = Counter(point.work for point in before[-_AROUND:] if point.work is not None)
    new = Counter(point.work for point in after[:_AROUND] if point.work is not None)
    if not old or not new:
        return None
    return old.most_common(1)[0][0] != new.most_common(1)[0][0]
