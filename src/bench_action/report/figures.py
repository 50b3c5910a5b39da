"""Draw the figures of `report.html`, as JSON that plotly's bundled script reads."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from bench_action.compare.evidence import build_evidence, pair_blocks
from bench_action.model.metric import METRICS
from bench_action.model.result import QUANTILES, Comparison, Result
from bench_action.report.assets import read_light_colours
from bench_action.report.change import has_meaning, is_uncompared, list_comparisons, relative_change
from bench_action.report.tables import name_subject
from bench_action.report.templating import escape_script_json
from bench_action.report.waits import Waits, list_waits

_PALETTE = read_light_colours()  # plotly draws both themes with the light one
_COLOURS = {"regressed": _PALETTE["c5"], "improved": _PALETTE["c2"], "unchanged": _PALETTE["c0"]}  # the others: dim
_PARTS = (
    ("cpu_ms_per_request", "application"),
    ("db_cpu_ms_per_request", "database"),
    ("cache_cpu_ms_per_request", "cache"),
)
_PERCENTILES = ("p50", "p90", "p99", "p999")
_GREY = _PALETTE["dim"]
_OF_ROUTES = frozenset({"latency_p50_us", "cpu_ms_per_request"})  # more would be too many rows for a mix


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: `title`, a sentence on how to read it, and the figure itself as plotly's JSON."""

    title: str
    reading: str
    json: str


def draw_figures(result: Result) -> tuple[Figure, ...]:
    """Draw every figure that this result has data for, in reading order."""
    return tuple(_figures(result))


def _figures(result: Result) -> Iterator[Figure]:
    comparisons = list_comparisons(result) if result.verdict != "invalid" else []
    for cell in dict.fromkeys(c.whole_cell for c in comparisons):
        own = [c for c in comparisons if c.whole_cell == cell]
        yield from _draw_intervals(cell, [c for c in own if not c.route])
        yield from _draw_intervals(f"{cell}, each request", [c for c in own if c.route and c.metric in _OF_ROUTES])
    yield from map(_draw_waits, list_waits(result))
    for pair in dict.fromkeys(trial.pair for trial in result.trials if trial.pair):
        yield from _draw_blocks(result, pair)
    for profile in (profile.name for profile in result.profiles):
        yield from _draw_latency(result, profile)
        yield from _draw_cpu(result, profile)


def _draw_intervals(cell: str, comparisons: Sequence[Comparison]) -> Iterator[Figure]:
    judged = [c for c in comparisons if has_meaning(c) and not is_uncompared(c) and c.method != "count"]
    shown = [(c, c.ci_low, c.ci_high) for c in judged[::-1] if c.ci_low is not None and c.ci_high is not None]
    if not shown:
        return
    sizes = [100 * relative_change(c) for c, _, _ in shown]
    figure = go.Figure(
        go.Scatter(
            x=sizes,
            y=[" · ".join(filter(None, (c.route, METRICS[c.metric].title))) for c, _, _ in shown],
            mode="markers",
            marker={"size": 11, "color": [_COLOURS.get(c.verdict, _GREY) for c, _, _ in shown]},
            error_x={
                "type": "data",
                "symmetric": False,
                "thickness": 2,
                "color": _GREY,
                "array": [100 * (high - 1) - size for (_, _, high), size in zip(shown, sizes, strict=True)],
                "arrayminus": [size - 100 * (low - 1) for (_, low, _), size in zip(shown, sizes, strict=True)],
            },
            customdata=[[c.verdict, c.blocks] for c, _, _ in shown],
            hovertemplate="%{y}: %{x:.2f} %<br>%{customdata[0]}, %{customdata[1]} blocks<extra></extra>",
        )
    )
    figure.add_vline(x=0, line_color=_GREY, line_dash="dot")
    figure.update_layout(xaxis_title="change of head against base, %", height=120 + 34 * len(shown))
    reading = "If a line crosses 0, the change is not certain. More requests/s is better; less is better for the rest."
    yield _finish(f"{cell}: change, with 99 % intervals", reading, figure)


