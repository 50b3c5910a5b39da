"""Describe the cells that were not compared, and the rules that a pull request changes."""

from collections.abc import Iterator, Mapping

from bench_action.model.metric import METRICS
from bench_action.model.result import NotCompared, Result, RuleChange, Summary
from bench_action.model.wording import plural
from bench_action.report import numbers
from bench_action.report.headline import choose_headline
from bench_action.report.sentences import capitalise, changes_data

_NEW = "new in this pull request: "
_MOST = 6


def describe_rule_changes(result: Result) -> str:
    """Describe the rules that the pull request changes, and the verdict that they would give; empty for no change."""
    if not result.rule_changes:
        return ""
    changes = [_describe_change(change) for change in result.rule_changes[:_MOST]]
    if more := len(result.rule_changes) - len(changes):
        changes.append(f"and {plural(more, 'more change')}")
    text = f"This pull request changes how it is judged: {'; '.join(changes)}."
    if result.rules == "head":
        return f"{text} It was judged by its own rules."
    own = result.verdict_by_head_rules
    by_head = f" By its own rules the verdict would be `{own}`." if own is not None else ""
    own_checks = any(c.what.startswith("check ") and c.before and c.after for c in result.rule_changes)
    exempt = [*(["the checks that it changes"] if own_checks else []), *(["its data"] if changes_data(result) else [])]
    except_these = f", except for {' and '.join(exempt)}" if exempt else ""
    return f"{text} It was judged by base's rules{except_these}.{by_head}"


def _describe_change(change: RuleChange) -> str:
    if not change.before:
        return f"{change.what} added ({change.after})"
    if not change.after:
        return f"{change.what} removed (it was {change.before})"
    return f"{change.what} {change.before} → {change.after}"


def describe_uncompared(result: Result) -> tuple[str, ...]:
    """Give a sentence for each cell that was not compared: why, and head's own figures."""
    missing = result.not_compared
    summaries = {summary.cell: summary for summary in result.summaries}
    if missing and not result.compared and all(cell.status == "new" for cell in missing):
        return tuple(_describe_first(missing, summaries))
    headline = choose_headline(result).text
    return tuple(_describe_missing(cell, summaries.get(cell.cell), headline) for cell in missing)


def _describe_first(missing: tuple[NotCompared, ...], summaries: Mapping[str, Summary]) -> Iterator[str]:
    """Describe a run of which base has no cell: the reasons first, then head's figures."""
    for reason in dict.fromkeys(_reason(cell) for cell in missing):
        yield (
            f"{capitalise(reason)}, so this pull request is the first measurement. "
            "The next one will be compared with it."
        )
    for cell in missing:
        yield f"`{cell.cell}`: {_describe_figures(summaries.get(cell.cell)) or 'not measured'}."


def _describe_missing(cell: NotCompared, summary: Summary | None, headline: str) -> str:
    """Describe one cell. `headline`: what the headline says, which may be the reason."""
    figures = _describe_figures(summary)
    if cell.status == "new":
        return f"`{cell.cell}` is new in this pull request{f': {figures}' if figures else ''} ({_reason(cell)})."
    if cell.reason and headline.endswith(cell.reason):
        return f"`{cell.cell}` alone: {figures}." if figures else f"`{cell.cell}` was not measured."
    alone = f" Head alone: {figures}." if figures else ""
    return f"`{cell.cell}` was not compared: {_reason(cell)}.{alone}"


def collect_logs(result: Result) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Map the last log lines of each failure to the cells that it concerns."""
    logs: dict[tuple[str, ...], tuple[str, ...]] = {}
    for cell in result.not_compared:
        if cell.log:
            logs[cell.log] = (*logs.get(cell.log, ()), cell.cell)
    return logs


def _describe_figures(summary: Summary | None) -> str:
    """Describe a cell's figures: `412 requests/s, p50 9.1 ms, 3 queries and 1 cache command per request`."""
    if summary is None:
        return ""
    metrics = summary.metrics
    parts = []
    if speed := metrics.get("requests_per_second"):
        parts.append(f"{numbers.count(speed.mean)} requests/s")
    if latency := metrics.get("latency_p50_us"):
        parts.append(f"p50 {numbers.latency(latency.median)}")
    work = [
        f"{numbers.plain(estimate.median)} {_name_work(name, estimate.median)}"
        for name in ("queries_per_request", "cache_commands_per_request")
        if (estimate := metrics.get(name)) and estimate.median
    ]
    if work:
        parts.append(f"{' and '.join(work)} per request")
    return ", ".join(parts)


def _name_work(metric: str, count: float) -> str:
    nouns = METRICS[metric].title.removesuffix("/request")
    return {"queries": "query"}.get(nouns, nouns.removesuffix("s")) if count == 1 else nouns


def _reason(cell: NotCompared) -> str:
    return cell.reason.removeprefix(_NEW).rstrip(".")
