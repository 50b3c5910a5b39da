"""The small charts of the index: lines of an SVG picture, so that the index shows them without any script. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from bench_action.trend.change_points import ChangePoint
from bench_action.trend.series import Point, Series

WIDTH, HEIGHT = 280, 84
_RUNS = 180  # as far back as a small chart goes
_STEPS = 90
_MARGIN = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A path for one series; `colour` counts the variants."""

    colour: int
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A change point: where, and which way."""

    x: float
    direction: str


@dataclass(frozen=True, slots=True)
class Spark:
    """A small chart; `since` is the day on which it begins."""

    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    since: str
    width: int = WIDTH
    height: int = HEIGHT


def spark_of(all_series: Sequence[Series], changes: Sequence[ChangePoint]) -> Spark:
    """The newest runs of all series of a chart: each line as a factor of its own median, so that all can be told apart.

    A point is the median of a few runs where there are many.
    """
    runs = sorted({point.at for series in all_series for point in series.points})[-_RUNS:]
    first, last = _seconds(runs[0]), _seconds(runs[-1])
    shown = [[point for point in series.points[-_RUNS:] if point.at >= runs[0]] for series in all_series]
    thinned = [_thinned(points) for points in shown]
    values = [value for points in thinned for _, value in points]
    if not values:
        return Spark((), (), runs[0][:10])
    low, high = min(values), max(values)
    least = 0.1 * max(abs(low), abs(high)) or 1.0  # so that mere noise does not look like mountains
    middle, span = (low + high) / 2, max(high - low, least)

    def x_of(seconds: float) -> float:
        share = (seconds - first) / (last - first) if last > first else 0.5
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    def y_of(value: float) -> float:
        return round(HEIGHT / 2 - (value - middle) / span * (HEIGHT - 2 * _MARGIN), 1)

    variants = list(dict.fromkeys(series.variant for series in all_series))
    lines = [
        Line(variants.index(series.variant), "M" + "L".join(f"{x_of(at)} {y_of(value)}" for at, value in points))
        for series, points in zip(all_series, thinned, strict=True)
        if points
    ]
    marks = [Mark(x_of(_seconds(change.at)), change.direction) for change in changes if change.at >= runs[0]]
    return Spark(tuple(lines), tuple(marks), runs[0][:10])


def _thinned(points: Sequence[Point]) -> list[tuple[float, float]]:
    step = max(1, math.ceil(len(points) / _STEPS))
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    usual = median(point.value for point in points) if points else 0.0
    scale = usual if usual > 0 else 1.0
    return [(_seconds(group[-1].at), median(point.value for point in group) / scale) for group in groups]


def _seconds(at: str) -> float:
    moment = datetime.fromisoformat(at)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
