"""Print the result in a terminal: headline, cause, tables, warnings, charts."""

from collections.abc import Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable

from bench_action.model.machine import Condition
from bench_action.model.result import Comparison
from bench_action.report.change_table import DETECTABLE, INTERVAL, VERDICT, tabulate_comparisons
from bench_action.report.chart import render_text
from bench_action.report.concerns import Concern
from bench_action.report.plain import make_text
from bench_action.report.sentences import describe_loss
from bench_action.report.table import Table
from bench_action.report.tables import AGAINST, CONNECTIONS
from bench_action.report.view import View

_NARROWEST = 12  # characters of a column of text


def print_view(view: View, console: Console) -> None:
    """Print the headline, its reasons, the tables and the warnings; the rest is in report.md."""
    console.print()
    style = "bold red" if not view.trusted or view.verdict == "regressed" else "bold"
    console.print(make_text(f"{view.mark} {_plain(view.headline)}".strip(), style=style))
    if view.rules:
        console.print(make_text(f"! {_plain(view.rules)}", style="yellow"))
    _print_concerns([concern for concern in view.concerns if concern.grave], console)
    reasons = [f"Cause: {cause}" for cause in view.causes] + [f"• {finding}" for finding in view.findings]
    # the table and the report give the certainty of the other losses
    for sentence in (*reasons, *view.certainties[:1], *view.explanations, *view.leads):
        console.print(make_text(_plain(sentence)))
    if view.changes.rows and view.trusted:
        console.print()
        print_table(view.changes, console, (DETECTABLE, INTERVAL))
    console.print()
    for sentence in view.uncompared:
        console.print(make_text(_plain(sentence)))
    _print_concerns([concern for concern in view.concerns if not concern.grave], console)
    if view.uncompared or not all(concern.grave for concern in view.concerns):
        console.print()
    # sentences above say how variants compare, so that 80 columns are enough
    print_table(view.results.leave_out(AGAINST), console, (CONNECTIONS, "Spread"))
    if view.hosts.rows:
        console.print()
        print_table(view.hosts, console)
    if view.routes.rows:
        console.print()
        print_table(view.routes, console, ("p99",))
    drawn = [[waits.title, *waits.draw()] for waits in view.waits]
    drawn += [render_text(chart) for chart in view.charts if chart.bars]
    for lines in drawn:
        console.print()
        console.print(make_text("\n".join(lines)))
    if view.hint:
        console.print()
        console.print(make_text(_plain(view.hint)))


def _print_concerns(concerns: Sequence[Concern], console: Console) -> None:
    for concern in concerns:
        mark, style = ("✗", "red") if concern.grave else ("!", "yellow")
        console.print(make_text(f"{mark} {concern.text.removesuffix('.')}", style=style))
        console.print(make_text(f"  → {_plain(concern.advice)}"))


def print_compared(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print two stored results side by side, with what their intervals cannot know."""
    print_table(tabulate_comparisons(comparisons).leave_out(VERDICT), console, (DETECTABLE,))
    console.print()
    for c in comparisons:
        if c.exact and c.significant:
            console.print(make_text(f"• counted exactly, so it did change: {_plain(describe_loss(c))}"))
    console.print(
        make_text(
            "No verdict: the two were measured at different times, and no interval knows how much the machine itself "
            "changed. `bench-action run --baseline REF` measures both at the same time."
        )
    )


def print_conditions(lines: Sequence[Condition], console: Console) -> None:
    """Print what the preflight found, a line for each condition, with what to do below it."""
    width = max(len(line.name) for line in lines)
    for line in lines:
        style = {"ok": "green", "warning": "yellow", "fatal": "bold red"}[line.level]
        mark = make_text(f"{line.level:<8}", style=style)
        found = make_text(f"{line.name:<{width}}  {line.found}", style="default")
        console.print(mark.append_text(found), soft_wrap=True)
        if line.cure:
            console.print(make_text(f"{'':<8}{'':<{width}}  → {line.cure}"), soft_wrap=True)


def print_table(table: Table, console: Console, optional: Sequence[str] = ()) -> None:
    """Print a table; if it is too wide, without the first of the `optional` columns, then without the second."""
    for heading in optional:
        if sum(_measure_columns(table)) + len(table.headings) > console.width:
            table = table.leave_out(heading)
    console.print(_lay_out(table, (), console))
    for at, (is_heading, rows) in enumerate(groupby(table.rows, lambda row: len(row) == 1 < len(table.headings))):
        if is_heading:
            console.print("\n" * bool(at), *(make_text(name, style="bold") for (name,) in rows), sep="")
        else:
            console.print(_lay_out(table, list(rows), console))


def _lay_out(table: Table, rows: Sequence[tuple[str, ...]], console: Console) -> RichTable:
    """Lay out some rows of a table, or only its header without rows; columns are as wide as the whole table needs."""
    part = RichTable(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_header=not rows)
    widths = _narrow_text(_measure_columns(table), table.numeric, console.width)
    fits = sum(widths) + len(widths) <= console.width
    for title, right, width in zip(table.headings, table.numeric, widths, strict=True):
        part.add_column(title, justify="right" if right else "left", no_wrap=right, width=width if fits else None)
    for row in rows:
        part.add_row(*map(make_text, row))
    return part


def _narrow_text(widths: Sequence[int], numeric: Sequence[bool], room: int) -> list[int]:
    """Narrow the widest column of text, which is then wrapped, if the columns do not fit otherwise."""
    excess = sum(widths) + len(widths) - room
    texts = [column for column, right in enumerate(numeric) if not right]
    widest = max(texts, key=lambda column: widths[column], default=-1)
    return [
        max(width - excess, min(width, _NARROWEST)) if column == widest and excess > 0 else width
        for column, width in enumerate(widths)
    ]


def _measure_columns(table: Table) -> list[int]:
    rows = [table.headings, *(row for row in table.rows if len(row) == len(table.headings))]
    return [max(cell_len(row[column]) for row in rows) for column in range(len(table.headings))]


def _plain(text: str) -> str:
    return text.replace("`", "")
