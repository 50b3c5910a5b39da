"""The command line: the only reader of the environment, and the only place that turns our errors into a status."""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from bench_action import __version__
from bench_action.cli import trend
from bench_action.cli.engines import choose_engine, docker_engine
from bench_action.cli.interrupts import SignalInterrupts
from bench_action.compare.stored import compare_results
from bench_action.config.environment import check_environment
from bench_action.config.load import PRESETS, load
from bench_action.config.options import Options
from bench_action.config.schema import Config
from bench_action.engine.ownership import Ownership
from bench_action.github.commands import Commands
from bench_action.model.errors import BenchError, InputError, InvalidMeasurementError, RegressionError
from bench_action.model.machine import Condition
from bench_action.model.result import Result
from bench_action.pipeline import Outcome, Ports
from bench_action.pipeline import run as run_pipeline
from bench_action.report.folder import read_result
from bench_action.report.headline import choose_headline
from bench_action.report.html import render_html
from bench_action.report.markdown import render_markdown
from bench_action.report.progress import LiveProgress, PlainProgress
from bench_action.report.terminal import print_compared, print_conditions, print_view
from bench_action.report.view import make_view
from bench_action.stack.preflight import StealLook, preflight, require_fit
from bench_action.verify.subjects import as_error

if TYPE_CHECKING:
    from bench_action.action.step import Action

_BUG = 70  # EX_SOFTWARE of sysexits.h
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OUTPUT = Path("bench-results")
_STEPS = frozenset({"action", "publish"})  # commands that are a step of a workflow


@dataclass(frozen=True, slots=True)
class Invocation:
    """What every command may need. `commands`: None unless this is a step of a workflow."""

    interrupts: SignalInterrupts
    commands: Commands | None


class EngineChoice(StrEnum):
    """Where services run."""

    AUTO = "auto"
    DOCKER = "docker"
    LOCAL = "local"


class FailOn(StrEnum):
    """Which verdicts the exit status tells; `regression` includes `invalid`."""

    REGRESSION = "regression"
    INVALID = "invalid"
    NEVER = "never"


class RulesChoice(StrEnum):
    """Whose rules judge head."""

    BASE = "base"
    HEAD = "head"


