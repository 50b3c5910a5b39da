"""The command line. Only here is the environment read, and an error turned into an exit status."""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench_action import __version__
from bench_action.cli import trend
from bench_action.cli.check import print_tryout, probe_hosts, start_once
from bench_action.cli.engines import Machines, choose_engine, make_docker_engine
from bench_action.cli.interrupts import SignalInterrupts
from bench_action.compare.stored import compare_results
from bench_action.compare.verdict import is_judged
from bench_action.config.environment import check_environment
from bench_action.config.load import PRESETS, load_project
from bench_action.config.options import Options
from bench_action.config.redaction import Redaction
from bench_action.config.schema import Config
from bench_action.config.secrets import Secrets
from bench_action.config.shard import Shard
from bench_action.engine.ownership import Ownership
from bench_action.github.commands import Commands
from bench_action.model.errors import (
    BenchError,
    InputError,
    InterruptedRunError,
    InvalidMeasurementError,
    RegressionError,
    VerificationError,
    explain_exhaustion,
)
from bench_action.model.hosts import Hosts, SshFiles
from bench_action.model.machine import Condition
from bench_action.model.result import Result
from bench_action.model.wording import strip_controls
from bench_action.pipeline import Clock, Outcome, Ports, add_notes
from bench_action.pipeline import run as run_pipeline
from bench_action.report.folder import explain_contradictions, read_result
from bench_action.report.headline import choose_headline
from bench_action.report.html import render_html
from bench_action.report.junit import render_junit
from bench_action.report.markdown import render_markdown
from bench_action.report.plain import make_text
from bench_action.report.progress import LiveProgress, PlainProgress, RedactedProgress
from bench_action.report.terminal import print_compared, print_conditions, print_view
from bench_action.report.view import make_view
from bench_action.stack.preflight import StealMeter, preflight, require_fit
from bench_action.stats.interval import LEAST_BLOCKS
from bench_action.verify.failures import make_verification_error

if TYPE_CHECKING:
    from bench_action.action.step import Action

_BUG = 70  # EX_SOFTWARE of sysexits.h
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OUTPUT = Path("bench-results")
_STEPS = frozenset({"action", "publish"})  # commands that are a step of a workflow


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the commands share. `commands`: None unless this is a step of a workflow. `redaction`: of their output."""

    interrupts: SignalInterrupts
    commands: Commands | None
    redaction: Redaction

    def allow_secrets(self, names: Sequence[str] | None) -> Secrets:
        """Allow the variables that the user names, and hide their values in all output. Raises InputError."""
        listed = [name for text in names or () for name in text.replace(",", " ").split()]
        secrets = Secrets.allow(listed, os.environ)
        self.redaction.add(secrets.values.values())
        return secrets


class EngineChoice(StrEnum):
    """Where services run."""

    AUTO = "auto"
    DOCKER = "docker"
    LOCAL = "local"


class FailOn(StrEnum):
    """Which verdicts set the exit status; `regression` includes `invalid`."""

    REGRESSION = "regression"
    INVALID = "invalid"
    NEVER = "never"


class RulesChoice(StrEnum):
    """Whose rules judge head."""

    BASE = "base"
    HEAD = "head"


class Format(StrEnum):
    """How a stored result is shown."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"
    JUNIT = "junit"


_Config = Annotated[
    Path | None,
    typer.Argument(
        help="Default: ./bench.yml, else a compose file that builds an application, else the built-in ones."
    ),
]
_Preset = Annotated[str, typer.Option(help=f"How to measure: {', '.join(PRESETS[:-1])} or {PRESETS[-1]}.")]
_Engine = Annotated[EngineChoice, typer.Option(help="Where services run: `auto` uses Docker if it can, else `local`.")]
_Variants = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Measure only this variant (repeatable).")]
_Profiles = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Use only this profile (repeatable).")]
_Output = Annotated[Path, typer.Option(metavar="DIR", help="The folder for the results.")]
_Seed = Annotated[int, typer.Option(help="Seed for the order of trials; the same seed gives the same order.")]
_FailOn = Annotated[FailOn, typer.Option(help="What sets an error status; `regression` includes `invalid`.")]
_Baseline = Annotated[
    str | None, typer.Option(metavar="REF", help="Compare each variant with this git revision of it, in pairs.")
]
_Rules = Annotated[RulesChoice, typer.Option(help="With --baseline: whose gates, work, profiles and services apply.")]
_Compare = Annotated[tuple[str, str] | None, typer.Option(metavar="A B", help="Compare two variants, in pairs.")]
_SelfTest = Annotated[
    bool, typer.Option("--self-test", help="Compare head with itself: is this setup reliable, what can it detect?")
]
_Secrets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME,…", help="Variables of your environment that the configuration may ask for (repeatable)."
    ),
]
_MaxMinutes = Annotated[
    float | None, typer.Option(metavar="N", min=0.1, help="Stop measuring after N minutes, at the end of a block.")
]

