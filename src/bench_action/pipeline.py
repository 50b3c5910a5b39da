"""One run: config → plan → stack → verify → measure → compare → report."""

import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench_action import __version__
from bench_action.compare.assemble import Facts, assemble
from bench_action.compare.coverage import describe
from bench_action.compare.pairs import split_alpha
from bench_action.compare.stopping import Decider
from bench_action.config.baseline import Baseline, Lack, load_base, name_commit, unreadable_base
from bench_action.config.control import add_control, identify_control
from bench_action.config.load import Project, builtin_file, fill_in_commit, load
from bench_action.config.rules import AppliedRules, RulesOf, apply_rules
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Engine
from bench_action.git.sources import checked_out, find_former_name, name_configuration, read_source, resolve
from bench_action.measure.measurer import Measurer
from bench_action.model.errors import BenchError, InputError, StackError
from bench_action.model.machine import Condition
from bench_action.model.progress import Progress
from bench_action.model.result import Result, RunInfo, Source, Trial
from bench_action.model.wording import plural
from bench_action.plan.blocks import Cell
from bench_action.plan.design import Design, make_design
from bench_action.plan.placement import Placement, placements
from bench_action.report.folder import OutputFolder
from bench_action.stack.cleanup import CleanUp, Interrupts
from bench_action.stack.environment import check_environment, usable_base
from bench_action.stack.pinning import why_not_pinned
from bench_action.stack.preflight import StealLook, preflight, require_fit
from bench_action.stack.stack import Stack, bring_up
from bench_action.verify.cells import Counterparts, send_profiles, settled_profiles
from bench_action.verify.subjects import Failure, as_error, failed_subjects, verify


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    config: Path | None = None
    preset: str = "quick"
    variants: Sequence[str] = ()
    profiles: Sequence[str] = ()
    output: Path = Path("bench-results")
    seed: int = 0
    baseline: str | None = None
    rules: RulesOf = "base"
    compare: Sequence[tuple[str, str]] = ()
    self_test: bool = False
    max_minutes: float | None = None
    control: str | None = None
    job: str = ""
    key: str = ""
    workflow_job: str = ""
    git: Mapping[str, str] | None = field(default=None, repr=False)


