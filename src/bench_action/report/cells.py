"""What a report says of cells that were not compared, and of rules that a pull request changes."""

from collections.abc import Iterator

from bench_action.model.metric import METRICS
from bench_action.model.result import NotCompared, Result, RuleChange, Summary
from bench_action.model.wording import plural
from bench_action.report import numbers

_NEW = "new in this pull request: "
_MOST = 6


def rules_changed(result: Result) -> str:
    """What the pull request changes about its own judging, and what its own rules would say; empty for nothing."""
    if not result.rule_changes:
        return ""
    listed = [_change(one) for one in result.rule_changes[:_MOST]]
    if more := len(result.rule_changes) - len(listed):
        listed.append(f"and {plural(more, 'more change')}")
    text = f"This pull request changes how it is judged: {'; '.join(listed)}."
    if result.rules == "head":
        return f"{text} It was judged by its own rules."
    own = result.verdict_by_head_rules
    by_head = f" By its own rules the verdict would be `{own}`." if own is not None else ""
    return f"{text} It was judged by base's rules.{by_head}"


def uncompared(result: Result) -> tuple[str, ...]:
    """A sentence for each cell that was not compared: why, and head's own figures."""
    return tuple(_uncompared(result))


def logs(result: Result) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Last log lines of what failed → the cells which that concerns."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for one in result.not_compared:
        if one.log:
            found[one.log] = (*found.get(one.log, ()), one.cell)
    return found


def _uncompared(result: Result) -> Iterator[str]:
    summaries = {one.cell: one for one in result.summaries}
    missing = result.not_compared
    first = bool(missing) and not result.compared and all(one.status == "new" for one in missing)
    if first:
        for reason in dict.fromkeys(_reason(one) for one in missing):
            why = f"{_capital(reason)}, so this pull request is the first measurement."
            yield f"{why} The next one will be compared with it."
    headlined = "" if result.compared else next((one.reason for one in missing if one.status != "new"), "")
    for one in missing:
        figures = _figures(summaries.get(one.cell))
        if first:
            yield f"`{one.cell}`: {figures or 'not measured'}."
        elif one.status == "new":
            yield f"`{one.cell}` is new in this pull request{f': {figures}' if figures else ''} ({_reason(one)})."
        elif one.reason == headlined:
            yield f"`{one.cell}` alone: {figures}." if figures else f"`{one.cell}` was not measured."
        else:
            alone = f" Head alone: {figures}." if figures else ""
            yield f"`{one.cell}` was not compared: {_reason(one)}.{alone}"


def _figures(summary: Summary | None) -> str:
    """`412 requests/s, p50 9.1 ms, 3 queries and 1 cache command per request`."""
    if summary is None:
        return ""
    metrics = summary.metrics
    parts = []
    if speed := metrics.get("requests_per_second"):
        parts.append(f"{numbers.count(speed.mean)} requests/s")
    if latency := metrics.get("latency_p50_us"):
        parts.append(f"p50 {numbers.latency(latency.median)}")
    work = [
        f"{numbers.plain(found.median)} {_noun(name, found.median)}"
        for name in ("queries_per_request", "cache_commands_per_request")
        if (found := metrics.get(name)) and found.median
    ]
    if work:
        parts.append(f"{' and '.join(work)} per request")
    return ", ".join(parts)


def _noun(metric: str, count: float) -> str:
    plural_noun = METRICS[metric].title.removesuffix("/request")
    return {"queries": "query"}.get(plural_noun, plural_noun.removesuffix("s")) if count == 1 else plural_noun


def _change(one: RuleChange) -> str:
    if not one.before:
        return f"{one.what} added ({one.after})"
    if not one.after:
        return f"{one.what} removed (it was {one.before})"
    return f"{one.what} {one.before} → {one.after}"


def _reason(one: NotCompared) -> str:
    return one.reason.removeprefix(_NEW).rstrip(".")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