_Shard = Annotated[
    str | None,
    typer.Option(metavar="N/M", help="Measure only this part of the run, for `merge`: 2/5 is the second of five."),
]

_Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="ROLE=URL",
        help="A machine of the run: app=ssh://USER@HOST, services=…, load=… (repeatable); see docs/hosts.md.",
    ),
]
_SshKey = Annotated[Path | None, typer.Option(metavar="FILE", help="The private key for the hosts.")]
_KnownHosts = Annotated[Path | None, typer.Option(metavar="FILE", help="A known_hosts file with the hosts' keys.")]

app = typer.Typer(
    help="Start PostgreSQL, Redis and every variant of a web application, prove that the variants do the same work, "
    "load them with wrk, and report how they compare.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(trend.app, name="trend")
app.command()(trend.ledger)


@app.command()
def run(
    context: typer.Context,
    config: _Config = None,
    preset: _Preset = "quick",
    engine: _Engine = EngineChoice.AUTO,
    variant: _Variants = None,
    profile: _Profiles = None,
    output: _Output = _OUTPUT,
    seed: _Seed = 0,
    fail_on: _FailOn = FailOn.REGRESSION,
    baseline: _Baseline = None,
    rules: _Rules = RulesChoice.BASE,
    compare: _Compare = None,
    self_test: _SelfTest = False,
    max_minutes: _MaxMinutes = None,
    secrets: _Secrets = None,
    shard: _Shard = None,
    host: _Hosts = None,
    ssh_key: _SshKey = None,
    known_hosts: _KnownHosts = None,
) -> None:
    """Measure on this machine, or on others."""
    if self_test and baseline is not None:
        raise InputError("--self-test compares head with itself, so it cannot be combined with --baseline")
    invocation: Invocation = context.obj
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
        secrets=invocation.allow_secrets(secrets),
        shard=Shard.parse(shard) if shard is not None else None,
        hosts=Hosts.read(host) if host else None,
        ssh=_read_ssh_files(ssh_key, known_hosts),
    )
    # `merge` decides, once it has all shards
    conclude(_measure(options, engine, invocation), fail_on if options.shard is None else FailOn.NEVER)


def _measure(options: Options, engine: EngineChoice, invocation: Invocation) -> Outcome:
    """Run the pipeline and print the result."""
    environ = dict(os.environ)
    console = Console(stderr=True)
    with LiveProgress(console) if console.is_terminal else PlainProgress(console) as shown:
        progress = RedactedProgress(shown, invocation.redaction)
        machines = Machines(options.hosts, options.ssh)
        make_engine = partial(choose_engine, engine.value, environ, progress, machines=machines)
        ports = Ports(environ, invocation.interrupts, progress, make_engine, invocation.redaction)
        outcome = run_pipeline(options, ports)
    with contextlib.suppress(OSError):  # a full disk, or a closed pipe: the verdict remains
        print_view(make_view(outcome.result), Console())
        if not outcome.unpublished:
            typer.echo(f"\nThe full report, with every trial: {options.output / 'report.html'}")
    return outcome


