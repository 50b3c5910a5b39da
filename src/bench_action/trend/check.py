"""Describe change points in words. Pure."""

from collections.abc import Sequence

from bench_action.model.metric import METRICS
from bench_action.model.wording import percent, plural
from bench_action.report import numbers
from bench_action.trend.change_points import FALSE_ALARMS_ONCE_IN, ChangePoint

_SHA = 10


def summarize_check(new: Sequence[ChangePoint], series: int) -> str:
    """Summarize a whole check in one line: how many change points are new, in how many series."""
    if not new:
        return f"no new change point in {plural(series, 'series')}"
    worse = sum(point.direction == "worse" for point in new)
    return f"{plural(len(new), 'new change point')}: {worse} worse, {len(new) - worse} better"


def describe_change(point: ChangePoint, benchmark: str = "") -> str:
    """Describe what changed, by how much, since which commit, and whether the work per request changed too.

    `benchmark`: its name, if the history has several.
    """
    series = point.series
    what = METRICS[series.metric].title
    against = " against the control" if series.relative else ""
    place = f"{benchmark}, {series.cell}" if benchmark else series.cell
    runners = "; the runners changed at the same time and may be the cause" if point.new_machine else ""
    return (
        f"{place}: {what}{against} {_describe_size(point)}, {point.direction}, since {point.at[:10]} "
        f"({describe_commits(point)}); {_describe_work(point)}{runners}"
    )


def describe_commits(point: ChangePoint) -> str:
    """Name the commits between which the cause is: `1f2e3d4c5b..9a8b7c6d5e`, or the one commit of both runs."""
    before, after = point.last_before[:_SHA], point.first_after[:_SHA]
    return f"at {after}, which the previous run measured too" if before == after else f"{before}..{after}"


def describe_false_alarms(once_in: int = FALSE_ALARMS_ONCE_IN) -> str:
    """Describe how often an alarm is false."""
    return f"Steady noise raises a false alarm once in {once_in:,} records of a series."


def format_change(fraction: float) -> str:
    """0.052 → `+5.2 %`, −0.2 → `−20 %`."""
    return f"{'−' if fraction < 0 else '+'}{percent(abs(fraction))}"


def _describe_size(point: ChangePoint) -> str:
    if point.size is None:
        return f"from {numbers.count(point.before)} to {numbers.count(point.after)}"
    text = format_change(point.size)
    if point.interval is None:
        return text
    return f"{text} ({format_change(point.interval.low)} to {format_change(point.interval.high)})"


def _describe_work(point: ChangePoint) -> str:
    match point.work_changed:
        case True:
            return "the work per request changed too"
        case False:
            return "the work per request did not change"
        case _:
            return "the work per request was not counted"
