"""One run, from the configuration to the result: the eight steps on one page, of which the caller does the last.

config → plan → stack → verify → measure → compare → report → publish
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bench_action import __version__
from bench_action.compare.assemble import Facts, assemble
from bench_action.compare.coverage import describe
from bench_action.config.control import identify_control
from bench_action.config.load import Project, find_builtin_file
from bench_action.config.options import Options
from bench_action.config.redaction import Redaction
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Engine
from bench_action.git.revisions import Revisions, load_revisions
from bench_action.git.sources import name_configuration
from bench_action.measure.measurer import measure
from bench_action.model.errors import BenchError, InputError, StackError, explain_exhaustion
from bench_action.model.machine import Condition
from bench_action.model.progress import Progress
from bench_action.model.result import Result, RunInfo
from bench_action.model.wording import plural
from bench_action.plan.plan import Plan, make_plan
from bench_action.plan.shares import Share, divide
from bench_action.report.folder import OutputFolder
from bench_action.stack.cleanup import Interrupts, cleaned_up
from bench_action.stack.memory import Room
from bench_action.stack.pinning import find_placements, fit_to_pinning
from bench_action.stack.preflight import StealMeter, measure_room, preflight, require_fit
from bench_action.stack.stack import Stack, bring_up
from bench_action.verify.failures import Failure
from bench_action.verify.verification import verify


@dataclass(frozen=True, slots=True)
class Ports:
    """What a run needs of the outside. `environ`: the caller's environment. `redaction`: hides secrets in a result."""

    environ: Mapping[str, str]
    interrupts: Interrupts
    progress: Progress
    make_engine: Callable[[Ownership, Project], Engine]
    redaction: Redaction = field(default_factory=Redaction)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found, and which variants it could not measure because they broke a rule.

    `unpublished`: what could not be written or published afterwards; the verdict comes before it.
    """

    result: Result
    failures: Sequence[Failure]
    unpublished: Sequence[BenchError] = ()


def run(options: Options, ports: Ports) -> Outcome:
    """Measure what the options ask for. Raises a BenchError; what was measured until then has been written anyway."""
    try:
        return _run(options, ports)
    except OSError as error:
        if exhausted := explain_exhaustion(error):
            raise exhausted from error
        raise


def _run(options: Options, ports: Ports) -> Outcome:
    clock, steal, progress, hide = Clock(), StealMeter(), ports.progress, ports.redaction.hide
    with load_revisions(options, ports.environ, progress) as loaded:  # config
        output = OutputFolder(options.output)
        revisions, share = _take_share(loaded, options)
        engine, room = _make_engine(options, revisions, ports, clock.run_id)
        left: list[BenchError] = []  # the verdict counts also if cleaning up fails
        with cleaned_up(engine, ports.interrupts, ports.progress.warn, left.append):
            with clock.time("stack"):
                stack = _bring_up(engine, revisions, options, ports, room)  # stack
            if not engine.machines:
                _warn([steal.read()], progress)
            with clock.time("verify"):
                verified = verify(stack, revisions, progress)  # verify
            places = find_placements(stack)
            found = verified.project, verified.subjects, verified.lacks, places
            plan = make_plan(*found, options, in_turns=stack.in_turns, share=share)  # plan
            plan = fit_to_pinning(stack, plan, progress)
            facts = _describe(stack, revisions, plan, options, environ=ports.environ, clock=clock)
            facts = facts.add(verified.findings, verified.warnings)
            output.begin()
            with clock.time("measure"):
                append, hold = (lambda trial: output.append(hide(trial))), ports.interrupts.hold
                measured = measure(stack, plan, append, progress, hold)  # measure
            result = hide(assemble(plan, measured, clock.stamp(facts)))  # compare
            unwritten = _write(output, result, progress)  # report
            if measured.stopped is not None:
                raise _explain(measured.stopped, result, output, unwritten)
    if revisions.base is not None and not options.self_test:
        progress.step(describe(result.compared, result.not_compared, revisions.base.name).replace("`", ""))
    return Outcome(result, hide(verified.head_failures), (*unwritten, *left))


@dataclass(slots=True)
class Clock:
    """When the run began, and how long its steps took."""

    timings: dict[str, float] = field(default_factory=dict)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _started: float = field(default_factory=time.monotonic)
    _suffix: str = field(default_factory=lambda: secrets.token_hex(3))

    @property
    def run_id(self) -> str:
        """The run's name, which sorts by time."""
        return f"{self.began_at:%Y%m%d-%H%M%S}-{self._suffix}"

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Time a step, also one that fails."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings[step] = round(time.monotonic() - started, 3)

    def stamp(self, facts: Facts) -> Facts:
        """Return the facts with how long the run and its steps have taken."""
        duration_s = round(time.monotonic() - self._started, 3)
        return replace(facts, run=facts.run.model_copy(update={"duration_s": duration_s}), timings=self.timings)


