"""Say what could not be compared or decided, why, and what would help."""

import math
from collections.abc import Iterator, Sequence
from statistics import median

from bench_action.compare.comparison import is_unconfirmed
from bench_action.compare.evidence import FAULTS
from bench_action.config.gates import ALONE, AT_RATE, OBJECTIVE, lacks_blocks
from bench_action.model.result import Comparison, Result
from bench_action.model.wording import format_change, percent, plural
from bench_action.report.change import (
    has_meaning,
    is_uncompared,
    list_comparisons,
    meaningful_detectable,
    relative_change,
)
from bench_action.report.pace import Pace, measure_pace
from bench_action.report.sentences import format_interval, name_metric

_LONGEST_MIN = 30  # nobody waits longer for a pull request's check,
_MOST_MIN = 240  # but a run at night may take so long
_LONG_BLOCK_S = 15
_SMALLEST_GATE, _WIDEST_GATE = 0.02, 0.25
_AT_THE_GATE = 10_000  # blocks: the change is as large as the gate


def list_explanations(result: Result) -> tuple[str, ...]:
    """Explain what is missing or undecided. Empty for an invalid measurement."""
    return () if result.verdict == "invalid" else tuple(_explanations(result, list_comparisons(result)))


def _explanations(result: Result, comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield from _explain_uncompared(result, comparisons)
    pace = measure_pace(result)
    for c in comparisons:
        if c.gate is not None and c.verdict == "inconclusive" and not is_uncompared(c):
            yield explain_undecided(c, result, pace)
    if result.run.self_test:
        yield from _describe_self_test(comparisons)


def _explain_uncompared(result: Result, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Explain why metrics were not compared, and what to do about it: the one place where both are said.

    Cells of which nothing was compared are left out, because they have one reason for all of their metrics.
    """
    cells = {missing.cell for missing in result.not_compared}
    reasons: dict[tuple[str, str], list[Comparison]] = {}
    for c in comparisons:
        if is_uncompared(c) and c.whole_cell not in cells:
            reasons.setdefault((c.cell, c.reason or "no block of the pair counts"), []).append(c)
    for (cell, reason), metrics in reasons.items():
        *first, last = (name_metric(c) for c in metrics)
        names = f"{', '.join(first)} and {last}" if first else last
        verb = "was" if len(metrics) == 1 else "were"
        yield f"`{cell}`: {names} {verb} not compared: {reason}.{_advise_on_faults(metrics[0], result)}"


def explain_undecided(c: Comparison, result: Result, pace: Pace) -> str:
    """Explain why a comparison has no verdict, and what would decide it."""
    reason = f" ({c.reason})" if c.reason else ""
    size = ""
    if has_meaning(c):
        size = f": the change is {format_change(relative_change(c))}, 99 % interval {format_interval(c)}"
    advice = f"{_advise_more(c, result, pace)}{_describe_restarts(c, result, pace)}{_advise_on_faults(c, result)}"
    return f"Not sure about {name_metric(c)} of `{c.cell}`{reason}{size}. {advice}"


def _advise_on_faults(c: Comparison, result: Result) -> str:
    """Give the advice of the warning that kept duets from comparing rates, if one did."""
    if c.metric != "requests_per_second" or not c.reason:
        return ""
    faults = [warning for warning in result.warnings if warning.cell == c.cell and warning.code in FAULTS]
    return f" {faults[0].advice}" if faults else ""


def _advise_more(c: Comparison, result: Result, pace: Pace) -> str:
    """Say what would decide it: more time if that is possible, else a gate that this much time can decide."""
    if c.blocks_wanted is not None and c.blocks_wanted >= _AT_THE_GATE:
        return "The change is as large as the gate, so no amount of time decides it: choose another gate."
    if lacks_blocks(c.metric, c.blocks):
        return "A longer limit (`--max-minutes`) leaves time for them."
    block_s = pace.find_block_s(c)
    enough = ""
    if c.blocks_wanted is not None and block_s and c.metric not in {*ALONE, *AT_RATE, *OBJECTIVE}:
        more_s = (c.blocks_wanted - c.blocks) * block_s * pace.cells
        minutes = math.ceil((result.timings.get("measure", 0.0) + more_s) / 60)
        enough = f"`--max-minutes {minutes}` would decide it." if minutes <= _MOST_MIN else ""
        if enough and minutes <= _LONGEST_MIN:
            return enough
    if is_unconfirmed(c):  # another gate would need it, too
        return "More blocks would tell whether it changes as well; if not, requests wait: compare at a fixed `rate`."
    if c.smallest_detectable is None or c.smallest_detectable > _WIDEST_GATE:
        return enough or "More blocks are needed, or a quieter machine."
    wide = math.ceil(100 * max(_SMALLEST_GATE, c.smallest_detectable, 1.5 * (c.gate or 0.0)))
    return f"{enough} A gate of {wide} % can be decided in the time of this run.".strip()


def _describe_restarts(c: Comparison, result: Result, pace: Pace) -> str:
    """Say what restarts and warm-ups cost, if they take most of each duet's time; else nothing."""
    block_s = pace.find_block_s(c)
    slices = [t.duration_s for t in result.trials if t.phase == "duet" and t.whole_cell == c.whole_cell]
    if c.method != "duet" or not block_s or not slices or block_s < max(_LONG_BLOCK_S, 3 * median(slices)):
        return ""
    measured = f"of which {median(slices):.0f} s are measured"
    return f" A block takes {block_s:.0f} s, {measured}: restarts and warm-ups take most of it."


def _describe_self_test(comparisons: Sequence[Comparison]) -> Iterator[str]:
    alarms = sum(c.verdict in {"regressed", "improved"} for c in comparisons)
    judged = sum(c.gate is not None and not is_uncompared(c) for c in comparisons)
    yield (
        "The same code was measured as base and as head: "
        f"{plural(alarms, 'false alarm')} in {plural(judged, 'comparison')}."
    )
    for c in comparisons:
        detectable = meaningful_detectable(c)
        if c.method in {"duet", "interleaved", "rate", "slo"} and c.gate is not None and detectable is not None:
            size = f"{percent(detectable)} in {name_metric(c)} of `{c.cell}`"
            yield f"On this machine, 95 of 100 such runs detect a loss of {size}."
