"""The commands `bench-action trend …` and `bench-action ledger`, which read and write a history."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench_action.history import DEFAULT_BRANCH
from bench_action.model.errors import InputError
from bench_action.model.wording import make_line
from bench_action.report.folder import explain_contradictions, read_result
from bench_action.report.terminal import print_table

if TYPE_CHECKING:
    from bench_action.trend.trends import Trends

# The history and its readers are imported when a command needs them, so that other commands start fast.
_Store = Annotated[str, typer.Option("--store", metavar="PATH", help="A folder, a git repository, or its address.")]
_Branch = Annotated[str, typer.Option(metavar="NAME", help="The repository's branch; created if it does not exist.")]
_Repository = Annotated[str, typer.Option(metavar="URL", help="The repository's page, to link commits.")]

_LEDGER = Path("bench-results/ledger")

app = typer.Typer(help="Work with trends over many runs: append, check, render, and backtest a gate.")


@app.command()
def append(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT.json…", help="The results of runs.")],
    store: _Store,
    branch: _Branch = DEFAULT_BRANCH,
) -> None:
    """Add runs to the history, except those that it already has."""
    with _open_trends(store, branch) as trends:
        read = [read_result(path) for path in results]
        with explain_contradictions(f"could not append {' and '.join(map(str, results))}"):
            trends.append(read)


@app.command()
def check(store: _Store, branch: _Branch = DEFAULT_BRANCH) -> None:
    """Report new change points; exit with status 1 if one is for the worse."""
    with _open_trends(store, branch) as trends:
        trends.require_nothing_worse()


@app.command()
def render(
    store: _Store,
    output: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the site.")],
    branch: _Branch = DEFAULT_BRANCH,
    repository: _Repository = "",
) -> None:
    """Render the history as a static site."""
    with _open_trends(store, branch) as trends:
        if not trends.render(output, repository):
            raise InputError("the history is empty", advice="run `bench-action trend append RESULT.json` first")


@app.command()
def backtest(
    store: _Store,
    gate: Annotated[
        list[str], typer.Option(metavar="5%", help="The loss between two runs that raises an alarm (repeatable).")
    ],
    branch: _Branch = DEFAULT_BRANCH,
) -> None:
    """Count the alarms that a gate would have raised, and how many of them later runs undid."""
    with _open_trends(store, branch) as trends:
        print_table(trends.backtest([_parse_loss(text) for text in gate]), Console())


def ledger(
    store: _Store,
    output: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the page and the badge.")] = _LEDGER,
    branch: _Branch = DEFAULT_BRANCH,
    repository: _Repository = "",
) -> None:
    """Count false alarms and the smallest detectable change in runs of unchanged code, by runner and CPU."""
    from bench_action.trend.ledger import OPTIONAL  # noqa: PLC0415

    with _open_trends(store, branch) as trends:
        table = trends.render_ledger(output, repository)
    if table is None:
        raise InputError(
            "the history has no runs of unchanged code",
            advice="measure a commit against itself (`bench-action run --baseline HEAD`), and append the result: "
            "`bench-action trend append RESULT.json`",
        )
    print_table(table, Console(), OPTIONAL)


@contextmanager
def _open_trends(store: str, branch: str) -> Iterator["Trends"]:
    from bench_action.history.opening import open_history  # noqa: PLC0415
    from bench_action.trend.trends import Trends  # noqa: PLC0415

    with open_history(store, branch, warn=lambda text: _echo(f"note: {text}", err=True)) as history:
        yield Trends(history, _echo)


def _echo(text: str, *, err: bool = False) -> None:
    """Print one line of text that a history may contain, which others may have written to."""
    typer.echo(make_line(text), err=err)


def _parse_loss(text: str) -> float:
    """Parse "5%" or "0.05". Raises InputError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        raise InputError(f"--gate {text}: expected a share of the speed", advice="write 5% or 0.05, for example")
    return value
