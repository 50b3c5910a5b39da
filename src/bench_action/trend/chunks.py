"""A chart's data as script files, the newest runs first: one that the page loads first, others on demand. Pure.

A page that is opened from a folder (`file://`) may load scripts but not fetch JSON; so each file passes one JSON value
to `trendData`. A chunk has its runs once, and for each series the numbers of its runs and its values.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench_action.report.templating import escape_script_json
from bench_action.trend.series import Point, Series

RECENT_RUNS = 400
RECENT_VALUES = 12_000  # over all series of a chart: about 400 kB
_OLDER_RUNS = 2_000
_DIGITS = 5
_RunKey = tuple[str, int, str]  # in the order of a chart: time, place among runs of that time, run id


@dataclass(frozen=True, slots=True)
class Chunk:
    """Runs from `first` to `last` (times), and the value for `trendData` that holds them."""

    number: int
    first: str
    last: str
    runs: int
    value: dict[str, Any]


def make_chunks(all_series: Sequence[Series]) -> Iterator[Chunk]:
    """Make the chunks of one chart, the newest first; the page loads number 0 first."""
    runs = sorted({_make_key(point) for series in all_series for point in series.points}, reverse=True)
    recent = max(20, min(RECENT_RUNS, RECENT_VALUES // max(1, len(all_series))))
    edges = [0, *range(recent, len(runs), _OLDER_RUNS), len(runs)]
    by_run = [{_make_key(point): point for point in series.points} for series in all_series]
    for number, (newest, oldest) in enumerate(pairwise(dict.fromkeys(edges))):
        own = runs[newest:oldest][::-1]
        yield Chunk(number, own[0][0], own[-1][0], len(own), _make_value(number, own, by_run))


def render_script(value: object) -> str:
    """Render a script that passes one JSON value on; nothing in the value can end the script or a line of it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"(self.trendData = self.trendData || []).push({escape_script_json(text)});\n"


def round_for_screen(value: float | None) -> float | int | None:
    """Round to five figures, as no screen shows more; None for None and for what is not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _make_key(point: Point) -> _RunKey:
    return point.at, point.order, point.run_id


def _make_value(number: int, runs: Sequence[_RunKey], by_run: Sequence[dict[_RunKey, Point]]) -> dict[str, Any]:
    machines: dict[str, int] = {}
    shas: list[str] = []
    fingerprints: list[int] = []
    repeated: list[int] = []
    columns: list[dict[str, Any]] = [
        {"series": number, "run": [], "value": [], "low": [], "high": []} for number in range(len(by_run))
    ]
    for position, run in enumerate(runs):
        points = {number: points[run] for number, points in enumerate(by_run) if run in points}
        first = next(iter(points.values()))
        shas.append(first.sha)
        repeated += [position] if first.repeated else []
        fingerprints.append(machines.setdefault(first.fingerprint, len(machines)))
        for series, point in points.items():
            column = columns[series]
            column["run"].append(position)
            for name in ("value", "low", "high"):
                column[name].append(round_for_screen(getattr(point, name)))
    return {
        "chunk": number,
        "at": [at for at, _, _ in runs],
        "id": [run_id for _, _, run_id in runs],
        "sha": shas,
        "again": repeated,
        "machine": fingerprints,
        "machines": list(machines),
        "columns": [column for column in columns if column["run"]],
    }
