"""The small charts of the index: lines of an SVG picture, which needs no script. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from bench_action.trend.change_points import ChangePoint
from bench_action.trend.series import Point, Series

WIDTH, HEIGHT = 280, 84
_RUNS = 180  # at most
_STEPS = 90
_MARGIN = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A path for one series; `colour` is the number of its variant."""

    colour: int
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A change point: its place and direction."""

    x: float
    direction: str


@dataclass(frozen=True, slots=True)
class Spark:
    """A small chart; `since` is its first day."""

    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    since: str
    width: int = WIDTH
    height: int = HEIGHT


def draw_spark(all_series: Sequence[Series], changes: Sequence[ChangePoint], palette: Sequence[str]) -> Spark:
    """Draw the newest runs of a chart: each series relative to its median, so that all lines can be seen.

    If there are many runs, a point is the median of a few. `palette`: the variants in the order of their colours.
    """
    runs = sorted({point.at for series in all_series for point in series.points})[-_RUNS:]
    first, last = _parse_seconds(runs[0]), _parse_seconds(runs[-1])
    shown = [[point for point in series.points[-_RUNS:] if point.at >= runs[0]] for series in all_series]
    thinned = [_thin(points) for points in shown]
    values = [value for points in thinned for _, value in points]
    if not values:
        return Spark((), (), runs[0][:10])
    low, high = min(values), max(values)
    least = 0.1 * max(abs(low), abs(high)) or 1.0  # so that mere noise does not look like mountains
    middle, span = (low + high) / 2, max(high - low, least)

    def scale_x(seconds: float) -> float:
        share = (seconds - first) / (last - first) if last > first else 0.5
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    def scale_y(value: float) -> float:
        return round(HEIGHT / 2 - (value - middle) / span * (HEIGHT - 2 * _MARGIN), 1)

    lines = [
        Line(palette.index(series.variant), "M" + "L".join(f"{scale_x(at)} {scale_y(value)}" for at, value in points))
        for series, points in zip(all_series, thinned, strict=True)
        if points
    ]
    marks = [Mark(scale_x(_parse_seconds(change.at)), change.direction) for change in changes if change.at >= runs[0]]
    return Spark(tuple(lines), tuple(marks), runs[0][:10])


def _thin(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Turn points into (seconds, factor of their median), with at most `_STEPS` of them."""
    step = max(1, math.ceil(len(points) / _STEPS))
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    usual = median(point.value for point in points) if points else 0.0
    scale = usual if usual > 0 else 1.0
    return [(_parse_seconds(group[-1].at), median(point.value for point in group) / scale) for group in groups]


def _parse_seconds(at: str) -> float:
    moment = datetime.fromisoformat(at)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
