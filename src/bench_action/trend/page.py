"""The trend as a static site: an index of small charts, a page for each chart, and data files.

The site needs nothing from elsewhere, as it has plotly's script too, once; it works from a folder and from a server.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import plotly.offline

from bench_action.model.benchmark import name_each
from bench_action.model.metric import METRICS
from bench_action.report.assets import read_assets
from bench_action.report.folder import replace_file, require_no_link
from bench_action.report.templating import html_environment
from bench_action.trend import check
from bench_action.trend.badge import make_badge
from bench_action.trend.change_points import ChangePoint
from bench_action.trend.charts import TrendChart, make_charts
from bench_action.trend.chunks import Chunk, make_chunks, render_script, round_for_screen
from bench_action.trend.series import Series

_HASH: Final = re.compile(r"[0-9a-f]{7,64}")
_REPOSITORY: Final = re.compile(r"https?://[\w.-]+(?::\d+)?/[\w.~/-]+")
_RECENT_CHANGES: Final = 20
STYLES: Final = ("palette.css", "page.css", "trend.css")
SCRIPTS: Final = ("page.js", "trend_text.js", "trend_chart.js", "trend_controls.js")


@dataclass(frozen=True, slots=True)
class CommitLinks:
    """The address of the repository that shows commits (https://…; empty for no links), and the site's title."""

    repository: str = ""
    title: str = "bench-action: trend"

    def commit(self, sha: str) -> str:
        """Link to a commit; empty if that is not possible."""
        return f"{self.base}/commit/{sha}" if self.base and _HASH.fullmatch(sha) else ""

    def between(self, point: ChangePoint) -> str:
        """Link to the commits that may have caused a change; empty if that is not possible."""
        before, after = point.last_before, point.first_after
        if not self.base or not (_HASH.fullmatch(before) and _HASH.fullmatch(after)):
            return ""
        return f"{self.base}/compare/{before}...{after}" if before != after else self.commit(after)

    @property
    def base(self) -> str:
        """The address; empty if it is not one."""
        return self.repository.rstrip("/") if _REPOSITORY.fullmatch(self.repository) else ""


def write_files(files: Iterable[tuple[str, str]], output: Path) -> None:
    """Write files, by name, into the folder `output`, creating it if necessary; no link is followed.

    Raises InputError for a link of the repository on the way there, and OSError.
    """
    for name, text in files:
        path = output / name
        require_no_link(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)


def render_site(
    all_series: Sequence[Series], points: Sequence[ChangePoint], links: CommitLinks, ledger: str = ""
) -> Iterator[tuple[str, str]]:
    """Render every file of the site: its path and its text.

    `ledger`: the summary of the ledger, whose page is in the folder `ledger`; empty without one.
    """
    names = name_each(series.benchmark for series in all_series)
    pages = html_environment()
    pages.globals.update(
        links=links,
        false_alarms=check.describe_false_alarms(),
        describe_change=lambda point: check.describe_change(point, names[point.series.benchmark]),
    )
    charts = make_charts([series for series in all_series if series.points], points)
    latest = max((point.at for series in all_series for point in series.points[-1:]), default=None)
    badge = make_badge(points, latest)
    index = pages.get_template("trend_index.html.j2")
    yield "index.html", index.render(_describe_index(charts, points), latest=latest, badge=badge, ledger=ledger)
    page = pages.get_template("trend_chart.html.j2")
    for chart in charts:
        counterpart = next((other.name for other in charts if chart.is_counterpart(other)), None)
        yield f"{chart.name}.html", page.render(chart=chart, counterpart=counterpart)
        yield from _render_data(chart, links)
    yield "trend.css", read_assets(*STYLES)
    yield "trend.js", read_assets(*SCRIPTS)
    yield "plotly.min.js", plotly.offline.get_plotlyjs()
    yield "badge.svg", badge.svg
    yield "badge.json", badge.endpoint


def _describe_index(charts: Sequence[TrendChart], points: Sequence[ChangePoint]) -> dict[str, Any]:
    """Collect what the index shows: its sections are (benchmark, (profile, charts)…)."""
    recent = sorted(points, key=lambda point: point.at, reverse=True)
    sections = []
    for benchmark, own in groupby(charts, key=lambda chart: chart.benchmark):
        profiles = [(profile, list(group)) for profile, group in groupby(own, key=lambda chart: chart.profile)]
        sections.append((benchmark, profiles))
    return {
        "sections": sections,
        "recent": recent[:_RECENT_CHANGES],
        "changes": len(recent),
        "id_of": id,
        "places": {id(change): chart.name for chart in charts for change in chart.changes},
    }


def _render_data(chart: TrendChart, links: CommitLinks) -> Iterator[tuple[str, str]]:
    """Render the data files of a chart; the newest lists all others and describes the chart."""
    newest, *older = make_chunks(chart.series)
    for chunk in older:
        yield _name_file(chart, chunk), render_script(chunk.value)
    described = {**newest.value, "chart": _describe_chart(chart, older, links)}
    yield _name_file(chart, newest), render_script(described)


def _name_file(chart: TrendChart, chunk: Chunk) -> str:
    return f"data/{chart.name}-{chunk.number}.js"


def _describe_chart(chart: TrendChart, older: Sequence[Chunk], links: CommitLinks) -> dict[str, Any]:
    """Collect what the chart's script needs in addition to the runs."""
    unit = METRICS[chart.metric].unit
    axis_unit = "" if chart.relative or unit in {"1", "1/s"} else f", {unit}"
    return {
        "axis": f"{chart.title}{axis_unit} ({chart.better} is better)",
        "commits": f"{links.base}/commit/" if links.base else "",
        "variants": chart.palette,
        "series": [chart.colours[series.variant] for series in chart.series],
        "unit": "×" if chart.relative else unit.replace("1", ""),
        "changes": [_describe_change(chart, change) for change in chart.changes],
        "older": [{"file": _name_file(chart, chunk), "first": chunk.first, "last": chunk.last} for chunk in older],
    }


def _describe_change(chart: TrendChart, change: ChangePoint) -> Mapping[str, Any]:
    return {
        "series": chart.series.index(change.series),
        "at": change.at,
        "before": round_for_screen(change.before),
        "level": round_for_screen(change.after),
        "direction": change.direction,
        "text": check.describe_change(change),
        "size": "" if change.size is None else check.format_change(change.size),
    }
