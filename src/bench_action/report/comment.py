"""The pull-request comment: what to know in two lines, why below, everything else folded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench_action.compare.verdict import is_loss
from bench_action.model.result import Comparison, Result
from bench_action.model.wording import plural
from bench_action.report import change
from bench_action.report.change import compared
from bench_action.report.table import Table
from bench_action.report.templating import escape_text, fenced, markdown_environment, markdown_table
from bench_action.report.view import Chart, Concern, View, make_view

# of 65,536 characters: room for what github/comments.py adds (marker, origin, whose comment it replaces) and for GitHub
LONGEST = 64_000
_INSTALL = "pipx install git+https://github.com/org/bench-action@v1"
_MOST_BARS = 24
_SENTENCES = 6
_WARNED = 3  # of one kind, before the rest is counted only


@dataclass(frozen=True, slots=True)
class Links:
    """What a comment points to. `run_url`: the job's page, with log and artifacts; `foreign`: a fork's job measured."""

    run_url: str = ""
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """What is folded, unless `unfolded`: a title, and markdown that has been escaped."""

    title: str
    body: str
    unfolded: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Warnings of one kind in one line."""

    grave: bool
    told: str
    advice: str


def render_comment(result: Result, links: Links, *, longest: int = LONGEST) -> str:
    """Markdown of at most `longest` characters: what does not fit is left out whole, the least telling first."""
    view = make_view(result)
    sections = _sections(result, view)
    for kept in range(len(sections), 0, -1):
        text = _render(result, view, links, _that_matter(result), sections[:kept])
        if len(text) <= longest:
            return text
    for table in (_only(result, {"regressed"}), None):
        text = _render(result, view, links, table, sections[:1])
        if len(text) <= longest:
            return text
    short = replace(view, findings=(), statements=(), concerns=view.concerns[:3])
    return _render(result, short, links, None, ())[:longest]


def render_failure(what: str, details: str, links: Links) -> str:
    """Markdown for a run that ended before there was a result; `details`: the whole message, log lines included."""
    page = markdown_environment().get_template("failure.md.j2")
    return _tidy(page.render(what=what, details=[details[:20_000]], footer=_footer(links, "")))


def _render(result: Result, view: View, links: Links, changes: Table | None, sections: Sequence[Section]) -> str:
    base = result.source.base_sha[:7]
    return _tidy(
        markdown_environment()
        .get_template("comment.md.j2")
        .render(
            view=view,
            confidence=_confidence(result),
            causes=_listed(change.causes(result)),
            sentences=_listed(change.explanations(result)),
            concerns=[*map(_told, view.concerns)],
            uncompared=_listed(view.uncompared),
            scope=_scope(result),
            changes=changes,
            findings=_statements(result),
            next=_next(result),
            sections=sections,
            footer=_footer(links, f"base {base}" if base else ""),
        )
    )


def _told(concern: Concern) -> Told:
    """The first few warnings of a kind; the others are in the report."""
    warnings = concern.warnings
    told = [f"{one.cell}: {one.message}" if one.cell else one.message for one in warnings[:_WARNED]]
    more = len(warnings) - len(told)
    return Told(concern.grave, "; ".join(told) + (f"; and {more} more." if more else "."), concern.advice)


def _confidence(result: Result) -> str:
    """How sure the headline's loss is; the table has the others. Empty for what was counted."""
    first = next(iter(change.worse(result)), None)
    return change.confidence(first, result) if first is not None and first.method != "count" else ""


def _listed(sentences: Sequence[str]) -> list[str]:
    """The first few; the others are in the report."""
    if (more := len(sentences) - _SENTENCES) > 0:
        return [*sentences[:_SENTENCES], f"{more} more like these are in the report."]
    return list(sentences)


def _statements(result: Result) -> list[str]:
    """Statements that are new or more frequent; counts of work are in the table, and in a sentence."""
    if result.verdict == "invalid":
        return []
    worse = any(c.verdict == "regressed" for c in compared(result))
    found = [one for one in result.findings if one.code == "statement" or not worse]
    return [f"{one.cell}: {one.message}" for one in found[:_SENTENCES]]


