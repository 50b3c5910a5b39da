"""`bench-action trend …`: the commands on a history."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench_action.history import DEFAULT_BRANCH
from bench_action.model.errors import InputError
from bench_action.report.stored import read_result
from bench_action.report.terminal import print_table

if TYPE_CHECKING:
    from bench_action.trend.trends import Trends

# The history and what reads it are imported where they are used: a run should begin at once.
_Store = Annotated[str, typer.Option("--store", metavar="PATH", help="A folder, or a git repository or its address.")]
_Branch = Annotated[str, typer.Option(metavar="NAME", help="Of the repository; made where it is not there.")]

app = typer.Typer(help="Trends over many runs: append, check, draw, and ask what a gate would have done.")


@app.command()
def append(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT.json…", help="What runs have written.")],
    store: _Store,
    branch: _Branch = DEFAULT_BRANCH,
) -> None:
    """Add runs to the history; a run that is there already is not added again."""
    with _trends(store, branch) as trends:
        trends.append([read_result(path) for path in results])


@app.command()
def check(store: _Store, branch: _Branch = DEFAULT_BRANCH) -> None:
    """Tell new change points; ends with status 1 where one is for the worse."""
    with _trends(store, branch) as trends:
        trends.require_nothing_worse()


@app.command()
def render(
    store: _Store,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the site goes.")],
    branch: _Branch = DEFAULT_BRANCH,
    repository: Annotated[str, typer.Option(metavar="URL", help="Where commits are shown.")] = "",
) -> None:
    """Draw the history as a static site."""
    with _trends(store, branch) as trends:
        if not trends.render(output, repository):
            raise InputError("the history is empty", advice="run `bench-action trend append RESULT.json` first")


@app.command()
def backtest(
    store: _Store,
    gate: Annotated[list[str], typer.Option(metavar="5%", help="A loss from one run to the next (repeatable).")],
    branch: _Branch = DEFAULT_BRANCH,
) -> None:
    """How many alarms a gate would have raised, and how many of them were undone by what came after."""
    with _trends(store, branch) as trends:
        print_table(trends.backtest([_fraction(text) for text in gate]), Console())


@contextmanager
def _trends(store: str, branch: str) -> Iterator["Trends"]:
    from bench_action.history.opening import open_history  # noqa: PLC0415
    from bench_action.trend.trends import Trends  # noqa: PLC0415

    with open_history(store, branch, warn=lambda text: typer.echo(f"note: {text}", err=True)) as found:
        yield Trends(found, typer.echo)


def _fraction(text: str) -> float:
    """`5%` or `0.05`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < value < 1:
        raise InputError(f"--gate {text}: a share of the speed is expected", advice="such as 5% or 0.05")
    return value