def _read_ssh_files(key: Path | None, known_hosts: Path | None) -> SshFiles:
    """Check that the files for SSH are there. Raises InputError."""
    for path in (key, known_hosts):
        if path is not None and not path.is_file():
            raise InputError(f"there is no file {path}")
    return SshFiles(*(str(path.resolve()) if path is not None else "" for path in (key, known_hosts)))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of the repository.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    stdout: Annotated[bool, typer.Option("--stdout", "--dry-run", help="Print the files; write nothing.")] = False,
) -> None:
    """Write bench.yml and a workflow, from the repository's Dockerfile, compose file and routes."""
    # imported here, as no other command needs it, and other commands should start fast
    from bench_action.cli import init as initial  # noqa: PLC0415

    found = initial.prepare(folder)
    if stdout:
        text = "\n".join(f"# --- {initial.name(path)}\n{text}" for path, text in found.files.items())
        _echo(text)
        return
    for line in initial.describe(found, found.write(force=force)):
        typer.echo(strip_controls(line))


@app.command()
def check(
    context: typer.Context,
    config: _Config = None,
    preset: _Preset = "quick",
    engine: _Engine = EngineChoice.AUTO,
    up: Annotated[bool, typer.Option("--up", help="Also start the stack once, and try each request.")] = False,
    hosts: Annotated[bool, typer.Option("--hosts", help="Also try the network between the hosts.")] = False,
    secrets: _Secrets = None,
    host: _Hosts = None,
    ssh_key: _SshKey = None,
    known_hosts: _KnownHosts = None,
) -> None:
    """Validate a configuration and this machine, or the hosts; measure nothing."""
    environ, console, steal = dict(os.environ), Console(), StealMeter()
    invocation: Invocation = context.obj
    allowed, hide = invocation.allow_secrets(secrets), invocation.redaction.hide
    project = load_project(config, preset, environ=environ, secrets=allowed)
    allowed.require(project.config.secrets)
    check_environment(project.config, allowed.values)
    owner = Ownership.claim(Clock().run_id if up or hosts else "check", "")
    machines = Machines(Hosts.read(host) if host else None, _read_ssh_files(ssh_key, known_hosts))
    choose = partial(choose_engine, engine.value, environ, machines=machines)
    chosen = choose(PlainProgress(console), owner, project)
    lines = [Condition("configuration", "ok", f"{project.origin}: {', '.join(project.config.variants)}")]
    lines += [
        Condition("engine", "ok", chosen.name),
        *preflight(chosen, project),
        *([] if machines.find(project) else [steal.read()]),
    ]
    print_conditions(hide(lines), console)
    require_fit(lines)
    stderr = Console(stderr=True)
    if hosts:
        if machines.find(project) is None:
            raise InputError("--hosts: no hosts are named", advice="name them with `hosts` in bench.yml, or `--host`")
        ports = Ports(environ, invocation.interrupts, PlainProgress(stderr), lambda *_: chosen, invocation.redaction)
        print_conditions(hide(probe_hosts(project, chosen, ports)), console)
    if up:
        engine_up = choose(PlainProgress(Console(quiet=True)), owner, project) if hosts else chosen
        with LiveProgress(stderr) if stderr.is_terminal else PlainProgress(stderr) as shown:
            progress = RedactedProgress(shown, invocation.redaction)
            ports = Ports(environ, invocation.interrupts, progress, lambda *_: engine_up, invocation.redaction)
            tried, tryout = start_once(Options(config, preset, secrets=allowed), ports, owner)
        print_tryout(tryout, tried, console)


@app.command()
def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="The result of a run.")],
    output_format: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TERMINAL,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: standard output.")] = None,
) -> None:
    """Show a stored result again."""
    with explain_contradictions(f"could not show {result}"):
        stored = read_result(result)
        if output_format is Format.TERMINAL and output is None:
            print_view(make_view(stored), Console())
            return
        text = _render(stored, output_format)
    if output is None:
        _echo(text)
    else:
        _write(output, text)


def _render(result: Result, output_format: Format) -> str:
    match output_format:
        case Format.TERMINAL:
            page = StringIO()
            print_view(make_view(result), Console(file=page, width=120))
            return page.getvalue()
        case Format.MARKDOWN:
            return render_markdown(make_view(result))
        case Format.HTML:
            return render_html(result)
        case Format.JUNIT:
            return render_junit(result)
        case Format.JSON:
            return result.model_dump_json(indent=2) + "\n"


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE.json", help="A stored result.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD.json", help="Another one, from the same kind of machine.")],
) -> None:
    """Show two stored results side by side, without a verdict; refuses results of different kinds of machines."""
    before, after = read_result(base), read_result(head)
    with explain_contradictions(f"could not compare {head} with {base}"):
        print_compared(compare_results(before, after), Console())


