"""The data of a chart as script files, newest first: what the page loads at once, and what it loads when asked. Pure.

A page opened from a folder (`file://`) may not fetch JSON, but may load scripts; so each file hands one JSON value to
`trendData`. A chunk holds its runs once, and for each series the numbers of its runs and its values.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench_action.trend.series import Point, Series

RECENT_RUNS = 400
RECENT_VALUES = 12_000  # over all series of a chart: about 400 kB
_OLDER_RUNS = 2_000
_DIGITS = 5
_Run = tuple[str, int, str]  # in the order of a chart: when, the place among runs of that moment, run id


@dataclass(frozen=True, slots=True)
class Chunk:
    """Runs from `first` to `last` (times), and the value for `trendData` that holds them."""

    number: int
    first: str
    last: str
    runs: int
    value: dict[str, Any]


def chunks_of(all_series: Sequence[Series]) -> Iterator[Chunk]:
    """The chunks of one chart, the newest first; number 0 is what is loaded at once."""
    runs = sorted({_run(point) for series in all_series for point in series.points}, reverse=True)
    recent = max(20, min(RECENT_RUNS, RECENT_VALUES // max(1, len(all_series))))
    edges = [0, *range(recent, len(runs), _OLDER_RUNS), len(runs)]
    by_run = [{_run(point): point for point in series.points} for series in all_series]
    for number, (newest, oldest) in enumerate(pairwise(dict.fromkeys(edges))):
        own = runs[newest:oldest][::-1]
        yield Chunk(number, own[0][0], own[-1][0], len(own), _value(number, own, by_run))


def script(value: object) -> str:
    """A script that hands one JSON value over; nothing in it can end the script or a line of it."""
    return f"(self.trendData = self.trendData || []).push({in_script(value)});\n"


def in_script(value: object) -> str:
    """JSON that may stand in a script, inside HTML too (HTML, 4.12.1.3); NaN and the infinite become null before."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def rounded(value: float | None) -> float | int | None:
    """Five figures, which no screen shows better; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _run(point: Point) -> _Run:
    return point.at, point.order, point.run_id


def _value(number: int, runs: Sequence[_Run], by_run: Sequence[dict[_Run, Point]]) -> dict[str, Any]:
    machines: dict[str, int] = {}
    shas: list[str] = []
    fingerprints: list[int] = []
    repeated: list[int] = []
    columns: list[dict[str, Any]] = [
        {"series": n, "run": [], "value": [], "low": [], "high": []} for n in range(len(by_run))
    ]
    for position, run in enumerate(runs):
        points = [(n, found) for n, points in enumerate(by_run) if (found := points.get(run)) is not None]
        shas.append(points[0][1].sha)
        repeated += [position] if points[0][1].repeated else []
        fingerprints.append(machines.setdefault(points[0][1].fingerprint, len(machines)))
        for n, point in points:
            column = columns[n]
            column["run"].append(position)
            for name in ("value", "low", "high"):
                column[name].append(rounded(getattr(point, name)))
    return {
        "chunk": number,
        "at": [at for at, _, _ in runs],
        "id": [run_id for _, _, run_id in runs],
        "sha": shas,
        "again": repeated,
        "machine": fingerprints,
        "machines": list(machines),
        "columns": [c for c in columns if c["run"]],
    }