def _scope(result: Result) -> str:
    """What was looked at: for a reader of good news, who sees no table."""
    found = compared(result)
    nothing = bool(result.not_compared) and not result.compared
    if not found or nothing or result.verdict == "invalid":
        return ""
    variants, profiles = {c.variant for c in found}, {c.profile for c in found}
    counts = f"{plural(len(variants), 'variant')} × {plural(len(profiles), 'profile')}"
    work = [c for c in found if c.method == "count"]
    same = " Work per request is identical." if work and all(c.exact and not c.difference for c in work) else ""
    base = f" `{result.source.base_sha[:7]}`" if result.source.base_sha else ""
    return f"{counts}, each paired with base{base} on this runner.{same}"


def _that_matter(result: Result) -> Table:
    """Rows that somebody decides by: whatever moved, and each cell's throughput with it; none if it is invalid."""
    if result.verdict == "invalid":
        return change.rows_of([])
    moved = [c for c in compared(result) if c.verdict in {"regressed", "improved", "inconclusive"} or c.relevant]
    cells = {(c.variant, c.profile) for c in moved if is_loss(c)}
    nowhere = {one.cell for one in result.not_compared}
    shown = [
        c
        for c in compared(result)
        if f"{c.variant} · {c.profile}" not in nowhere
        if c in moved
        or c.metric == "requests_per_second"
        or ((c.variant, c.profile) in cells and (c.gate is not None or c.relevant))
    ]
    return change.rows_of(shown)


def _only(result: Result, verdicts: set[str]) -> Table:
    return change.rows_of([c for c in compared(result) if c.verdict in verdicts])


def _next(result: Result) -> str:
    lost = [c for c in compared(result) if c.verdict == "regressed" and c.level == "fail"]
    again = _again(result, lost[0] if lost else None)
    if result.verdict == "regressed":
        return f"reproduce it with `{again}`. If the cost is intended, raise the gate in the configuration."
    return ""


def _again(result: Result, lost: Comparison | None) -> str:
    """The command that measures the cell again, on whatever machine."""
    words = result.run.command
    if lost is not None:
        words = re.sub(r" --(variant|profile) \S+", "", words)
        words += f" --variant {lost.variant} --profile {lost.profile}"
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28}\b", r"\1", words).replace("`", "'")


def _sections(result: Result, view: View) -> list[Section]:
    """Folded parts, the most telling first."""
    changes = change.table(result)
    charts = [_mermaid(chart) for chart in view.charts if chart.bars]
    logs = "\n\n".join(f"{escape_text(', '.join(one.cells))}:\n\n{fenced(one.lines)}" for one in view.logs)
    log = Section("Last lines of the log", logs, unfolded=not result.compared)
    titled: list[tuple[str, str]] = [
        ("How this was measured, and how to repeat it", _how(result, view)),
        ("All comparisons with base", markdown_table(changes) if changes.rows else ""),
        ("Each alone: requests/s, latency, errors", markdown_table(view.results)),
        ("Chart", "\n\n".join(filter(None, charts))),
        ("CPU, work and memory", markdown_table(view.work)),
        ("Variants compared with each other", markdown_table(view.comparisons) if view.comparisons.rows else ""),
        ("Machine, images and versions", markdown_table(view.environment)),
        ("Every single run", markdown_table(view.trials)),
    ]
    return [one for one in (log, *(Section(title, body) for title, body in titled)) if one.body]


def _how(result: Result, view: View) -> str:
    lines = [f"- {escape_text(sentence)}" for sentence in view.method]
    command = " ".join(result.run.command.split())
    return "\n".join([*lines, "", "```", _INSTALL, command.replace("`", "'"), "```"])


def _mermaid(chart: Chart) -> str:
    """A bar chart that GitHub draws. Names lose whatever mermaid might read as its own."""
    bars = chart.bars[:_MOST_BARS]
    names = ", ".join(f'"{_plain(bar.label)}"' for bar in bars)
    values = ", ".join(f"{bar.value:.1f}" for bar in bars)
    lines = [
        "xychart-beta",
        f'    title "{_plain(chart.title)}"',
        f"    x-axis [{names}]",
        '    y-axis "requests/s"',
        f"    bar [{values}]",
    ]
    return "\n".join(["```mermaid", *lines, "```"])


def _plain(text: str) -> str:
    return re.sub(r"[^\w .,/@·-]", "_", text)[:80]


def _footer(links: Links, base: str) -> str:
    parts = [base, f"[log and artifacts]({links.run_url})" if links.run_url else ""]
    foreign = "measured by a job of the fork: its figures are that job's word" if links.foreign else ""
    return " · ".join(filter(None, ["bench-action", *parts, foreign]))


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