@app.command()
def action(
    context: typer.Context,
    sweep: Annotated[bool, typer.Option("--sweep", help="Only remove what this job's runs left behind.")] = False,
) -> None:
    """Run as a step of a workflow: read the action's inputs from the environment, measure, and publish the result."""
    step = _make_action(context)
    if sweep:
        step.sweep()
        return
    outcome, inputs = step.execute()
    if outcome is not None and inputs.shard is not None:
        conclude(outcome, FailOn.NEVER)
    elif outcome is not None:
        conclude(outcome, FailOn(inputs.fail_on), require_comparison=inputs.require_comparison)


@app.command()
def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help="Output folders of shards, or a folder of such.")
    ],
    output: _Output = _OUTPUT,
    fail_on: _FailOn = FailOn.REGRESSION,
) -> None:
    """Merge the results of a run's shards into one, and report its verdict."""
    # imported here, as publishing needs GitHub's client, and other commands should start fast
    from bench_action.publish.shards import merge_folders, write_merged  # noqa: PLC0415

    result = merge_folders(folders, lambda folder: read_result(folder / "result.json"))
    write_merged(result, output)
    print_view(make_view(result), Console())
    typer.echo(f"\nThe full report, with every trial: {output / 'report.html'}")
    conclude(Outcome(result, ()), fail_on)


@app.command()
def publish(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of a run in another job.")],
) -> None:
    """Publish the result of another job on its pull request; reads the action's inputs from the environment."""
    _make_action(context).publish(folder)


@app.command()
def schema(
    result: Annotated[bool, typer.Option("--result", help="Print the schema of result.json instead.")] = False,
) -> None:
    """Print the JSON Schema of the configuration."""
    model = Result if result else Config
    described = {"$schema": _DRAFT, **model.model_json_schema(mode="serialization" if result else "validation")}
    typer.echo(json.dumps(described, indent=2, ensure_ascii=False))