class Format(StrEnum):
    """How a result is told."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


_Config = Annotated[Path | None, typer.Argument(help="Left out: ./bench.yml, else the built-in to-do applications.")]
_Preset = Annotated[str, typer.Option(help=f"How to measure: {' or '.join(PRESETS)}.")]
_Engine = Annotated[EngineChoice, typer.Option(help="Where services run: auto takes Docker where it can.")]

app = typer.Typer(
    help="Brings up PostgreSQL, Redis and every variant of a web application, proves that they do the same work, "
    "loads them with wrk and says how they compare.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(trend.app, name="trend")


@app.command()
def run(
    context: typer.Context,
    config: _Config = None,
    preset: _Preset = "quick",
    engine: _Engine = EngineChoice.AUTO,
    variant: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this one (repeatable).")] = None,
    profile: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this one (repeatable).")] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the results go.")] = _OUTPUT,
    seed: Annotated[int, typer.Option(help="Same seed, same order of trials.")] = 0,
    fail_on: Annotated[FailOn, typer.Option(help="`regression` includes `invalid`.")] = FailOn.REGRESSION,
    baseline: Annotated[
        str | None, typer.Option(metavar="REF", help="Also each variant as of this git revision, paired.")
    ] = None,
    rules: Annotated[
        RulesChoice, typer.Option(help="With --baseline: whose gates, work, profiles and services judge.")
    ] = RulesChoice.BASE,
    compare: Annotated[tuple[str, str] | None, typer.Option(metavar="A B", help="A duet between two variants.")] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Head against head: is the instrument sound, what can it detect?")
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option(metavar="N", min=0.1, help="End measuring after N minutes, at a block's end.")
    ] = None,
) -> None:
    """Measure on this machine."""
    if self_test and baseline is not None:
        raise InputError("--self-test measures head against itself; it takes no --baseline")
    options = Options(
        config,
        preset,
        tuple(variant or ()),
        tuple(profile or ()),
        output,
        seed,
        baseline=baseline,
        rules=rules.value,
        compare=(compare,) if compare else (),
        self_test=self_test,
        max_minutes=max_minutes,
    )
    environ = dict(os.environ)
    console = Console(stderr=True)
    with LiveProgress(console) if console.is_terminal else PlainProgress(console) as progress:
        make_engine = partial(choose_engine, engine.value, environ, progress)
        outcome = run_pipeline(options, Ports(environ, context.obj.interrupts, progress, make_engine))
    print_view(make_view(outcome.result), Console())
    if not outcome.unpublished:
        typer.echo(f"\nThe full report, with every single run: {output / 'report.html'}")
    conclude(outcome, fail_on)


@app.command()
def check(
    config: _Config = None,
    preset: _Preset = "quick",
    engine: _Engine = EngineChoice.AUTO,
) -> None:
    """Validate a configuration and this machine; measure nothing."""
    environ, console, steal = dict(os.environ), Console(), StealLook()
    project = load(config, preset)
    check_environment(project.config, environ)
    owner = Ownership.of_this_process("check", "")
    chosen = choose_engine(engine.value, environ, PlainProgress(console), owner, project)
    lines = [Condition("configuration", "ok", f"{project.origin}: {', '.join(project.config.variants)}")]
    lines += [Condition("engine", "ok", chosen.name), *preflight(chosen, project), steal.condition()]
    print_conditions(lines, console)
    require_fit(lines)


@app.command()
def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="What a run has written.")],
    output_format: Annotated[Format, typer.Option("--format", help="How to tell it.")] = Format.TERMINAL,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Left out: standard output.")] = None,
) -> None:
    """Tell a stored result again."""
    stored = read_result(result)
    if output_format is Format.TERMINAL:
        if output is None:
            print_view(make_view(stored), Console())
            return
        page = StringIO()
        print_view(make_view(stored), Console(file=page, width=120))
        _write(output, page.getvalue())
        return
    text = stored.model_dump_json(indent=2) + "\n"
    if output_format is Format.MARKDOWN:
        text = render_markdown(make_view(stored))
    if output_format is Format.HTML:
        text = render_html(stored)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE.json", help="A stored result.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD.json", help="Another, of a like machine.")],
) -> None:
    """Two stored results side by side; refuses unlike machines, and gives no verdict."""
    before, after = read_result(base), read_result(head)
    print_compared(compare_results(before, after), Console())


@app.command()
def action(
    context: typer.Context,
    sweep: Annotated[bool, typer.Option("--sweep", help="Only remove what this job's runs have left.")] = False,
) -> None:
    """What the container action runs: inputs from the environment, a run, and its result on the pull request."""
    step = _action(context)
    if sweep:
        step.sweep()
        return
    outcome, inputs = step.execute()
    if outcome is not None:
        conclude(outcome, FailOn(inputs.fail_on), require_comparison=inputs.require_comparison)


@app.command()
def publish(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of a run in another job.")],
) -> None:
    """Publish a result measured by another job on its pull request; variables are those of an action."""
    _action(context).publish(folder)


@app.command()
def schema(
    result: Annotated[bool, typer.Option("--result", help="That of result.json instead.")] = False,
) -> None:
    """Print the JSON Schema of the configuration."""
    model = Result if result else Config
    described = {"$schema": _DRAFT, **model.model_json_schema(mode="serialization" if result else "validation")}
    typer.echo(json.dumps(described, indent=2, ensure_ascii=False))


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of every command."""
    if show:
        typer.echo(f"bench-action {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command and end with its status (README, "Exit status")."""
    interrupts = SignalInterrupts()
    interrupts.install()
    with _speaking_to_a_runner(sys.argv[1:]) as commands:
        _run_command(interrupts, commands)


@contextlib.contextmanager
def _speaking_to_a_runner(arguments: Sequence[str]) -> Iterator[Commands | None]:
    """For a step of a workflow, stop the runner's commands before anything else is printed, and print on one stream.

    The runner reads standard output and standard error side by side: what is printed on one may be read before what was
    printed earlier on the other.
    """
    if next((word for word in arguments if not word.startswith("-")), "") not in _STEPS:
        yield None
        return
    with contextlib.redirect_stderr(sys.stdout):
        commands = Commands(sys.stdout, os.environ)
        commands.stop()
        yield commands


def _run_command(interrupts: SignalInterrupts, commands: Commands | None) -> None:
    try:
        app(obj=Invocation(interrupts, commands))  # ends by SystemExit, with 2 where the command line itself is wrong
    except BenchError as error:
        _print_error(error)
        sys.exit(error.exit_status)
    except Exception:  # noqa: BLE001 (whatever is left is a bug of ours, and must say so)
        traceback.print_exc()
        Console(stderr=True).print(Text("This is a bug in bench-action: please report it with the lines above."))
        sys.exit(_BUG)
    finally:
        interrupts.end()


def _action(context: typer.Context) -> "Action":
    # only here: GitHub's client takes as long to import as everything else, and a run should begin at once
    from bench_action.action.step import Action  # noqa: PLC0415

    environ, session = dict(os.environ), context.obj
    commands = session.commands or Commands(sys.stdout, environ)
    return Action(environ, session.interrupts, commands, sys.stdout, lambda owner: docker_engine(owner, environ))


def _print_error(error: BenchError) -> None:
    console = Console(stderr=True)
    notes = getattr(error, "__notes__", [])
    console.print(Text("\n".join([f"error: {error}", *notes]), style="red"), soft_wrap=True)


def conclude(outcome: Outcome, fail_on: FailOn, *, require_comparison: bool = False) -> None:
    """Raise the verdict's BenchError, if any; only if the verdict is fine, what could not be written or published."""
    rest = list(outcome.unpublished)
    try:
        raise_verdict(outcome, fail_on, require_comparison=require_comparison)
        if rest:
            raise rest.pop(0)
    except BenchError as error:
        for other in rest:
            error.add_note(f"  also:   {other.what}")
        raise


def raise_verdict(outcome: Outcome, fail_on: FailOn, *, require_comparison: bool = False) -> None:
    """Raise the BenchError whose exit status a finished run ends with, if any (README, "Exit status")."""
    result = outcome.result
    if outcome.failures:
        raise as_error(outcome.failures)
    if result.verdict == "regressed" and fail_on is FailOn.REGRESSION:
        what = choose_headline(result).text.replace("`", "")
        raise RegressionError(what, advice="fix the regression, or raise the gate in `gates:`")
    if result.verdict == "invalid" and fail_on is not FailOn.NEVER:
        causes = [warned for warned in result.warnings if warned.code.invalidates]
        first = causes[0]
        raise InvalidMeasurementError(
            "the measurement is invalid", where=first.cell, cause=first.message, advice=first.advice
        )
    if not result.compared and result.run.self_test:
        raise _nothing_compared(result, "a self-test compares head with itself", "fix the cause, and run it again")
    if not result.compared and require_comparison:
        advice = "fix the cause; a pull request that introduces the benchmark needs `require-comparison: false` once"
        raise _nothing_compared(result, "`require-comparison` is set", advice)


def _nothing_compared(result: Result, why: str, advice: str) -> InvalidMeasurementError:
    what = f"no cell was compared with base, and {why}"
    for first in result.not_compared:
        return InvalidMeasurementError(what, where=first.cell, cause=first.reason, advice=advice, log=first.log)
    return InvalidMeasurementError(what, advice=advice)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error}") from error
