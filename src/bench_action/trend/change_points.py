"""Find change points: since which commit a metric is at another level, by how much, and if the work changed. Pure.

`stats/shift.py` finds the places: one false alarm in 10,000 records of a series (27 years of daily runs) if noise is
independent. The PELT algorithm of the library `ruptures` was considered and rejected: its penalty promises no rate of
false alarms, it searches for all change points again with each record, so that one reported yesterday may disappear
today, and it does not run on Python 3.14 (1.1.10).
"""

import math
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from bench_action.model.metric import METRICS
from bench_action.stats.interval import Interval
from bench_action.stats.shift import SHORTEST, WINDOW, find_shifts, locate_shift
from bench_action.trend.series import Point, Series

FALSE_ALARMS_ONCE_IN = 10_000  # records of one series
SMALLEST = 0.01  # the same as a gate's margin: less than 1 % is not worth anybody's day
CONFIDENCE_Z = 2.576  # 99 %, two-sided
_NEAR = 3  # records by which all data may move a change point from where it was found
_MOVED = 2 * _NEAR  # records between two such places, which are of the same change point
_AROUND = 5  # records on each side whose work is compared
Direction = Literal["better", "worse"]


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The level of `series` changed before the record `index`, whose run is `first_run`.

    `size` is level after ÷ level before − 1, with its 99 % interval; None if a level is 0. `raised` is the record
    after which the change was certain; it and `index` count only the judged points. The cause is between the commits
    `last_before` and `first_after`. `work_changed` is None if counts are missing. `new_machine`: no runner of the
    records before it is among those after it; `new_tool`: no version of bench-action is. `control_changed`: in the same
    runs, the control's plain values changed in the same direction. `key` is the permanent name of the change point;
    `near` has the names that it may have had before later data moved it.
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
    new_tool: bool
    control_changed: bool
    raised: int
    key: str
    first_run: str
    near: tuple[str, ...] = ()


def find_change_points(
    series: Series, once_in: int = FALSE_ALARMS_ONCE_IN, smallest: float = SMALLEST
) -> tuple[ChangePoint, ...]:
    """Find the change points of a series that are at least as large as `smallest` (a fraction), the oldest first.

    A change point whose interval, from all records since, contains zero change is left out.
    Raises KeyError if `once_in` is not among `stats.shift.RATES`.
    """
    points = series.judged
    ranks = _ranks(points)
    if len(ranks) < 2 * SHORTEST or len({point.value for point in points}) == 1:
        return ()
    shifts = find_shifts(ranks, once_in)
    places = _refine_places(ranks, [shift.index for shift in shifts])
    edges = [0, *places, len(ranks)]
    changes, level = (
        [],
        (0, edges[1]),
    )  # the level that is known: the first, and those of changes that were large enough
    for number, shift in enumerate(shifts):
        start, place, end = edges[number : number + 3]
        own = _make_change_point(series, points, (start, place), (place, end), shift.raised)
        # of several small changes one after the other, their sum counts
        whole = _make_change_point(series, points, level, (place, end), shift.raised)
        point = next((each for each in (own, whole) if each is not None and _is_large(each, smallest)), None)
        if point is not None:
            changes.append(replace(point, near=tuple(_list_keys_near(series, points, places, number))))
            level = (place, end)
    return tuple(changes)


def find_all_change_points(
    all_series: Iterable[Series], once_in: int = FALSE_ALARMS_ONCE_IN, smallest: float = SMALLEST
) -> tuple[ChangePoint, ...]:
    """Find the change points of many series, in the order of the series."""
    return tuple(point for series in all_series for point in find_change_points(series, once_in, smallest))


def find_latest_change_points(
    all_series: Iterable[Series], once_in: int = FALSE_ALARMS_ONCE_IN, smallest: float = SMALLEST
) -> tuple[ChangePoint, ...]:
    """Find the change points that the newest `WINDOW` records of each series have raised: all that a check needs.

    Only the last 2 × `WINDOW` records are read, as the test looks back no further than one window. `index` and `raised`
    count within these.
    """
    recent = (replace(series, points=series.judged[-2 * WINDOW :]) for series in all_series)
    points = find_all_change_points(recent, once_in, smallest)
    return tuple(point for point in points if point.raised >= len(point.series.points) - WINDOW)


def select_new(points: Iterable[ChangePoint], known: Collection[str]) -> tuple[ChangePoint, ...]:
    """Select the change points that are not known by their key, nor by a key from before later data moved them."""
    names = frozenset(known)
    return tuple(point for point in points if names.isdisjoint(point.near))


def _ranks(points: Sequence[Point]) -> list[int]:
    """Rank the values; ties are broken by a hash of the run's id, which never changes."""
    order = sorted(range(len(points)), key=lambda i: (points[i].value, zlib.crc32(points[i].run_id.encode()), i))
    ranks = [0] * len(points)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def _refine_places(ranks: Sequence[int], shifts: Sequence[int]) -> list[int]:
    """Move each shift, by a few records at most, to where all records between its neighbours put it."""
    refined: list[int] = []
    for number, shift in enumerate(shifts):
        start = max(refined[-1] if refined else 0, shift - WINDOW)
        end = min(shifts[number + 1] if number + 1 < len(shifts) else len(ranks), shift + WINDOW)
        better = start + locate_shift(ranks[start:end]) if end - start >= 2 * SHORTEST else shift
        refined.append(better if abs(better - shift) <= _NEAR else shift)
    return refined