@app.callback(invoke_without_command=True)
def show_version(
    show: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version.")] = False,
) -> None:
    """Print the version if requested."""
    if show:
        typer.echo(f"bench-action {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command and exit with its status (README, "Exit status")."""
    interrupts = SignalInterrupts()
    try:
        interrupts.install()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # text of others may have what the encoding of the terminal does not
                stream.reconfigure(errors="backslashreplace")
        with _stop_runner_commands(sys.argv[1:]) as commands:
            _run_command(Invocation(interrupts, commands, Redaction()))
    except InterruptedRunError as error:  # it came while another error was printed
        sys.exit(error.exit_status)
    finally:
        _flush_streams()


def _flush_streams() -> None:
    """Flush, and discard what a full disk does not take, so that the exit status is the command's."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), stream.fileno())


@contextlib.contextmanager
def _stop_runner_commands(arguments: Sequence[str]) -> Iterator[Commands | None]:
    """In a step of a workflow, stop the runner's commands before anything else is printed, and print on one stream.

    The runner reads standard output and standard error in parallel: it may read what is printed on one before what was
    printed earlier on the other.
    """
    if next((word for word in arguments if not word.startswith("-")), "") not in _STEPS:
        yield None
        return
    with contextlib.redirect_stderr(sys.stdout):
        commands = Commands(sys.stdout, os.environ)
        commands.stop()
        yield commands


def _run_command(invocation: Invocation) -> None:
    hide = invocation.redaction.hide
    try:
        app(obj=invocation)  # raises SystemExit; its status is 2 if the arguments are invalid
    except BenchError as error:
        cause = invocation.interrupts.find_cause(error)
        if cause is not error:
            add_notes(cause, [error])
        _print_error(hide(cause))
        sys.exit(cause.exit_status)
    except Exception as error:  # noqa: BLE001 (anything else is a bug of ours, and the user should know)
        if isinstance(error, OSError) and (exhausted := explain_exhaustion(error)):
            _print_error(hide(exhausted))
            sys.exit(exhausted.exit_status)
        text = f"{hide(traceback.format_exc())}This is a bug in bench-action: please report it with the lines above."
        Console(stderr=True).print(make_text(text), soft_wrap=True)
        sys.exit(_BUG)
    finally:
        invocation.interrupts.end()


def _make_action(context: typer.Context) -> "Action":
    # imported here, as GitHub's client takes as long to import as everything else, and other commands should start fast
    from bench_action.action.step import Action  # noqa: PLC0415

    environ = dict(os.environ)
    invocation: Invocation = context.obj
    commands = invocation.commands or Commands(sys.stdout, environ)
    return Action(
        environ, invocation.interrupts, commands, sys.stdout, make_docker_engine, redaction=invocation.redaction
    )


def _print_error(error: BenchError) -> None:
    console = Console(stderr=True)
    notes = getattr(error, "__notes__", [])
    with contextlib.suppress(OSError):  # a full disk, or a closed pipe: the exit status remains
        console.print(make_text("\n".join([f"error: {error}", *notes]), "red"), soft_wrap=True)


def conclude(outcome: Outcome, fail_on: FailOn, *, require_comparison: bool = False) -> None:
    """Raise the verdict's BenchError or, if the verdict is fine, the first error of writing and publishing, if any."""
    unpublished = list(outcome.unpublished)
    try:
        raise_verdict(outcome, fail_on, require_comparison=require_comparison)
        if unpublished:
            raise unpublished.pop(0)
    except BenchError as error:
        add_notes(error, unpublished)
        raise


def raise_verdict(outcome: Outcome, fail_on: FailOn, *, require_comparison: bool = False) -> None:
    """Raise the BenchError that a finished run exits with, if any (README, "Exit status")."""
    result = outcome.result
    if outcome.failures:
        raise make_verification_error(outcome.failures)
    if failed := [subject for subject in result.subjects if subject.failure and subject.revision == "head"]:
        text = "\n".join(f"  - {subject.name}: {subject.failure}" for subject in failed)
        raise VerificationError(f"{', '.join(subject.name for subject in failed)} cannot be compared\n{text}")
    if result.verdict == "regressed" and fail_on is FailOn.REGRESSION:
        what = choose_headline(result).text.replace("`", "")
        raise RegressionError(what, advice="fix the regression, or raise the gate in `gates:`")
    if result.verdict == "invalid" and fail_on is not FailOn.NEVER:
        cause = next(warning for warning in result.warnings if warning.code.invalidates)
        raise InvalidMeasurementError(
            "the measurement is invalid", where=cause.cell, cause=cause.message, advice=cause.advice
        )
    if not result.compared and result.run.self_test:
        what = "no cell was compared, so the self-test shows nothing"
        raise _make_comparison_error(result, what, "fix the cause, and run it again")
    if require_comparison and not result.compared:
        what = "no cell was compared with base, but `require-comparison` is set"
        advice = "fix the cause; the pull request that introduces the benchmark needs `require-comparison: false` once"
        raise _make_comparison_error(result, what, advice)
    if require_comparison and not any(is_judged(c) for c in result.comparisons):
        undecided = next((c for c in result.comparisons if c.kind == "revision" and c.reason), None)
        raise InvalidMeasurementError(
            f"no cell was compared with base under load in {LEAST_BLOCKS} blocks or more, but `require-comparison` is "
            "set",
            where=undecided.cell if undecided is not None else "",
            cause=undecided.reason if undecided is not None else "",
            advice="give the run more time: `max-minutes`",
        )


def _make_comparison_error(result: Result, what: str, advice: str) -> InvalidMeasurementError:
    """Make an error with the reason why the first cell was not compared."""
    if not result.not_compared:
        return InvalidMeasurementError(what, advice=advice)
    first = result.not_compared[0]
    return InvalidMeasurementError(what, where=first.cell, cause=first.reason, advice=advice, log=first.log)


def _echo(text: str) -> None:
    """Print the contents of a file: to a terminal as plain text, elsewhere as it is."""
    typer.echo(strip_controls(text) if sys.stdout.isatty() else text, nl=False)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"could not write {path}: {error}") from error