class Revisions(NamedTuple):
    """What is measured: facts of its sources, head, base if one is requested, and whose rules judge."""

    source: Source
    head: Project
    base: Baseline | None = None
    judging: AppliedRules = AppliedRules()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found, and which variants it could not measure because they broke a rule.

    `unpublished`: what could not be written or published afterwards; the verdict comes before it.
    """

    result: Result
    failures: Sequence[Failure]
    unpublished: Sequence[BenchError] = ()


@dataclass(slots=True)
class Run:
    """One run with its collaborators, passed in; `environ` is the caller's environment."""

    options: Options
    environ: Mapping[str, str]
    interrupts: Interrupts
    progress: Progress
    make_engine: Callable[[Ownership, Project], Engine]
    _timings: dict[str, float] = field(default_factory=dict)
    _trials: list[Trial] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def execute(self) -> Outcome:
        """Raises a BenchError; what was measured until then has been written all the same."""
        steal = StealLook()
        with ExitStack() as folders:
            revisions = self._load(folders)
            store = OutputFolder(self.options.output)
            run_id = f"{self._began_at:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
            owner = Ownership.of_this_process(run_id, revisions.source.repository, self.options.job)
            engine = self.make_engine(owner, revisions.head)
            self._sweep(engine)
            conditions = preflight(engine, revisions.head)
            self._warn(conditions)
            require_fit(conditions)
            return self._measured(run_id, engine, revisions, store, steal)

    def _measured(
        self, run_id: str, engine: Engine, revisions: Revisions, store: OutputFolder, steal: StealLook
    ) -> Outcome:
        facts: Facts | None = None
        try:
            with CleanUp(engine, self.interrupts):
                stack = self._bring_up(engine, revisions)
                self._warn([steal.condition()])
                failures = self._verify(stack, revisions)
                run = self._describe(run_id, engine, revisions.head)
                facts = self._facts(run, revisions, stack, failures)
                self._measure(stack, facts, store)
        except BenchError as error:
            _hint_at_rules(error, revisions.judging)
            if facts is not None and self._trials:
                kept = f"  kept:   {plural(len(self._trials), 'finished trial')}, in {store.folder}"
                lost = self._written(store, self._result(facts, stopped=error.what.splitlines()[0]))
                error.add_note("\n".join([f"  also:   {other.what}" for other in lost]) or kept)
            raise
        result = self._result(facts)
        unwritten = self._written(store, result)
        if revisions.base is not None and not self.options.self_test:
            line = describe(result.compared, result.not_compared, revisions.base.name)
            self.progress.step(line.replace("`", ""))
        return Outcome(result, [one for one in failures if not one.subject.endswith("@base")], unwritten)

    def _written(self, store: OutputFolder, result: Result) -> list[BenchError]:
        """Write a result; what went wrong, as a full disk takes no verdict away."""
        try:
            store.write(result)
        except BenchError as error:
            self.progress.warn(str(error))
            return [error]
        return []

    def _load(self, folders: ExitStack) -> Revisions:
        """The sources' facts, head, and base if one is requested, each with the rules that hold for it."""
        options = self.options
        project = load(options.config, options.preset, variants=options.variants, profiles=options.profiles)
        if unknown := {name for pair in options.compare for name in pair} - set(project.config.variants):
            raise InputError(f"--compare names variants that there are not: {', '.join(sorted(unknown))}")
        if options.max_minutes is not None:
            # the time that is given is the pairs' to use: an inconclusive one may go on until it is over
            duet = project.policy.duet.model_copy(update={"seconds": options.max_minutes * 60})
            policy = project.policy.model_copy(update={"minutes": options.max_minutes, "duet": duet})
            project = replace(project, policy=policy)
        source = read_source(project.folder, self.environ)
        found = Revisions(source, project)
        if options.self_test:
            same = Baseline(project, source.head_sha, valid=True, profiles=project.profiles)
            found = Revisions(source.model_copy(update={"base_sha": source.head_sha}), project, name_commit(same))
        elif options.baseline is not None:
            found = self._with_base(found, options.baseline, folders)
        head = add_control(fill_in_commit(found.head, source.head_sha), options.control)
        check_environment(head.config, self.environ)
        return found._replace(head=head)

    def _with_base(self, found: Revisions, baseline: str, folders: ExitStack) -> Revisions:
        """Add the base revision, as far as it can be compared, and whose rules judge."""
        head, options = found.head, self.options
        commit = resolve(head.folder, baseline, options.git)
        base = self._read_base(head, commit, folders)
        judged, base, judging = apply_rules(head, base, options.rules)
        if options.rules == "base" and not base.valid and base.project.config.variants:
            self.progress.warn(f"{base.name} has no valid {head.file}: head's own rules judge".replace("`", ""))
        source = found.source.model_copy(update={"base_sha": commit})
        return Revisions(source, judged, usable_base(base, self.environ), judging)

    def _read_base(self, head: Project, commit: str, folders: ExitStack) -> Baseline:
        """Base as its sources have it; sources that cannot be read cost the comparison, and head goes on."""
        git = self.options.git
        try:
            folder = folders.enter_context(checked_out(head.folder, commit, git, self.progress.warn))
        except InputError as error:
            return unreadable_base(head, commit, error)
        moved = find_former_name(head.folder, head.file, commit, git)
        return name_commit(
            load_base(
                head, folder, commit, moved_from=moved, variants=self.options.variants, profiles=self.options.profiles
            )
        )

    def _sweep(self, engine: Engine) -> None:
        if swept := engine.sweep():
            self.progress.step(f"removed what runs that are gone had left: {', '.join(swept)}")

    def _warn(self, conditions: Sequence[Condition]) -> None:
        for one in conditions:
            if one.level == "warning":
                self.progress.warn(f"{one.name}: {one.found} ({one.cure})")

    def _bring_up(self, engine: Engine, revisions: Revisions) -> Stack:
        project, base = revisions.head, revisions.base
        pairs = len(self.options.compare) + (len(project.config.variants) if base is not None else 0)
        with self._timed("stack"):
            stack = bring_up(
                engine, project, self.environ, self.progress, base=base, pairs=pairs, results=self.options.output
            )
        if self.options.self_test:
            _require_both(stack)
        for variant, lack in stack.lacks.items():
            self.progress.warn(f"{variant} is measured without base: {lack.reason.replace('`', '')}")
        return stack

    def _verify(self, stack: Stack, revisions: Revisions) -> Sequence[Failure]:
        """Failures of some subjects; raises VerificationError when no head is left that could be measured."""
        with self._timed("verify"):
            failures = verify(stack, revisions.head, self.progress, revisions.base)
        heads = [failure for failure in failures if not failure.subject.endswith("@base")]
        failed = failed_subjects(heads)
        if all(subject.name in failed for subject in stack.subjects if subject.revision == "head"):
            raise as_error(heads)
        for failure in heads:
            self.progress.warn(f"not measured: {failure}")
        return failures

    def _facts(self, run: RunInfo, revisions: Revisions, stack: Stack, failures: Sequence[Failure]) -> Facts:
        """What is known before measuring begins: what came up, what is to be measured of it, and where."""
        failed, generator = failed_subjects(failures), stack.services.agent.machine()
        project, lacks = self._counterparts(revisions, stack, failures)
        names = [(s.variant, s.revision) for s in stack.subjects if s.revision == "base" or s.name not in failed]
        infos = tuple(subject.describe(failed.get(subject.name, "")) for subject in stack.subjects)
        places = self._places(generator)
        design = make_design(
            names,
            list(project.profiles),
            self.options.compare,
            duets=bool(places),
            seed=self.options.seed,
            without=lacks,
            boot_s=max(subject.startup_s for subject in stack.subjects),
        )
        unpinned = self._why_not_pinned(stack) if design.pairs and places else ""
        if unpinned:
            design, places = replace(design, duets=False), ()
        return Facts(
            run=run,
            project=project,
            source=revisions.source,
            machine=stack.engine.machine(),
            generator=generator,
            images=stack.images.ids,
            subjects=infos,
            control=identify_control(project, infos),
            failed=failed,
            design=design,
            places=places,
            decider=self._decider(design, project),
            timings=self._timings,
            compares=revisions.base is not None,
            lacks=lacks,
            judging=revisions.judging,
            unpinned=unpinned,
        )

    def _counterparts(
        self, revisions: Revisions, stack: Stack, failures: Sequence[Failure]
    ) -> tuple[Project, Mapping[Cell, Lack]]:
        """Head with the profiles to measure, and its cells that base has no counterpart of."""
        project, base, judging = revisions.head, revisions.base, revisions.judging
        if base is None:
            return project, {}
        replies = send_profiles(stack, project.profiles, project.own)
        profiles, changed = settled_profiles(project.profiles, judging.head_profiles or project.profiles, replies)
        project = replace(project, config=project.config.model_copy(update={"profiles": profiles}))
        found = Counterparts(base, stack.lacks, failures, replies, changed).missing(project)
        for cell, lack in found.items():
            if cell.variant not in stack.lacks:
                self.progress.warn(f"{cell} is measured without base: {lack.reason.replace('`', '')}")
        return project, found

    def _why_not_pinned(self, stack: Stack) -> str:
        """Why subjects cannot share one CPU here; empty if they can."""
        agent = stack.services.agent
        why = why_not_pinned(stack.engine, stack.services.load, lambda: agent.machine()["cpus"])
        if why:
            self.progress.warn(f"base and head are measured in turn, not at the same time: {why}")
        return why

    def _places(self, generator: Mapping[str, Any]) -> tuple[Placement, ...]:
        """Those of the engine's machine, within what this process may use where that is the same machine."""
        usable = set(generator["cpus"])
        own = Path("/proc/sys/kernel/random/boot_id")
        if own.is_file() and own.read_text(encoding="ascii").strip() == generator["boot_id"]:
            usable = usable & os.sched_getaffinity(0) or usable
        return placements(usable, {int(cpu): found for cpu, found in generator["siblings"].items()})

    def _measure(self, stack: Stack, facts: Facts, store: OutputFolder) -> None:
        design, project = facts.design, facts.project
        if design.pairs:
            places = facts.places
            none = f"none, because {facts.unpinned or 'there is one CPU only'}: subjects are measured in turn"
            placed = f"in turn: {'; '.join(map(str, places))}" if places else none
            self.progress.step(f"placement for {plural(len(design.pairs), 'pair')}, {placed}")
        store.begin()

        def keep(trial: Trial) -> None:
            self._trials.append(trial)
            try:
                store.append(trial)
            except InputError as error:
                self.progress.warn(f"{error.what}. Trials are kept in memory from now on")

        with self._timed("measure"):
            self.progress.expect(*design.expected(project))
            measurer = Measurer(
                stack,
                project.profile,
                project.policy.count_requests,
                facts.generator["cores"],
                self.progress,
                keep,
                enough=facts.decider.enough,
                places=facts.places,
                dropped=facts.dropped,
                lost=facts.lost,
                times=facts.times,
            )
            measurer.walk(design.blocks(project))

    def _decider(self, design: Design, project: Project) -> Decider:
        gates = project.config.all_gates
        return Decider(
            gates,
            split_alpha(gates, len(design.pairs)),
            max(1, len(design.pairs)),
            project.policy.duet.seconds,
            project.policy.minutes,
            to_the_end=self.options.self_test,
            timetable=design.timetable(project),
        )

    def _describe(self, run_id: str, engine: Engine, project: Project) -> RunInfo:
        return RunInfo(
            id=run_id,
            started_at=self._began_at.isoformat(timespec="seconds"),
            duration_s=0.0,
            seed=self.options.seed,
            engine=engine.name,
            preset=project.preset,
            tool_version=__version__,
            command=format_command(self.options),
            self_test=self.options.self_test,
            config=self._configuration(project),
            key=self.options.key,
            job=self.options.workflow_job,
        )

    def _configuration(self, project: Project) -> str:
        if self.options.config is None and project.folder == builtin_file().parent.resolve():
            return "built-in"
        return name_configuration(project.folder, project.file, self.environ.get("GITHUB_WORKSPACE", ""))

    def _result(self, facts: Facts, stopped: str = "") -> Result:
        run = facts.run.model_copy(update={"duration_s": round(time.monotonic() - self._started, 3)})
        return assemble(replace(facts, run=run, stopped=stopped), self._trials)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._timings[phase] = round(time.monotonic() - started, 3)


