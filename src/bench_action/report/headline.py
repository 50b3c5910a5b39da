"""Choose the one line that everybody reads, by what changed and not by which gates fail."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.model.result import Comparison, Result
from bench_action.model.wording import plural
from bench_action.report import change, numbers, tables

BAD, NOTABLE, GOOD, OPEN, FIRST = "🔴", "🟡", "🟢", "⚪", "👋"


@dataclass(frozen=True, slots=True)
class Headline:
    """`mark`: one sign, empty for a run that compares nothing with a base; `text` without it."""

    mark: str
    text: str


def headline(result: Result) -> Headline:
    """Choose the headline: green only when everything was measured and nothing that matters got worse."""
    found = change.compared(result)
    if result.verdict == "invalid":
        return Headline(OPEN, "no verdict, the measurement is invalid")
    if failed := [one.variant for one in result.subjects if one.failure and one.revision == "head"]:
        return Headline(BAD, f"{', '.join(f'`{name}`' for name in failed)} failed its checks and was not measured")
    if result.verdict == "regressed":
        return Headline(BAD, _regressed(result, found))
    if result.not_compared and not result.compared:
        return _nothing_compared(result)
    if not found:
        return Headline("", _alone(result))
    return _judged(result, found)


def _regressed(result: Result, found: Sequence[Comparison]) -> str:
    worse = [one for one in found if one.verdict == "regressed" and one.level == "fail"]
    if not worse:
        failing = [f"{finding.cell}: {finding.message}" for finding in result.findings if finding.fails]
        return failing[0] if failing else "something got worse that a gate forbids"
    more = len({(one.variant, one.profile) for one in worse}) - 1
    others = f", and {plural(more, 'other cell')} got worse too" if more else ""
    return change.loss(worse[0]) + change.because(worse) + others


def _nothing_compared(result: Result) -> Headline:
    missing = result.not_compared
    if all(one.status == "new" for one in missing):
        return Headline(FIRST, "nothing to compare yet")
    first = next(one for one in missing if one.status != "new")
    return Headline(OPEN, f"nothing was compared: {first.reason}")


def _judged(result: Result, found: Sequence[Comparison]) -> Headline:
    if result.run.self_test and any(one.gate is not None and not change.is_uncompared(one) for one in _noisy(found)):
        return Headline(GOOD, f"this machine's measurements are reliable ({_detectable(found)})")
    if losses := change.losses(result):
        return Headline(NOTABLE, _notable(losses[0]))
    if undecided := [one for one in found if one.gate is not None and one.verdict == "inconclusive"]:
        return Headline(OPEN, _undecided(undecided[0]))
    lacking = sum(1 for one in result.not_compared if one.status != "new")
    where = f" in {len(result.compared)} of {len(result.compared) + lacking} cells" if lacking else ""
    text = f"no change detected{where} ({_detectable(found)})"
    if better := [one for one in found if one.verdict == "improved"]:
        text = change.gain(better[0]) + (f"; compared{where}" if where else "")
    elif all(one.gate is None for one in found):
        text = f"no change detected{where}; no gate applies"
    return Headline(OPEN if lacking else GOOD, text)


def _noisy(found: Sequence[Comparison]) -> list[Comparison]:
    return [one for one in found if one.method != "count"]


def _undecided(c: Comparison) -> str:
    if change.is_uncompared(c):
        return f"no verdict: {change.metric_of(c)} of {change.cell_of(c)} was not compared"
    return f"not sure about {change.metric_of(c)} of {change.cell_of(c)}"


def _notable(c: Comparison) -> str:
    """A loss that fails no gate, and why it does not."""
    text = change.loss(c)
    if c.gate is None or c.verdict == "regressed":
        return f"{text}; no gate forbids it"
    if c.verdict == "inconclusive":
        return f"{text}; not sure whether that is within the gate of {numbers.limit(c.gate)}"
    return f"{text}, within the gate of {numbers.limit(c.gate)}"


def _detectable(found: Sequence[Comparison]) -> str:
    """`detectable: 1.6 %`: the least sharp of all cells, by requests/s, or by CPU/request if that stands in for it."""
    rates, costs = (
        {(c.variant, c.profile): c.smallest_detectable for c in found if c.metric == metric and c.gate is not None}
        for metric in ("requests_per_second", "cpu_ms_per_request")
    )
    sizes = [rates.get(cell) or costs.get(cell) for cell in dict.fromkeys((*rates, *costs))]
    known = [size for size in sizes if size is not None]
    if not known:
        return "the work per request is the same"
    return f"detectable: {numbers.percent(max(known))}" if max(known) <= 1 else "more blocks are needed to detect one"


def _alone(result: Result) -> str:
    if ahead := [tables.ahead(c) for c in result.comparisons if c.metric == "requests_per_second"]:
        return "; ".join(dict.fromkeys(ahead[:2]))
    if not result.summaries:
        return "nothing was measured"
    return ", ".join(f"{tables.subject(s)} {tables.speed(s)} requests/s" for s in result.summaries)
