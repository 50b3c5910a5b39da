"""Group the series of a history into charts. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.model.benchmark import name_each
from bench_action.model.metric import METRICS
from bench_action.report import numbers
from bench_action.report.table import Table
from bench_action.trend.change_points import ChangePoint
from bench_action.trend.series import Series
from bench_action.trend.spark import Spark, draw_spark


@dataclass(frozen=True, slots=True)
class TrendChart:
    """All variants of a benchmark in one metric and profile.

    `name` is the name of its files; `benchmark` the benchmark's name, empty if the history has only one. `palette` has
    the variants of all charts of the profile, in the order of their colours.
    """

    name: str
    benchmark: str
    profile: str
    metric: str
    relative: bool
    series: tuple[Series, ...]
    palette: tuple[str, ...]
    changes: tuple[ChangePoint, ...]
    spark: Spark

    @property
    def title(self) -> str:
        """Name of the metric."""
        return METRICS[self.metric].title + (" ÷ control" if self.relative else "")

    @property
    def better(self) -> str:
        """`higher` or `lower`."""
        return METRICS[self.metric].better

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that it shows, in the order of their colours."""
        return tuple(dict.fromkeys(series.variant for series in self.series))

    @property
    def colours(self) -> dict[str, int]:
        """The number of each variant's colour."""
        return {variant: self.palette.index(variant) for variant in self.variants}

    @property
    def latest(self) -> Table:
        """Newest value of each variant."""
        newest = {series.variant: series for series in sorted(self.series, key=lambda series: series.points[-1].at)}
        rows = []
        for variant in self.variants:
            point = newest[variant].points[-1]
            value, low, high = (self._format_value(number) for number in (point.value, point.low, point.high))
            rows.append((variant, value, f"{low} to {high}", point.at[:10], point.sha[:10], point.fingerprint))
        headings = ("Variant", "Latest", "Interval", "Measured", "Commit", "Runner")
        return Table(headings, (False, True, True, False, False, False), tuple(rows))

    def is_counterpart(self, other: "TrendChart") -> bool:
        """Return whether one chart has the plain values and the other the ratios of the same metric and profile."""
        mine, its = ((chart.benchmark, chart.profile, chart.metric) for chart in (self, other))
        return mine == its and self.relative != other.relative

    def _format_value(self, value: float | None) -> str:
        if value is None:
            return "–"
        return f"{numbers.factor(value)} ×" if self.relative else numbers.metric_value(value, METRICS[self.metric].unit)


def make_charts(all_series: Sequence[Series], points: Sequence[ChangePoint]) -> list[TrendChart]:
    """Make one chart for all series of a benchmark, profile and metric.

    They are sorted by name, then by the order of the metrics, ratios first.
    """
    order = list(METRICS)
    names = name_each(series.benchmark for series in all_series)
    groups: dict[tuple[str, str, bool, int], list[Series]] = {}
    palettes: dict[tuple[str, str], set[str]] = {}
    for series in all_series:
        key = (names[series.benchmark], series.profile, not series.relative, order.index(series.metric))
        groups.setdefault(key, []).append(series)
        palettes.setdefault(key[:2], set()).add(series.variant)
    changes_by_series: dict[int, list[ChangePoint]] = {}
    for point in points:
        changes_by_series.setdefault(id(point.series), []).append(point)
    charts: list[TrendChart] = []
    taken: set[str] = set()
    for benchmark, profile, plain, number in sorted(groups):
        own = sorted(groups[benchmark, profile, plain, number], key=lambda series: (series.variant, series.origin))
        changes = tuple(change for series in own for change in changes_by_series.get(id(series), ()))
        stem = " ".join(part for part in (benchmark, profile) if part)
        name = _choose_name(stem, f"{order[number].replace('_', '-')}{'-plain' if plain else ''}", taken)
        palette = tuple(sorted(palettes[benchmark, profile]))
        spark = draw_spark(own, changes, palette)
        charts.append(
            TrendChart(name, benchmark, profile, order[number], not plain, tuple(own), palette, changes, spark)
        )
    return charts


def _choose_name(text: str, suffix: str, taken: set[str]) -> str:
    """Choose a file name of letters, digits and dashes for any benchmark and profile, and add it to `taken`."""
    stem = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[-60:].strip("-") or "profile"
    name = stem = f"{stem}-{suffix}"
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