def _require_both(stack: Stack) -> None:
    """Raise StackError if a self-test has only one side to compare: it would prove nothing, and look well."""
    for variant, lack in stack.lacks.items():
        raise StackError(
            f"the second {variant} of the self-test did not come up",
            where=f"{variant}-base",
            cause=lack.reason.replace("`", ""),
            log=lack.log,
            advice=f"have the application start twice side by side, and answer as {variant}-base too",
        )


def _hint_at_rules(error: BenchError, judging: AppliedRules) -> None:
    """Point at services that head has changed and does not get: it may need its own."""
    services = [change.what for change in judging.changes if change.what.startswith("service ")]
    if services and judging.rules == "base":
        error.add_note(
            f"  note:   this pull request changes {', '.join(services)}, and ran with base's settings; "
            "`rules: head` (--rules head) runs it with its own"
        )


def format_command(options: Options) -> str:
    """The command line that repeats a run."""
    words = ["bench-action", "run", *([str(options.config)] if options.config else []), "--preset", options.preset]
    for variant in options.variants:
        words += ["--variant", variant]
    for profile in options.profiles:
        words += ["--profile", profile]
    for base, head in options.compare:
        words += ["--compare", base, head]
    words += ["--baseline", options.baseline] if options.baseline is not None else []
    words += ["--rules", "head"] if options.baseline is not None and options.rules == "head" else []
    words += ["--self-test"] if options.self_test else []
    words += ["--max-minutes", f"{options.max_minutes:g}"] if options.max_minutes is not None else []
    return shlex.join([*words, "--seed", str(options.seed)])
