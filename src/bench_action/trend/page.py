"""The trend as a static site: an index of small charts, a page for each chart, and its data beside it.

Nothing comes from elsewhere: plotly's own script lies beside the pages, once. It works from a folder as from a server.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import plotly.offline

from bench_action.model.benchmark import name_each
from bench_action.model.metric import METRICS
from bench_action.report import numbers
from bench_action.report.table import Table
from bench_action.report.templating import html_environment
from bench_action.trend import check
from bench_action.trend.badge import badge_of
from bench_action.trend.change_points import ChangePoint
from bench_action.trend.chunks import Chunk, chunks_of, rounded, script
from bench_action.trend.series import Series
from bench_action.trend.spark import Spark, spark_of

_HASH = re.compile(r"[0-9a-f]{7,64}")
_REPOSITORY = re.compile(r"https?://[\w.-]+(?::\d+)?/[\w.~/-]+")
_RECENT_CHANGES = 20


@dataclass(frozen=True, slots=True)
class CommitLinks:
    """Where commits are shown: the repository's address (https://…), or empty for no links; and the site's title."""

    repository: str = ""
    title: str = "bench-action: trend"

    def commit(self, sha: str) -> str:
        """The commit's page; empty where there is none."""
        return f"{self.base}/commit/{sha}" if self.base and _HASH.fullmatch(sha) else ""

    def between(self, point: ChangePoint) -> str:
        """The page of the commits among which the cause is; empty where there is none."""
        before, after = point.last_before, point.first_after
        if not self.base or not (_HASH.fullmatch(before) and _HASH.fullmatch(after)):
            return ""
        return f"{self.base}/compare/{before}...{after}" if before != after else self.commit(after)

    @property
    def base(self) -> str:
        """The address, if it is one."""
        return self.repository.rstrip("/") if _REPOSITORY.fullmatch(self.repository) else ""


@dataclass(frozen=True, slots=True)
class TrendChart:
    """All variants of a benchmark in one metric and profile; `name` is that of its files.

    `benchmark` is the benchmark's name, empty where the history has one only.
    """

    name: str
    benchmark: str
    profile: str
    metric: str
    relative: bool
    series: tuple[Series, ...]
    changes: tuple[ChangePoint, ...]
    spark: Spark

    @property
    def title(self) -> str:
        """The metric in words."""
        return METRICS[self.metric].title + (" ÷ control" if self.relative else "")

    @property
    def better(self) -> str:
        """`higher` or `lower`."""
        return METRICS[self.metric].better

    @property
    def variants(self) -> tuple[str, ...]:
        """Their names, in the order of their colours."""
        return tuple(dict.fromkeys(one.variant for one in self.series))

    @property
    def latest(self) -> Table:
        """The newest value of each variant, in words."""
        newest = {one.variant: one for one in sorted(self.series, key=lambda one: one.points[-1].at)}
        rows = []
        for variant in self.variants:
            point = newest[variant].points[-1]
            value, low, high = (self.word(number) for number in (point.value, point.low, point.high))
            rows.append((variant, value, f"{low} to {high}", point.at[:10], point.sha[:10], point.fingerprint))
        headings = ("Variant", "Latest", "Interval", "Measured", "Commit", "Runner")
        return Table(headings, (False, True, True, False, False, False), tuple(rows))

    def word(self, value: float | None) -> str:
        """A value as people read it."""
        if value is None:
            return "–"
        return f"{numbers.factor(value)} ×" if self.relative else numbers.metric_value(value, METRICS[self.metric].unit)


def render(all_series: Sequence[Series], points: Sequence[ChangePoint], links: CommitLinks, output: Path) -> None:
    """Write the site into `output`, which is made where it is missing. Errors: OSError."""
    (output / "data").mkdir(parents=True, exist_ok=True)
    for name, text in site_of(all_series, points, links):
        (output / name).write_text(text, encoding="utf-8")


def site_of(
    all_series: Sequence[Series], points: Sequence[ChangePoint], links: CommitLinks
) -> Iterator[tuple[str, str]]:
    """Every file of the site: its path and its text."""
    names = name_each(one.benchmark for one in all_series)
    pages = html_environment()
    pages.globals.update(
        links=links,
        commits=check.commits,
        assurance=check.assurance(),
        sentence=lambda point: check.sentence(point, names[point.series.benchmark]),
    )
    charts = charts_of([one for one in all_series if one.points], points)
    recent = sorted(points, key=lambda point: point.at, reverse=True)
    latest = max((point.at for one in all_series for point in one.points[-1:]), default=None)
    badge = badge_of(points, latest)
    yield (
        "index.html",
        pages.get_template("trend_index.html.j2").render(
            sections=[_section(name, list(own)) for name, own in groupby(charts, key=lambda chart: chart.benchmark)],
            recent=recent[:_RECENT_CHANGES],
            changes=len(recent),
            latest=latest,
            badge=badge,
            id_of=id,
            places={id(change): chart.name for chart in charts for change in chart.changes},
        ),
    )
    page = pages.get_template("trend_chart.html.j2")
    for chart in charts:
        other = next((c.name for c in charts if _is_other(c, chart)), None)
        yield f"{chart.name}.html", page.render(chart=chart, other=other)
        yield from _data(chart, links)
    yield "trend.css", pages.get_template("trend_style.css.j2").render()
    yield "trend.js", pages.get_template("trend_script.js.j2").render()
    yield "plotly.min.js", plotly.offline.get_plotlyjs()
    yield "badge.svg", badge.svg
    yield "badge.json", badge.endpoint


