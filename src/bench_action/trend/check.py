"""What a check of the trend says of each change point. Pure."""

from collections.abc import Sequence

from bench_action.model.metric import METRICS
from bench_action.model.wording import percent, plural
from bench_action.report import numbers
from bench_action.trend.change_points import FALSE_ALARMS_ONCE_IN, ChangePoint

_SHA = 10


def headline(new: Sequence[ChangePoint], series: int) -> str:
    """One line for the whole check: how much is new, of how many series."""
    if not new:
        return f"no new change point in {plural(series, 'series')}".replace("seriess", "series")
    worse = sum(point.direction == "worse" for point in new)
    return f"{plural(len(new), 'new change point')}: {worse} worse, {len(new) - worse} better"


def sentence(point: ChangePoint, benchmark: str = "") -> str:
    """What changed, by how much, since which commit, and whether each request's work changed with it.

    `benchmark`: its name, where a history has several.
    """
    series = point.series
    what = METRICS[series.metric].title
    against = " against the control" if series.relative else ""
    place = f"{benchmark}, {series.cell}" if benchmark else series.cell
    return (
        f"{place}: {what}{against} {_size(point)}, {point.direction}, since {point.at[:10]} "
        f"({commits(point)}); {_work(point)}{_machine(point)}"
    )


def commits(point: ChangePoint) -> str:
    """`1f2e3d4c5b..9a8b7c6d5e`, or the one commit where both runs measured the same."""
    before, after = point.last_before[:_SHA], point.first_after[:_SHA]
    return f"at {after}, which was measured before it too" if before == after else f"{before}..{after}"


def assurance(once_in: int = FALSE_ALARMS_ONCE_IN) -> str:
    """What the alarms are worth."""
    return f"Steady noise raises a false alarm once in {once_in:,} records of a series."


def _size(point: ChangePoint) -> str:
    if point.size is None:
        return f"from {numbers.count(point.before)} to {numbers.count(point.after)}"
    text = signed(point.size)
    if point.interval is None:
        return text
    return f"{text} ({signed(point.interval.low)} to {signed(point.interval.high)})"


def signed(fraction: float) -> str:
    """0.052 → `+5.2 %`, −0.2 → `−20 %`."""
    return f"{'−' if fraction < 0 else '+'}{percent(abs(fraction))}"


def _work(point: ChangePoint) -> str:
    match point.work_changed:
        case True:
            return "the work of a request changed with it"
        case False:
            return "the work of a request did not change"
        case _:
            return "the work of a request was not counted"


def _machine(point: ChangePoint) -> str:
    if not point.new_machine:
        return ""
    return "; the runners changed at the same time, so it may be theirs"