def _take_share(revisions: Revisions, options: Options) -> tuple[Revisions, Share | None]:
    """Leave out what other shards measure, if the run is divided among runners."""
    if options.shard is None:
        return revisions, None
    source = revisions.source
    facts = {
        "tool": __version__,
        "seed": options.seed,
        "rules": options.rules,
        "self_test": options.self_test,
        "compare": [list(pair) for pair in options.compare],
        "dirty": source.dirty,
        "commits": [source.base_sha, source.head_sha],
    }
    share = divide(options.shard, revisions.head, revisions.base, options.compare, facts=facts)
    base = share.narrow_base(revisions.base) if revisions.base is not None else None
    return replace(revisions, head=share.narrow(revisions.head), base=base), share


def _make_engine(options: Options, revisions: Revisions, ports: Ports, run_id: str) -> tuple[Engine, Room]:
    """Make the engine, remove what dead runs have left on it, and require that it can take this run."""
    owner = Ownership.claim(run_id, revisions.source.repository, options.job)
    engine = ports.make_engine(owner, revisions.head)
    if swept := engine.sweep():
        ports.progress.step(f"removed what dead runs had left: {', '.join(swept)}")
    bases = len(revisions.base.project.config.variants) if revisions.base is not None else 0
    paired = revisions.base is not None or bool(options.compare)
    require_fit(engine.check_machines())
    room = measure_room(engine, revisions.head, bases, paired=paired)
    conditions = preflight(engine, revisions.head, room)
    _warn(conditions, ports.progress)
    require_fit(conditions)
    return engine, room


def _warn(conditions: Sequence[Condition], progress: Progress) -> None:
    for condition in conditions:
        if condition.level == "warning":
            progress.warn(f"{condition.name}: {condition.found} ({condition.cure})")


def _bring_up(engine: Engine, revisions: Revisions, options: Options, ports: Ports, room: Room) -> Stack:
    """Bring up the stack. A self-test needs both of its sides: one alone would prove nothing, and look good."""
    stack = bring_up(
        engine,
        revisions.head,
        options.secrets.values,
        ports.progress,
        base=revisions.base,
        results=options.output,
        slots=room.slots,
        tracks=room.tracks,
        seed=options.seed,
    )
    for variant, lack in stack.lacks.items():
        reason = lack.reason.replace("`", "")
        if options.self_test:
            raise StackError(
                f"the second {variant} of the self-test did not come up",
                where=f"{variant}-base",
                cause=reason,
                log=lack.log,
                advice="let the application start twice in a row",
            )
        ports.progress.warn(f"{variant} is measured without base: {reason}")
    return stack


def _describe(
    stack: Stack, revisions: Revisions, plan: Plan, options: Options, *, environ: Mapping[str, str], clock: Clock
) -> Facts:
    head, engine = revisions.head, stack.engine
    built_in = options.config is None and head.folder == find_builtin_file().parent.resolve()
    workspace = environ.get("GITHUB_WORKSPACE", "")
    run = RunInfo(
        id=clock.run_id,
        started_at=clock.began_at.isoformat(timespec="seconds"),
        duration_s=0.0,
        seed=options.seed,
        engine=engine.name,
        preset=head.preset,
        tool_version=__version__,
        command=options.command,
        self_test=options.self_test,
        config="built-in" if built_in else name_configuration(head.folder, head.file, workspace),
        key=options.key,
        job=options.workflow_job,
    )
    return Facts(
        run=run,
        source=revisions.source,
        machine=engine.machine(),
        generator=stack.watchers.find("application").found if stack.watchers.all else stack.agent.machine(),
        images=stack.images.ids,
        control=identify_control(plan.project, plan.subjects),
        compares=revisions.base is not None,
        warnings=(*revisions.warnings, *stack.warnings),
        applied=revisions.applied,
        runner=environ.get("RUNNER_ENVIRONMENT", ""),
        hosts=stack.watchers.describe(),
        network_bytes_per_s=stack.watchers.bytes_per_s,
    )


def _write(output: OutputFolder, result: Result, progress: Progress) -> list[BenchError]:
    """Write the result if there is any; return what went wrong, as a full disk takes no verdict away.

    A result that could not be written is in a note of the error, which the log shows.
    """
    if not result.trials and not result.shards:  # a shard may have nothing left to measure
        return []
    try:
        output.write(result)
    except InputError as error:
        progress.warn(str(error))
        if not output.has_result:
            error.add_note(f"  kept:   result.json could not be written. It would be:\n{result.model_dump_json()}")
        return [error]
    return []


def add_notes(error: BenchError, others: Sequence[BenchError]) -> None:
    """Add other errors to one that is raised, each with its own notes."""
    for other in others:
        for note in (f"  also:   {other.what}", *getattr(other, "__notes__", ())):
            error.add_note(note)


def _explain(error: BenchError, result: Result, output: OutputFolder, unwritten: Sequence[BenchError]) -> BenchError:
    """Add to an error that ended measuring what was kept, or could not be."""
    if result.trials:
        kept = f"  kept:   {plural(len(result.trials), 'finished trial')}, in {output.folder}"
        add_notes(error, unwritten)
        if not unwritten:
            error.add_note(kept)
    return error
