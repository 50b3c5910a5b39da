"""The pull-request comment: what to know in two lines, why below, everything else folded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench_action.compare.verdict import is_judged, is_loss
from bench_action.config.gates import AT_RATE
from bench_action.model.errors import BenchError
from bench_action.model.result import Comparison, Result, split_route
from bench_action.model.visible import remove_invisible
from bench_action.model.wording import percent, plural
from bench_action.report.change import has_meaning, list_comparisons, list_losses, meaningful_detectable
from bench_action.report.change_table import DETECTABLE, shorten_verdicts, tabulate_comparisons
from bench_action.report.pace import measure_pace
from bench_action.report.sentences import describe_confidence
from bench_action.report.table import Table
from bench_action.report.tables import AGAINST, CONNECTIONS, DETAILS
from bench_action.report.templating import escape_text, fenced, markdown_environment, markdown_table
from bench_action.report.view import Chart, View, make_view
from bench_action.report.waits import Waits

# of 65,536 characters: room for what github/comments.py adds (marker, origin, whose comment it replaces) and for GitHub
LONGEST = 64_000
_INSTALL = "pipx install git+https://github.com/org/bench-action@v1"
_MOST_BARS = 24
_MOST_SENTENCES = 6
_MOST_CELLS = 6
_MOST_DRAWN = 3
_MOST_METHOD = 30


@dataclass(frozen=True, slots=True)
class Links:
    """What a comment points to. `run_url`: the job's page, with log and artifacts.

    `head`: the pull request's commit, which the comment is about; empty if unknown. `foreign`: another job measured,
    whose result is not trusted; `fork`: that of a fork.
    """

    run_url: str = ""
    head: str = ""
    foreign: bool = False
    fork: bool = False


_RESULTS, _METHOD, _LOG = "All results", "How this was measured, and how to repeat it", "Last lines of the log"
_LONGEST_HEADLINE = 1000
_FOLDS = (_LOG, _RESULTS, _METHOD)  # in the order in which a comment has them


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a fold: the fold's title, its own, and markdown that has been escaped."""

    fold: str
    title: str
    body: str


def render_comment(result: Result, links: Links, *, longest: int = LONGEST) -> str:
    """Render markdown of at most `longest` characters: what does not fit is left out whole, the least telling first."""
    view = make_view(result)
    sections = _make_sections(result, view)
    for kept in range(len(sections), 0, -1):
        text = _render(result, view, links, _tabulate_what_matters(result), sections[:kept])
        if len(text) <= longest:
            return text
    regressed = tabulate_comparisons([c for c in list_comparisons(result) if c.verdict == "regressed"])
    fewer: tuple[tuple[Table | None, Sequence[Section]], ...]
    fewer = ((regressed, sections[:1]), (regressed, ()), (None, sections[:1]), (None, ()))
    for table, shown in fewer:
        text = _render(result, view, links, table, shown)
        if len(text) <= longest:
            return text
    short = replace(view, causes=(), findings=(), explanations=(), certainties=(), leads=(), concerns=view.concerns[:3])
    text = _render(result, short, links, None, ())
    return text if len(text) <= longest else _render_headline(view, links)


def _render_headline(view: View, links: Links) -> str:
    """Render only what everybody reads first, and who has measured it."""
    headline = escape_text(f"{view.mark} bench-action: {view.headline}".strip()[:_LONGEST_HEADLINE])
    rest = "The rest is too long for a comment: it is in the report."
    return f"### {headline}\n\n{rest}\n\n<sub>{_make_footer(links)}</sub>\n"


def render_failure(error: BenchError, links: Links) -> str:
    """Render markdown for a run that ended before there was a result, or for another job's that is unusable."""
    page = markdown_environment().get_template("failure.md.j2")
    log = ["\n".join(error.log)[:20_000]]
    result = "the fork's result" if links.fork else "the other job's result"
    failed = f"use {result}" if links.foreign else "measure"
    return _tidy(page.render(error=error, failed=failed, log=log, footer=_make_footer(links)))