def _make_change_point(
    series: Series, points: Sequence[Point], level: tuple[int, int], change: tuple[int, int], raised: int
) -> ChangePoint | None:
    """Make a change point; None if both levels are the same, which only equal values can cause.

    `level`: the first record of the level before and the end of it. `change`: the same of the level after.
    """
    (start, last), (place, end) = level, change
    before, after = points[max(start, last - WINDOW) : last], points[place : min(end, place + WINDOW)]
    values = [[point.value for point in side] for side in (before, after)]
    old, new = map(_compute_level, values)
    if old == new:
        return None
    size, interval = _estimate_size(*values)
    rises = new > old if size is None or size == 0 else size > 0
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
        work_changed=_compare_work(before, after),
        new_machine={point.fingerprint for point in before}.isdisjoint(point.fingerprint for point in after),
        new_tool={point.tool_version for point in before}.isdisjoint(point.tool_version for point in after),
        control_changed=_has_control_changed(before, after, rises=rises),
        raised=raised,
        key=_make_key(series, after[0]),
        first_run=after[0].run_id,
    )


def _list_keys_near(series: Series, points: Sequence[Point], places: Sequence[int], number: int) -> Iterator[str]:
    """List the keys that the change point at one of the `places` may have had before later data moved it.

    They are those of records that are closer to it than to another shift, with few records between. Old commits that
    were measured after both do not count: they were not there when the change point was found.
    """
    around = (-len(points), *places, 2 * len(points))
    before, place, after = around[number : number + 3]
    first, last = (before + place) // 2 + 1, (place + after) // 2
    for other in range(max(0, first, place - WINDOW), min(len(points), last + 1, place + WINDOW)):
        low, high = sorted((place, other))
        between = sum(point.measured_at <= points[high].measured_at for point in points[low:high])
        if between <= _MOVED:
            yield _make_key(series, points[other])


def _is_large(point: ChangePoint, smallest: float) -> bool:
    if point.interval is not None and point.interval.low <= 0 <= point.interval.high:
        return False
    return point.size is None or abs(point.size) >= smallest


def _make_key(series: Series, point: Point) -> str:
    """Make the key that the history's index stores: its spelling of a cell, with `/`, must not change."""
    kind = "ratio" if series.relative else "plain"
    return f"{series.variant}/{series.profile}/{series.metric}/{kind}/{point.run_id}"


def _has_control_changed(before: Sequence[Point], after: Sequence[Point], *, rises: bool) -> bool:
    """Return whether the control's plain values of the same runs certainly moved, by what is worth reporting."""
    sides = [[point.control for point in side if point.control is not None] for side in (before, after)]
    if min(map(len, sides)) < SHORTEST:
        return False
    size, interval = _estimate_size(*sides)
    if size is None or interval is None or abs(size) < SMALLEST:
        return False
    return interval.low > 0 if rises else interval.high < 0


def _compute_level(values: Sequence[float]) -> float:
    return float(np.median(values))


def _estimate_size(before: Sequence[float], after: Sequence[float]) -> tuple[float | None, Interval | None]:
    """Estimate the size as ratio − 1, with its interval.

    Hodges and Lehmann's shift (1963, Ann. Math. Statist. 34) of logarithms, with Moses' interval.
    """
    if min(*before, *after) <= 0:
        old, new = _compute_level(before), _compute_level(after)
        return (new / old - 1, None) if old > 0 and new > 0 else (None, None)
    logs = [np.log(side) for side in (before, after)]
    shifts = np.sort((logs[1][:, None] - logs[0][None, :]).ravel())
    many, few = len(before), len(after)
    reach = CONFIDENCE_Z * math.sqrt(many * few * (many + few + 1) / 12)
    lowest = max(0, math.floor(many * few / 2 - reach))
    low, high = shifts[lowest], shifts[len(shifts) - 1 - lowest]
    return math.expm1(float(np.median(shifts))), Interval(math.expm1(float(low)), math.expm1(float(high)))


def _compare_work(before: Sequence[Point], after: Sequence[Point]) -> bool | None:
    """Return whether any count of the nearest records changed; None if one side has no counts."""
    old = [point.work for point in before[-_AROUND:] if point.work is not None]
    new = [point.work for point in after[:_AROUND] if point.work is not None]
    if not old or not new:
        return None
    return any(_has_moved(*sides) for sides in zip(zip(*old, strict=True), zip(*new, strict=True), strict=True))


def _has_moved(old: Sequence[float], new: Sequence[float]) -> bool:
    """Return whether a count changed: counts that vary do so only if their ranges do not overlap."""
    if max(old) < min(new) or max(new) < min(old):
        return True
    steps = [place for place, (left, right) in enumerate(pairwise((*old, *new)), 1) if left != right]
    # a count that takes a single step has changed, even if the change point is a few records off
    return len(steps) == 1 and abs(steps[0] - len(old)) < _NEAR
