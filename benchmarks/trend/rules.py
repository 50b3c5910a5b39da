"""Rules over a history of requests/s; each returns the record at which it would have raised its first alarm.

The rules of other tools are as their sources had them in November 2026. If a tool compares times per request,
requests/s stand for them, inverted. Alarms count from record `start` on; the records before are history.
"""

import math
from collections.abc import Callable

import numpy as np
from benchmarks.trend.simulated import Values
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from bench_action.trend.change_points import find_change_points
from bench_action.trend.series import Point, Series

Alarms = NDArray[np.bool_]
Rule = Callable[[Values, int], int | None]  # (history, first record at which alarms count) → record of the first alarm
_BENCHER_HISTORY = 64


def previous_times(limit: float) -> Rule:
    """Model github-action-benchmark: previous ÷ this > `alert-threshold` (default 200 %; users set 110 % to 500 %)."""
    return lambda history, start: _first(history[start - 1 : -1] / history[start:] > limit, start)


def bencher_t_test(boundary: float = 0.99) -> Rule:
    """Model Bencher `t_test`: below mean − t(boundary, n − 1) · s · √(1 + 1/n) of the n ≤ 64 records before."""
    return lambda history, start: _first(
        _below(history, start, lambda n: float(stdtrit(n - 1, boundary)) * math.sqrt(1 + 1 / n)), start
    )


def bencher_z_score(boundary: float = 0.99) -> Rule:
    """Model Bencher `z_score`: below mean − z(boundary) · s of the n ≤ 64 records before."""
    return lambda history, start: _first(_below(history, start, lambda _n: float(ndtri(boundary))), start)


def bencher_percentage(share: float = 0.25) -> Rule:
    """Model Bencher `percentage`: below the mean of the n ≤ 64 records before by more than this share."""

    def rule(history: Values, start: int) -> int | None:
        means = np.array([history[max(0, at - _BENCHER_HISTORY) : at].mean() for at in range(start, len(history))])
        return _first(history[start:] < means * (1 - share), start)

    return rule


def ours(history: Values, start: int) -> int | None:
    """Find the record that raised our first change point for the worse."""
    points = tuple(Point(f"{n:06}", str(n), str(n), float(v), None, None, "", None) for n, v in enumerate(history))
    raised = _raised(Series("variant", "profile", "requests_per_second", True, points))
    return next((at for at in raised if at >= start), None)


def _raised(series: Series) -> list[int]:
    return sorted(point.raised for point in find_change_points(series) if point.direction == "worse")


def _below(history: Values, start: int, reach: Callable[[int], float]) -> Alarms:
    found = []
    for at in range(start, len(history)):
        before = history[max(0, at - _BENCHER_HISTORY) : at]
        found.append(history[at] < before.mean() - reach(len(before)) * before.std(ddof=1))
    return np.array(found)


def _first(alarms: Alarms, start: int) -> int | None:
    found = np.flatnonzero(alarms)
    return start + int(found[0]) if found.size else None