def _render(result: Result, view: View, links: Links, changes: Table | None, sections: Sequence[Section]) -> str:
    first = next(iter(list_losses(result)), None)
    counted = first is None or first.method == "count"
    return _tidy(
        markdown_environment()
        .get_template("comment.md.j2")
        .render(
            view=view,
            causes=_shorten(view.causes),
            findings=view.findings[:_MOST_SENTENCES],
            confidence="" if first is None or counted else describe_confidence(first, measure_pace(result)),
            explanations=_shorten(view.explanations),
            leads=_shorten(view.leads),
            scope=_describe_scope(result),
            changes=changes,
            waits="\n".join(_draw_moved_waits(result, view)),
            calm=_describe_calm_cells(result) if changes is not None and changes.rows else "",
            uncompared=_shorten(view.uncompared),
            folds={fold: [section for section in sections if section.fold == fold] for fold in _FOLDS},
            unfolded="" if result.compared else _LOG,
            footer=_make_footer(links, result.source.base_sha),
        )
    )


def _shorten(sentences: Sequence[str]) -> list[str]:
    """Keep the first few; the others are in the report."""
    if (more := len(sentences) - _MOST_SENTENCES) > 0:
        return [*sentences[:_MOST_SENTENCES], f"{more} more like these are in the report."]
    return list(sentences)


def _describe_scope(result: Result) -> str:
    """Say what was compared: for a reader of good news, who sees no table."""
    comparisons = list_comparisons(result)
    nothing = bool(result.not_compared) and not result.compared
    if not comparisons or nothing or result.verdict == "invalid":
        return ""
    compared = _list_compared(result)
    mixes = {split_route(c.profile)[0] for c in comparisons if c.route}
    variants, profiles = {c.variant for c in compared}, {c.profile for c in compared if not c.route}
    cells = dict.fromkeys(c.whole_cell for c in compared)
    scope = f"{plural(len(variants), 'variant')} × {plural(len(profiles), 'profile')}, each"
    if len(cells) != len(variants) * len(profiles):
        scope = f"{plural(len(cells), 'cell')}, each"
    if len(cells) == 1:
        scope = f"`{next(iter(cells))}`,"
    base = f" `{result.source.base_sha[:7]}`" if result.source.base_sha else ""
    work = [c for c in comparisons if c.method == "count" and c.profile not in mixes]
    same = " Work per request is identical." if work and all(c.exact and not c.difference for c in work) else ""
    where = f"one of {len(result.shards)} runners" if len(result.shards) > 1 else "this runner"
    return f"{scope} paired with base{base} on {where}.{same}"


def _tabulate_what_matters(result: Result) -> Table:
    """Lay out what moved, with the throughput and the gates of its cell; nothing for an invalid measurement."""
    if result.verdict == "invalid":
        return tabulate_comparisons([])
    comparisons = _list_compared(result)
    moved = [c for c in comparisons if _has_moved(c)]
    cells = {c.cell for c in moved}
    lost = {c.cell for c in moved if is_loss(c)}
    shown = [
        c
        for c in comparisons
        if _has_moved(c)
        or (c.cell in cells and c.metric == "requests_per_second")
        or (c.cell in lost and (c.gate is not None or c.relevant))
    ]
    return tabulate_comparisons(shown).leave_out(DETECTABLE)


def _describe_calm_cells(result: Result) -> str:
    """Name the cells that the table leaves out because nothing in them moved, each with its detectable change."""
    comparisons = _list_compared(result)
    moved = {c.whole_cell for c in comparisons if _has_moved(c)}
    still = [c for c in comparisons if not c.route and c.cell not in moved]
    calm: dict[str, Comparison] = {}  # each with its most telling metric: a k6 script has no requests/s
    for c in still:
        if c.metric == "requests_per_second" or is_judged(c):
            calm.setdefault(c.cell, c)
    cells = []
    for c in list(calm.values())[:_MOST_CELLS]:
        size = meaningful_detectable(c) if has_meaning(c) else None
        cells.append(f"`{c.cell}`" + (f" (detectable: {percent(size)})" if size is not None else ""))
    if more := len(calm) - len(cells):
        cells.append(f"and {plural(more, 'more cell')}")
    return f"No change detected: {', '.join(cells)}." if cells else ""


def _list_compared(result: Result) -> list[Comparison]:
    nowhere = {missing.cell for missing in result.not_compared}
    return [c for c in list_comparisons(result) if c.whole_cell not in nowhere]


