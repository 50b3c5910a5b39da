"""Choose the one line that everybody reads, by what changed and not by which gates fail."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.config.gates import AT_RATE, OBJECTIVE
from bench_action.model.result import Comparison, Result
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import percent, plural
from bench_action.report.capacity import describe_best
from bench_action.report.change import fails_gate, is_uncompared, list_allowed_losses, list_comparisons
from bench_action.report.sentences import add_reason, describe_gain, describe_loss, format_gate, name_metric
from bench_action.report.tables import describe_lead, format_speed, name_subject

_MOST_SHARDS = 3
BAD, NOTABLE, GOOD, OPEN, FIRST = "🔴", "🟡", "🟢", "⚪", "👋"


@dataclass(frozen=True, slots=True)
class Headline:
    """`mark`: one sign, empty for a run that compares nothing with a base; `text` without it."""

    mark: str
    text: str


def choose_headline(result: Result) -> Headline:
    """Choose the headline: green only when everything was measured and nothing that matters got worse."""
    missing = [warning for warning in result.warnings if warning.code in {Code.SHARD_MISSING, Code.FEWER_RUNNERS}]
    return _name_missing_shards(result, missing) if missing else _choose(result)


def _choose(result: Result) -> Headline:
    comparisons = list_comparisons(result)
    if result.verdict == "invalid":
        return Headline(OPEN, "no verdict, the measurement is invalid")
    if failed := [subject.variant for subject in result.subjects if subject.failure and subject.revision == "head"]:
        names = ", ".join(f"`{name}`" for name in failed)
        what = "failed its checks and was" if len(failed) == 1 else "failed their checks and were"
        return Headline(BAD, f"{names} {what} not measured")
    if result.verdict == "regressed":
        return Headline(BAD, _describe_regression(result, comparisons))
    if result.not_compared and not result.compared:
        return _explain_nothing_compared(result)
    if not comparisons:
        return Headline("", _describe_variants(result))
    return _judge(result, comparisons)


def _name_missing_shards(result: Result, missing: Sequence[RunWarning]) -> Headline:
    """Name the shards without a result; what the others have found stands, if it is a loss or all of it."""
    names = ", ".join(warning.message.partition(":")[0] for warning in missing[:_MOST_SHARDS])
    names += f", and {len(missing) - _MOST_SHARDS} more" if len(missing) > _MOST_SHARDS else ""
    whole = all(warning.code is Code.FEWER_RUNNERS for warning in missing)
    if whole or result.verdict == "regressed":
        found = _choose(result)
        return Headline(found.mark if whole else BAD, f"{names}; {found.text}")
    return Headline(OPEN, f"no verdict: {names}")


def _describe_regression(result: Result, comparisons: Sequence[Comparison]) -> str:
    losses = [c for c in comparisons if fails_gate(c)]
    if not losses:
        failing = [f"{finding.cell}: {finding.message}" for finding in result.findings if finding.fails]
        return failing[0] if failing else "something got worse that a gate forbids"
    more = len({c.whole_cell for c in losses}) - 1  # a mix and its requests are one
    others = f", and {plural(more, 'other cell')} got worse too" if more else ""
    return describe_loss(losses[0]) + add_reason(losses) + others


def _explain_nothing_compared(result: Result) -> Headline:
    missing = [cell for cell in result.not_compared if cell.status != "new"]
    if not missing:
        return Headline(FIRST, "nothing to compare yet")
    return Headline(OPEN, f"nothing was compared: {missing[0].reason}")


def _judge(result: Result, comparisons: Sequence[Comparison]) -> Headline:
    judged = [c for c in comparisons if c.method != "count" and c.gate is not None and not is_uncompared(c)]
    if result.run.self_test and judged:
        return _describe_self_test(comparisons)
    if losses := list_allowed_losses(result):
        return Headline(NOTABLE, _describe_allowed_loss(losses[0]))
    if undecided := [c for c in comparisons if c.gate is not None and c.verdict == "inconclusive"]:
        return Headline(OPEN, _describe_undecided(undecided[0]))
    lacking = sum(cell.status != "new" for cell in result.not_compared)
    where = f" in {len(result.compared)} of {len(result.compared) + lacking} cells" if lacking else ""
    text = f"no change{_name_stand_in(comparisons)} detected{where} ({_describe_detectable(comparisons)})"
    if better := [c for c in comparisons if c.verdict == "improved"]:
        text = describe_gain(better[0]) + (f"; compared{where}" if where else "")
    elif all(c.gate is None for c in comparisons):
        text = f"no change detected{where}; no gate applies"
    return Headline(OPEN if lacking else GOOD, text)


def _describe_self_test(comparisons: Sequence[Comparison]) -> Headline:
    """Say what a run of identical code, which found no difference, shows of the machine."""
    largest = _find_detectable(comparisons)
    if largest is None or largest > 1:
        return Headline(OPEN, "no false difference was found, but more blocks are needed to say how small one may be")
    return Headline(GOOD, f"this machine's measurements are reliable ({_describe_detectable(comparisons)})")


def _name_stand_in(comparisons: Sequence[Comparison]) -> str:
    """Name the metric that is judged in the place of requests/s, if its rates could not be compared."""
    rates = [c for c in comparisons if c.metric == "requests_per_second" and c.gate is not None]
    return " of CPU/request" if rates and all(c.verdict == "measured" and c.reason for c in rates) else ""


def _describe_undecided(c: Comparison) -> str:
    if is_uncompared(c):
        return f"no verdict: {name_metric(c)} of `{c.cell}` was not compared"
    return f"not sure about {name_metric(c)} of `{c.cell}`"


def _describe_allowed_loss(c: Comparison) -> str:
    """Describe a loss that fails no gate, and why it does not."""
    text = describe_loss(c)
    if c.gate is None or c.verdict == "regressed":
        return f"{text}; no gate forbids it"
    if c.verdict == "inconclusive":
        return f"{text}; not sure whether that is within the gate of {format_gate(c)}"
    return f"{text}, within the gate of {format_gate(c)}"


def _describe_detectable(comparisons: Sequence[Comparison]) -> str:
    """Give the detectable change of the least precise cell; of work that was only counted, what is known."""
    largest = _find_detectable(comparisons)
    if largest is None:
        counts = [c for c in comparisons if c.method == "count"]
        same = bool(counts) and all(c.exact and not c.difference for c in counts)
        return "the work per request is the same" if same else "no gate is broken"
    return f"detectable: {percent(largest)}" if largest <= 1 else "more blocks are needed to detect one"


def _find_detectable(comparisons: Sequence[Comparison]) -> float | None:
    """Find that of requests/s, or of CPU/request in its place, else of latencies at a fixed rate; None if unknown."""
    sizes = {
        metric: {c.cell: c.smallest_detectable for c in comparisons if c.metric == metric and c.gate is not None}
        for metric in ("requests_per_second", "cpu_ms_per_request", *AT_RATE, *OBJECTIVE)
    }
    rates, costs, *others = sizes.values()
    found = [rates.get(cell) or costs.get(cell) for cell in dict.fromkeys((*rates, *costs))]
    found += [size for other in others for cell, size in other.items() if cell not in rates.keys() | costs.keys()]
    return max((size for size in found if size is not None), default=None)


def _describe_variants(result: Result) -> str:
    """Describe a run without a base: how much each serves at most, who is ahead, or how fast each variant is."""
    if best := describe_best(result):
        return "; ".join(best)
    if leads := [describe_lead(c) for c in result.comparisons if c.metric == "requests_per_second"]:
        return "; ".join(dict.fromkeys(leads[:2]))
    if not result.summaries:
        return "nothing was measured"
    several = len(result.profiles) > 1
    return ", ".join(
        f"{name_subject(s)} {format_speed(s)} requests/s{f' on {s.profile}' if several else ''}"
        for s in result.summaries
    )
