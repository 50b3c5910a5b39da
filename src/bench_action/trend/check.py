"""Describe change points in words. Pure."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

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
    return (
        f"{place}: {what}{against} {_describe_size(point)}, {point.direction}, {describe_start(point)}; "
        f"{'; '.join((_describe_work(point), *_list_other_causes(point)))}"
    )


def describe_start(point: ChangePoint) -> str:
    """Name the day, and the commits between which the cause is: "since 2026-11-23 (1f2e3d4c5b..9a8b7c6d5e)".

    If two runs measured one commit, it is that one; without git, there is only the day.
    """
    since = f"since {point.at[:10]}"
    before, after = point.last_before[:_SHA], point.first_after[:_SHA]
    if not before and not after:
        return since
    if before == after:
        return f"{since} (at {after}, which the previous run measured too)"
    return f"{since} ({before or 'unknown'}..{after or 'unknown'})"


def describe_false_alarms(once_in: int = FALSE_ALARMS_ONCE_IN) -> str:
    """Describe how often an alarm is false."""
    return f"Steady noise raises a false alarm once in {once_in:,} records of a series."


def format_change(fraction: float) -> str:
    """0.052 → `+5.2 %`, −0.2 → `−20 %`."""
    return f"{'−' if fraction < 0 else '+'}{percent(abs(fraction))}"


def _describe_size(point: ChangePoint) -> str:
    if point.size is None:
        return f"from {_format_level(point.before)} to {_format_level(point.after)}"
    text = format_change(point.size)
    if point.interval is None:
        return text
    return f"{text} ({format_change(point.interval.low)} to {format_change(point.interval.high)})"


def _list_other_causes(point: ChangePoint) -> Iterator[str]:
    """List what changed at the same time in addition to the code."""
    if point.new_machine:
        yield "the runners changed at the same time and may be the cause"
    if point.new_tool:
        yield "the version of bench-action changed at the same time and may be the cause"
    if point.control_changed:
        yield f"the control's own {METRICS[point.series.metric].title} changed with it, so the machine may be the cause"


def _format_level(value: float) -> str:
    """Format a level with at least two digits, as one error in a thousand requests is a change: 0.002 → `0.002`."""
    return numbers.count(value) if value == 0 or value >= 0.995 else f"{Decimal(f'{value:.2g}'):f}"


def _describe_work(point: ChangePoint) -> str:
    match point.work_changed:
        case True:
            return "the work per request changed too"
        case False:
            return "the work per request did not change"
        case _:
            return "the work per request was not counted"
