"""`bench-action check --up`: bring the stack up once, try each request, and take it down."""

from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import Console

from bench_action.cli.tryout import list_hints, list_missing, tabulate_attempts
from bench_action.config.load import Project
from bench_action.config.options import Options
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Engine
from bench_action.git.revisions import load_revisions
from bench_action.model.errors import VerificationError
from bench_action.model.machine import Condition
from bench_action.model.wording import plural
from bench_action.pipeline import Ports
from bench_action.report.plain import make_text
from bench_action.report.terminal import print_table
from bench_action.stack.cleanup import cleaned_up
from bench_action.stack.images import make_load_image
from bench_action.stack.machines import Watchers, judge_machines, watch_machines
from bench_action.stack.pinning import check_pinning, read_cpus
from bench_action.stack.preflight import measure_room
from bench_action.stack.services import start_generator
from bench_action.stack.stack import bring_up
from bench_action.verify.failures import make_verification_error
from bench_action.verify.tryout import Tryout, try_requests


def start_once(options: Options, ports: Ports, owner: Ownership) -> tuple[Project, Tryout]:
    """Bring the stack up, try each request, and take the stack down, however that ends. Raises BenchError."""
    with load_revisions(options, ports.environ, ports.progress) as revisions:
        engine = ports.make_engine(owner, revisions.head)
        if swept := engine.sweep():
            ports.progress.step(f"removed what dead runs had left: {', '.join(swept)}")
        with cleaned_up(engine, ports.interrupts, ports.progress.warn):
            slots = measure_room(engine, revisions.head).slots
            given = options.secrets.values
            stack = bring_up(engine, revisions.head, given, ports.progress, results=options.output, slots=slots)
            return revisions.head, ports.redaction.hide(try_requests(stack, revisions.head, ports.progress))


def probe_hosts(project: Project, engine: Engine, ports: Ports) -> list[Condition]:
    """Prove that the hosts reach each other over a network of the run, and remove it again. Raises BenchError."""
    if swept := engine.sweep():
        ports.progress.step(f"removed what dead runs had left: {', '.join(swept)}")
    if not engine.machines:
        return [Condition("network of the hosts", "ok", "there is one host only")]
    with cleaned_up(engine, ports.interrupts, ports.progress.warn):
        engine.open(["a"])
        image = make_load_image(engine, project.config.load.image, ports.progress, needs_k6=project.needs_k6)
        load, agent = start_generator(engine, project.config, image)
        watchers = watch_machines(engine, image, load, agent)
        speed, conditions = watchers.bytes_per_s or 0.0, [*judge_machines(watchers), *_check_pinning(engine, watchers)]
    found = f"all reach each other; {speed / 1e6:,.0f} MB/s arrive at wrk's host from the application's"
    return [Condition("network of the hosts", "ok", found), *conditions]


def _check_pinning(engine: Engine, watchers: Watchers) -> Iterator[Condition]:
    """Check that containers can be pinned to CPUs on each host."""
    for watcher in watchers.all:
        if why := check_pinning(engine, watcher.handle, partial(read_cpus, watcher.agent)):
            cure = "use an engine with the cpuset controller; for rootless Docker, delegate it to the user"
            yield Condition(f"{watcher.roles.title}: CPUs", "warning", why, cure)


def print_tryout(tryout: Tryout, project: Project, console: Console) -> None:
    """Print all requests and what is missing. Raises VerificationError if a run could not measure everything."""
    console.print()
    print_table(tabulate_attempts(tryout.attempts, tryout.scripts), console)
    console.print()
    for mark, lines in (("missing", list_missing(tryout, project)), ("hint", list_hints(tryout, project))):
        _print_lines(mark, lines, console)
    if tryout.error is not None:
        raise tryout.error
    if tryout.failures:
        raise make_verification_error(tryout.failures)
    wrong = [attempt for attempt in tryout.attempts if not attempt.is_expected]
    failing = [script.script for script in tryout.scripts if script.problem]
    parts = [f"{plural(len(wrong), 'request')} of {len(tryout.attempts)} not answered as expected"] if wrong else []
    parts += [f"{plural(len(failing), 'script')} failed: {', '.join(failing)}"] if failing else []
    if parts:
        raise VerificationError("; ".join(parts), advice="fix what is listed as missing above")
    console.print(make_text("Ready to measure: bench-action run --baseline REF"))


def _print_lines(mark: str, lines: Sequence[str], console: Console) -> None:
    style = {"missing": "yellow", "hint": ""}[mark]
    for line in lines:
        text = make_text(f"{mark}: ", style).append_text(make_text(line, "default"))
        console.print(text, soft_wrap=not console.is_terminal)
    if lines:
        console.print()
