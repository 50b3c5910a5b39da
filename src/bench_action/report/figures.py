"""The figures of `report.html`: what plotly draws, as JSON that its bundled script reads."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from bench_action.compare.evidence import build_evidence, pair_blocks
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Result
from bench_action.report import change, tables
from bench_action.report.templating import escape_script_json

# Okabe and Ito's colours: told apart by people with any common colour blindness; those of lines and bars are the page's
_COLOURS = {
    "regressed": "#d55e00",
    "improved": "#009e73",
    "unchanged": "#0072b2",
    "inconclusive": "#999999",
    "measured": "#999999",
    "invalid": "#999999",
}
_PARTS = (
    ("cpu_ms_per_request", "application"),
    ("db_cpu_ms_per_request", "database"),
    ("cache_cpu_ms_per_request", "cache"),
)
_PERCENTILES = ("p50", "p90", "p99", "p999")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One figure: `title`, a sentence on how to read it, and the figure itself as plotly's JSON."""

    title: str
    reading: str
    json: str


def figures_of(result: Result) -> tuple[Drawn, ...]:
    """Those that this result has data for, in the order in which one reads them."""
    return tuple(_figures(result))


def _figures(result: Result) -> Iterator[Drawn]:
    valid = change.compared(result) if result.verdict != "invalid" else []
    for variant, profile in dict.fromkeys((c.variant, c.profile) for c in valid):
        own = [c for c in valid if (c.variant, c.profile) == (variant, profile)]
        yield from _intervals(f"{variant} · {profile}", own)
    for pair in dict.fromkeys(trial.pair for trial in result.trials if trial.pair):
        yield from _blocks(result, pair)
    for profile in (one.name for one in result.profiles):
        yield from _latency(result, profile)
        yield from _cpu(result, profile)


def _intervals(cell: str, own: Sequence[Comparison]) -> Iterator[Drawn]:
    judged = [c for c in own if change.has_meaning(c) and not change.is_uncompared(c)]
    shown = [c for c in judged if c.ci_low is not None and c.ci_high is not None and c.method != "count"][::-1]
    if not shown:
        return
    sizes = [100 * ((c.ratio or 1.0) - 1) for c in shown]
    figure = go.Figure(
        go.Scatter(
            x=sizes,
            y=[METRICS[c.metric].title for c in shown],
            mode="markers",
            marker={"size": 11, "color": [_COLOURS[c.verdict] for c in shown]},
            error_x={
                "type": "data",
                "symmetric": False,
                "thickness": 2,
                "color": "#57606a",
                "array": [100 * ((c.ci_high or 1.0) - 1) - size for c, size in zip(shown, sizes, strict=True)],
                "arrayminus": [size - 100 * ((c.ci_low or 1.0) - 1) for c, size in zip(shown, sizes, strict=True)],
            },
            customdata=[[c.verdict, c.blocks] for c in shown],
            hovertemplate="%{y}: %{x:.2f} %<br>%{customdata[0]}, %{customdata[1]} blocks<extra></extra>",
        )
    )
    figure.add_vline(x=0, line_color="#57606a", line_dash="dot")
    figure.update_layout(xaxis_title="change of head against base, %", height=120 + 34 * len(shown))
    reading = "A line that crosses 0 is no sure change. More requests/s is better; of everything else, less is."
    yield _drawn(f"{cell}: change, with 99 % intervals", reading, figure)


def _blocks(result: Result, pair: str) -> Iterator[Drawn]:
    blocks = pair_blocks(result.trials, pair, "duet") or pair_blocks(result.trials, pair, "interleaved")
    figure = go.Figure()
    for metric in ("requests_per_second", "cpu_ms_per_request"):
        found = build_evidence(blocks, metric)
        if found is not None:
            sign = -1 if METRICS[metric].better == "higher" else 1
            figure.add_scatter(
                x=[one.number for one in blocks],
                y=[100 * math.expm1(sign * loss) for loss in found.losses],
                mode="lines+markers",
                name=METRICS[metric].title,
                line={"width": 1},
                marker={"size": 7},
                hovertemplate="block %{x}: %{y:.2f} %<extra></extra>",
            )
    if not figure.data:
        return
    figure.add_hline(y=0, line_color="#57606a", line_dash="dot")
    figure.update_layout(xaxis_title="block", yaxis_title="head against base, %", height=340)
    reading = "Each point is one restart of both. Points should scatter about one level, without a trend."
    yield _drawn(f"{pair}: block by block", reading, figure)


def _latency(result: Result, profile: str) -> Iterator[Drawn]:
    figure = go.Figure()
    for summary in (one for one in result.summaries if one.profile == profile):
        values = [summary.metrics.get(f"latency_{p}_us") for p in _PERCENTILES]
        if any(values):
            figure.add_bar(
                x=["p50", "p90", "p99", "p99.9"],
                y=[one.median / 1000 if one else None for one in values],
                name=tables.subject(summary),
                hovertemplate="%{x}: %{y:.1f} ms<extra>%{fullData.name}</extra>",
            )
    if not figure.data:
        return
    figure.update_layout(yaxis_title="ms", yaxis_type="log", height=340, barmode="group")
    reading = "At full load, each subject alone: p99 is the time within which 99 of 100 replies came. Logarithmic."
    yield _drawn(f"{profile}: latency", reading, figure)


def _cpu(result: Result, profile: str) -> Iterator[Drawn]:
    own = [one for one in result.summaries if one.profile == profile]
    figure = go.Figure()
    for metric, part in _PARTS:
        values = [one.metrics.get(metric) for one in own]
        if any(values):
            figure.add_bar(
                y=[tables.subject(one) for one in own],
                x=[one.median if one else None for one in values],
                name=part,
                orientation="h",
                hovertemplate="%{x:.3f} ms<extra>%{fullData.name}</extra>",
            )
    if not figure.data:
        return
    figure.update_layout(xaxis_title="CPU ms for each request", barmode="stack", height=140 + 40 * len(own))
    yield _drawn(f"{profile}: who needs the CPU", "What one request costs, by container.", figure)


def _drawn(title: str, reading: str, figure: go.Figure) -> Drawn:
    figure.update_layout(
        template="none", margin={"l": 170, "r": 20, "t": 10, "b": 50}, legend={"orientation": "h", "y": 1.12}
    )
    return Drawn(title, reading, escape_script_json(figure.to_json()))

