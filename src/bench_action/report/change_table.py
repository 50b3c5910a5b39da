"""Lay out base against head as a table."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench_action.compare.gating import is_large
from bench_action.compare.verdict import is_loss
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Result
from bench_action.model.wording import format_change, percent, sign
from bench_action.report import numbers
from bench_action.report.change import (
    has_meaning,
    is_uncompared,
    list_comparisons,
    meaningful_detectable,
    relative_change,
)
from bench_action.report.sentences import format_gate, format_interval, name_metric
from bench_action.report.table import Table

INTERVAL, DETECTABLE, VERDICT = "99 % interval", "Detectable change", "Verdict"
_HEADINGS = ("Metric", "Base", "Head", "Change", VERDICT, INTERVAL, DETECTABLE)
_NUMERIC = (False, True, True, True, False, True, True)
_MARKS = {"improved": "🟢", "unchanged": "🟢", "inconclusive": "⚪"}


def tabulate_changes(result: Result) -> Table:
    """Lay out every metric that has a gate or changed by an amount that matters."""
    comparisons = [c for c in list_comparisons(result) if c.relevant or (c.gate is not None and not _is_calm_route(c))]
    return tabulate_comparisons(comparisons, valid=result.verdict != "invalid")


def _is_calm_route(c: Comparison) -> bool:
    """Whether it is about one request of a mix in which nothing changed; all are in a separate table."""
    return bool(c.route) and c.verdict == "unchanged"


def tabulate_comparisons(comparisons: Sequence[Comparison], *, valid: bool = True) -> Table:
    """Lay out a row for each comparison below a heading for each cell, in the order given.

    `valid`: whether the measurement is; if not, none of its figures supports a verdict.
    """
    return Table(_HEADINGS, _NUMERIC, tuple(_rows(comparisons, valid=valid)))


def shorten_verdicts(table: Table) -> Table:
    """Return the table without gates, for a place that has no room for them."""
    at = table.headings.index(VERDICT)
    rows = (
        row if len(row) == 1 else (*row[:at], row[at].partition(" (")[0].replace(" ", "\u00a0"), *row[at + 1 :])
        for row in table.rows
    )
    return replace(table, rows=tuple(rows))


def _rows(comparisons: Sequence[Comparison], *, valid: bool) -> Iterator[tuple[str, ...]]:
    last = ""
    for c in sorted(comparisons, key=lambda c: (c.variant, c.profile)):
        if c.cell != last:
            yield (c.cell,)
            last = c.cell
        verdict = _describe_verdict(c) if valid else "⚪ invalid"
        base, head, change, interval, detectable = _format_values(c)
        yield (name_metric(c), base, head, change, verdict, interval, detectable)


def _format_values(c: Comparison) -> tuple[str, str, str, str, str]:
    """Format base, head, the change, its interval and the detectable change."""
    unit = METRICS[c.metric].unit
    base, head = numbers.metric_value(c.base_value, unit), numbers.metric_value(c.head_value, unit)
    if c.method == "count":
        base, head = numbers.plain(c.base_value), numbers.plain(c.head_value)
        change = "varies" if c.difference else "same"
        if c.significant:
            change = f"{sign(c.difference)}{numbers.plain(abs(c.difference))}"
        if c.exact:
            return base, head, change, "exact", "any"
        return base, head, change, format_interval(c), percent(c.smallest_detectable)
    if is_uncompared(c) or not has_meaning(c):
        known = (base, head) if c.base_value else (numbers.NONE, numbers.NONE)
        return (*known, numbers.NONE, numbers.NONE, numbers.NONE)
    change = format_change(relative_change(c))
    return base, head, change, format_interval(c), percent(meaningful_detectable(c))


def _describe_verdict(c: Comparison) -> str:
    """Say what a row comes to."""
    gate = format_gate(c)
    if is_uncompared(c):
        return "⚪ not compared"
    if c.gate is None:
        return "🟡 no gate" if is_loss(c) else "no gate"
    if c.verdict == "measured":
        if is_loss(c):
            return f"🟡 within the gate ({gate})"
        large = not c.relevant and is_large(c.metric, math.log(c.ratio or 1.0), c.difference)
        return "⚪ not certain" if large else "🟢 too small to matter"
    if c.verdict == "regressed":
        return f"🔴 regressed (gate {gate})" if c.level == "fail" else f"🟡 worse (warns at {gate})"
    return f"{_MARKS[c.verdict]} {c.verdict}" + (f" (gate {gate})" if c.verdict == "inconclusive" else "")