def charts_of(all_series: Sequence[Series], points: Sequence[ChangePoint]) -> list[TrendChart]:
    """Series of one benchmark, profile and metric share a chart; by name, metrics in their own order, ratios first."""
    order = list(METRICS)
    names = name_each(one.benchmark for one in all_series)
    groups: dict[tuple[str, str, bool, int], list[Series]] = {}
    for one in all_series:
        key = (names[one.benchmark], one.profile, not one.relative, order.index(one.metric))
        groups.setdefault(key, []).append(one)
    by_series: dict[int, list[ChangePoint]] = {}
    for point in points:
        by_series.setdefault(id(point.series), []).append(point)
    charts: list[TrendChart] = []
    taken: set[str] = set()
    for benchmark, profile, plain, number in sorted(groups):
        own = tuple(sorted(groups[benchmark, profile, plain, number], key=lambda one: (one.variant, one.origin)))
        changes = tuple(change for one in own for change in by_series.get(id(one), ()))
        stem = " ".join(part for part in (benchmark, profile) if part)
        name = _file_name(stem, order[number], plain=bool(plain), taken=taken)
        charts.append(
            TrendChart(name, benchmark, profile, order[number], not plain, own, changes, spark_of(own, changes))
        )
    return charts


def _section(name: str, charts: Sequence[TrendChart]) -> tuple[str, list[tuple[str, list[TrendChart]]]]:
    """A benchmark's part of the index: its name, and its charts by profile."""
    return name, [(profile, list(own)) for profile, own in groupby(charts, key=lambda chart: chart.profile)]


def _is_other(one: TrendChart, chart: TrendChart) -> bool:
    its = (chart.benchmark, chart.profile, chart.metric, chart.relative)
    return (one.benchmark, one.profile, one.metric, not one.relative) == its


def _file_name(text: str, metric: str, *, plain: bool, taken: set[str]) -> str:
    """Letters, digits and dashes only, whatever benchmark and profile are called; never the same twice."""
    kind = "-plain" if plain else ""
    stem = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[-60:].strip("-") or "profile"
    name = stem = f"{stem}-{metric.replace('_', '-')}{kind}"
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _data(chart: TrendChart, links: CommitLinks) -> Iterator[tuple[str, str]]:
    """The newest chunk knows all others, the change points, and how to draw."""
    chunks = list(chunks_of(chart.series))
    for chunk in chunks[1:]:
        yield _chunk_file(chart, chunk), script(chunk.value)
    yield _chunk_file(chart, chunks[0]), script({**chunks[0].value, "chart": _described(chart, chunks, links)})


def _chunk_file(chart: TrendChart, chunk: Chunk) -> str:
    return f"data/{chart.name}-{chunk.number}.js"


def _described(chart: TrendChart, chunks: Sequence[Chunk], links: CommitLinks) -> dict[str, Any]:
    changes: list[Mapping[str, Any]] = [
        {
            "series": chart.series.index(change.series),
            "at": change.at,
            "before": rounded(change.before),
            "level": rounded(change.after),
            "direction": change.direction,
            "text": check.sentence(change),
            "size": "" if change.size is None else check.signed(change.size),
        }
        for change in chart.changes
    ]
    return {
        "axis": _axis(chart),
        "commits": f"{links.base}/commit/" if links.base else "",
        "variants": chart.variants,
        "series": [chart.variants.index(one.variant) for one in chart.series],
        "unit": "×" if chart.relative else METRICS[chart.metric].unit.replace("1", ""),
        "changes": changes,
        "older": [{"file": _chunk_file(chart, c), "first": c.first, "last": c.last} for c in chunks[1:]],
    }


def _axis(chart: TrendChart) -> str:
    unit = "" if chart.relative or METRICS[chart.metric].unit in {"1", "1/s"} else f", {METRICS[chart.metric].unit}"
    return f"{chart.title}{unit} ({chart.better} is better)"
