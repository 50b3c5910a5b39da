"""The result in a terminal: headline, warnings, table, charts."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench_action.model.machine import Condition
from bench_action.report.chart import render_text
from bench_action.report.view import Table, View


def print_view(view: View, console: Console) -> None:
    """The table and what one must know to read it; the rest is in report.md."""
    console.print()
    console.print(Text(view.headline, style="bold" if view.trusted else "bold red"))
    for concern in view.concerns:
        mark, style = ("✗", "red") if concern.grave else ("!", "yellow")
        for warned in concern.warnings:
            cell = f"{warned.cell}: " if warned.cell else ""
            console.print(Text(f"{mark} {cell}{warned.message}", style=style))
        console.print(Text(f"  → {concern.advice}"))
    console.print()
    console.print(_rich(view.results))
    for statement in view.statements:
        console.print(Text(statement))
    for chart in view.charts:
        if chart.bars:
            console.print()
            console.print(Text("\n".join(render_text(chart))))


def print_conditions(lines: Sequence[Condition], console: Console) -> None:
    """What the preflight found, a line each, with the cure below."""
    width = max(len(line.name) for line in lines)
    for line in lines:
        style = {"ok": "green", "warning": "yellow", "fatal": "bold red"}[line.level]
        mark = Text(f"{line.level:<8}", style=style)
        console.print(mark.append(f"{line.name:<{width}}  {line.found}", style="default"), soft_wrap=True)
        if line.cure:
            console.print(Text(f"{'':<8}{'':<{width}}  → {line.cure}"), soft_wrap=True)


def _rich(table: Table) -> RichTable:
    # the last column (against which variant) is said in full sentences below, so that 80 columns are enough
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading, right in list(zip(table.headings, table.numeric, strict=True))[:-1]:
        drawn.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(Text(value) for value in row[:-1]))
    return drawn