def _draw_blocks(result: Result, pair: str) -> Iterator[Figure]:
    blocks = pair_blocks(result.trials, pair, "duet") or pair_blocks(result.trials, pair, "interleaved")
    figure = go.Figure()
    for metric in ("requests_per_second", "cpu_ms_per_request"):
        evidence = build_evidence(blocks, metric)
        if evidence is not None:
            sign = -1 if METRICS[metric].better == "higher" else 1
            figure.add_scatter(
                x=[block.number for block in blocks],
                y=[100 * math.expm1(sign * loss) for loss in evidence.losses],
                mode="lines+markers",
                name=METRICS[metric].title,
                line={"width": 1},
                marker={"size": 7},
                hovertemplate="block %{x}: %{y:.2f} %<extra></extra>",
            )
    if not figure.data:
        return
    figure.add_hline(y=0, line_color=_GREY, line_dash="dot")
    figure.update_layout(xaxis_title="block", yaxis_title="head against base, %", height=340)
    reading = "Each point is one restart of both. Points should scatter around one level, without a trend."
    yield _finish(f"{pair}: block by block", reading, figure)


def _draw_waits(waits: Waits) -> Figure:
    figure = go.Figure()
    for label, values in waits.sides:
        figure.add_scatter(
            x=[value / 1000 for value in values],
            y=[100 * share for share in QUANTILES],
            mode="lines+markers",
            name=label,
            line={"width": 2, "color": _GREY if label == "base" and len(waits.sides) > 1 else _PALETTE["c0"]},
            marker={"size": 5},
            hovertemplate="%{y} % within %{x:.2f} ms<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(xaxis_title="ms", xaxis_type="log", yaxis_title="% of requests answered by then", height=360)
    reading = (
        "The line that is further left answers sooner; far apart at the top means that some users wait. Log scale."
    )
    return _finish(f"{waits.title}: latency", reading, figure)


def _draw_latency(result: Result, profile: str) -> Iterator[Figure]:
    figure = go.Figure()
    for summary in (summary for summary in result.summaries if summary.profile == profile):
        values = [summary.metrics.get(f"latency_{p}_us") for p in _PERCENTILES]
        if any(values):
            figure.add_bar(
                x=["p50", "p90", "p99", "p99.9"],
                y=[estimate.median / 1000 if estimate else None for estimate in values],
                name=name_subject(summary),
                hovertemplate="%{x}: %{y:.1f} ms<extra>%{fullData.name}</extra>",
            )
    if not figure.data:
        return
    figure.update_layout(yaxis_title="ms", yaxis_type="log", height=340, barmode="group")
    reading = "At full load, each variant alone: 99 of 100 replies came within p99. The scale is logarithmic."
    yield _finish(f"{profile}: latency", reading, figure)


def _draw_cpu(result: Result, profile: str) -> Iterator[Figure]:
    summaries = [summary for summary in result.summaries if summary.profile == profile]
    figure = go.Figure()
    for metric, part in _PARTS:
        values = [summary.metrics.get(metric) for summary in summaries]
        if any(values):
            figure.add_bar(
                y=[name_subject(summary) for summary in summaries],
                x=[estimate.median if estimate else None for estimate in values],
                name=part,
                orientation="h",
                hovertemplate="%{x:.3f} ms<extra>%{fullData.name}</extra>",
            )
    if not figure.data:
        return
    figure.update_layout(xaxis_title="CPU ms per request", barmode="stack", height=140 + 40 * len(summaries))
    yield _finish(f"{profile}: who needs the CPU", "What one request costs, by container.", figure)


def _finish(title: str, reading: str, figure: go.Figure) -> Figure:
    figure.update_layout(
        template="none", margin={"l": 170, "r": 20, "t": 10, "b": 50}, legend={"orientation": "h", "y": 1.12}
    )
    return Figure(title, reading, escape_script_json(figure.to_json()))
