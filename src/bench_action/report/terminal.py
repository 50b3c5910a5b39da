"""The result in a terminal: headline, warnings, table, charts."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench_action.model.machine import Condition
from bench_action.model.result import Comparison
from bench_action.report.change import DETECTABLE, loss, rows_of
from bench_action.report.chart import render_text
from bench_action.report.table import Table
from bench_action.report.view import View

_WIDE = 110


def print_view(view: View, console: Console) -> None:
    """The table and what one must know to read it; the rest is in report.md."""
    console.print()
    style = "bold red" if not view.trusted or view.verdict == "regressed" else "bold"
    console.print(Text(" ".join(filter(None, (view.mark, view.headline.replace("`", "")))), style=style))
    if view.rules:
        console.print(Text(f"! {view.rules.replace('`', '')}", style="yellow"))
    for concern in view.concerns:
        mark, style = ("✗", "red") if concern.grave else ("!", "yellow")
        for warned in concern.warnings:
            cell = f"{warned.cell}: " if warned.cell else ""
            console.print(Text(f"{mark} {cell}{warned.message}", style=style))
        console.print(Text(f"  → {concern.advice}"))
    for statement in (*view.statements, *view.uncompared):
        console.print(Text(statement.replace("`", "")))
    for finding in view.findings:
        console.print(Text(f"• {finding}"))
    if view.changes.rows:
        console.print()
        console.print(_rich(view.changes, left_out=("99 % interval", DETECTABLE) if console.width < _WIDE else ()))
    console.print()
    # the last column (against which variant) is said in full sentences above, so that 80 columns are enough
    console.print(_rich(view.results, left_out=("Against",)))
    for chart in view.charts:
        if chart.bars:
            console.print()
            console.print(Text("\n".join(render_text(chart))))


def print_compared(comparisons: Sequence[Comparison], console: Console) -> None:
    """Two occasions, with what their intervals do not know."""
    table = rows_of(comparisons)
    console.print(_rich(table, left_out=("Verdict", *((DETECTABLE,) if console.width < _WIDE else ()))))
    changed = [one for one in comparisons if one.method == "count" and one.significant]
    console.print()
    for one in changed:
        console.print(Text(f"• counted exactly, so changed: {loss(one).replace('`', '')}"))
    console.print(
        Text(
            "No verdict: the two were measured at different times, and how much the machine itself changed is in no "
            "interval. `bench-action run --baseline REF` measures both at once."
        )
    )


def print_table(table: Table, console: Console) -> None:
    """Nothing but a table."""
    console.print(_rich(table))


def print_conditions(lines: Sequence[Condition], console: Console) -> None:
    """What the preflight found, a line each, with the cure below."""
    width = max(len(line.name) for line in lines)
    for line in lines:
        style = {"ok": "green", "warning": "yellow", "fatal": "bold red"}[line.level]
        mark = Text(f"{line.level:<8}", style=style)
        console.print(mark.append(f"{line.name:<{width}}  {line.found}", style="default"), soft_wrap=True)
        if line.cure:
            console.print(Text(f"{'':<8}{'':<{width}}  → {line.cure}"), soft_wrap=True)


def _rich(table: Table, left_out: Sequence[str] = ()) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown = [column for column, heading in enumerate(table.headings) if heading not in left_out]
    for column in shown:
        right = table.numeric[column]
        drawn.add_column(table.headings[column], justify="right" if right else "left", no_wrap=right)
    for row in table.rows:
        drawn.add_row(*(Text(row[column]) for column in shown))
    return drawn