def _has_moved(c: Comparison) -> bool:
    return c.verdict in {"regressed", "improved", "inconclusive"} or c.relevant


def _make_sections(result: Result, view: View) -> list[Section]:
    """Make the folded parts, the most telling first."""
    charts = [_draw_mermaid(chart) for chart in view.charts if chart.bars]
    logs = "\n\n".join(f"{escape_text(', '.join(log.cells))}:\n\n{fenced(log.lines)}" for log in view.logs)
    command = " ".join(remove_invisible(result.run.command).split()).replace("`", "'")
    method = [f"- {escape_text(sentence)}" for sentence in view.method[:_MOST_METHOD]]
    if (more := len(view.method) - _MOST_METHOD) > 0:
        method.append(f"- {more} more sentences, on other cells, are in the report.")
    method += ["", "```", _INSTALL, command, "```"]
    profiles = result.profiles
    one = len(profiles) == 1 and not profiles[0].script
    alone = f"Each alone, with {plural(profiles[0].connections, 'connection')}" if one else "Each alone"
    sections = (
        Section(_LOG, "", logs),
        Section(_METHOD, "", "\n".join(method)),
        Section(_RESULTS, "Compared with base", _render_table(shorten_verdicts(view.changes))),
        Section(_RESULTS, alone, _render_table(view.results.leave_out(CONNECTIONS, AGAINST))),
        Section(_RESULTS, "CPU of each host", _render_table(view.hosts)),
        Section(_RESULTS, "", "\n\n".join(charts)),
        Section(_RESULTS, "Latency at a fixed rate", _draw_waits(view.waits)),
        Section(_RESULTS, "Requests of each mix, with one connection", _render_table(view.routes)),
        Section(_RESULTS, "Work per request", _render_table(view.work)),
        Section(_RESULTS, "Connections, memory and start-up", _render_table(view.footprint)),
        Section(_RESULTS, "Variants compared with each other", _render_table(view.comparisons)),
        Section(_METHOD, "", _render_table(view.environment)),
        Section(_RESULTS, "Every single run", _render_table(view.trials.leave_out(*DETAILS))),
    )
    return [section for section in sections if section.body]


def _draw_moved_waits(result: Result, view: View) -> list[str]:
    """Draw the latencies of cells whose waiting moved, which everybody should see; the others are folded."""
    moved = {c.cell for c in list_comparisons(result) if c.metric in AT_RATE and c.relevant}
    waits = [each for each in view.waits if each.cell in moved][:_MOST_DRAWN]
    return [_draw_waits(waits)] if waits else []


def _draw_waits(waits: Sequence[Waits]) -> str:
    """Draw boxes in a block of code, whose letters have one width."""
    return "\n\n".join(fenced([each.title, *each.draw()]) for each in waits)


def _render_table(table: Table) -> str:
    return markdown_table(table) if table.rows else ""


def _draw_mermaid(chart: Chart) -> str:
    """Draw a bar chart that GitHub renders. Names lose every character that mermaid might interpret."""
    bars = chart.bars[:_MOST_BARS]
    names = ", ".join(f'"{_keep_plain(bar.label)}"' for bar in bars)
    values = ", ".join(f"{bar.value:.1f}" for bar in bars)
    lines = [
        "xychart-beta",
        f'    title "{_keep_plain(chart.title)}"',
        f"    x-axis [{names}]",
        '    y-axis "requests/s"',
        f"    bar [{values}]",
    ]
    return "\n".join(["```mermaid", *lines, "```"])


def _keep_plain(text: str) -> str:
    return re.sub(r"[^\w .,/@·-]", "_", remove_invisible(text))[:80]


def _make_footer(links: Links, base: str = "") -> str:
    """Say which commits a comment is about, as newer ones may have been pushed, and who measured them."""
    commits = [f"{name} {escape_text(sha[:7])}" for name, sha in (("head", links.head), ("base", base)) if sha]
    log = f"[log and artifacts]({links.run_url})" if links.run_url else ""
    fork = "measured by the fork's own job, so these figures are unverified" if links.fork else ""
    return " · ".join(filter(None, ["bench-action", *commits, log, fork]))


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
