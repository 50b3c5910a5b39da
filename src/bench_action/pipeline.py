"""One run: config → plan → stack → verify → measure → compare → report."""

import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench_action import __version__
from bench_action.assemble import Facts, assemble
from bench_action.config.load import Loaded, load
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Engine
from bench_action.measure import Measurer
from bench_action.model.errors import BenchError
from bench_action.model.progress import Progress
from bench_action.model.result import Result, RunInfo, Trial
from bench_action.model.wording import plural
from bench_action.plan import Cell, Step, make_plan
from bench_action.preflight import preflight, require_fit
from bench_action.sources import read_source
from bench_action.stack.environment import check_environment
from bench_action.stack.ownership import Interrupts, Owned
from bench_action.stack.stack import Stack, bring_up
from bench_action.store import Store
from bench_action.verify import Failure, as_error, failed_subjects, verify

_OVERHEAD_S = 0.3  # of a trial, beyond wrk's own duration (benchmarks/harness.py measures it)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    config: Path | None = None
    preset: str = "quick"
    variants: Sequence[str] = ()
    profiles: Sequence[str] = ()
    output: Path = Path("bench-results")
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found, and which variants it could not measure because they broke a rule."""

    result: Result
    failures: Sequence[Failure]


@dataclass(slots=True)
class Run:
    """One run with its collaborators, passed in; `environ` is the caller's environment."""

    options: Options
    environ: Mapping[str, str]
    interrupts: Interrupts
    progress: Progress
    make_engine: Callable[[Ownership, Loaded], Engine]
    _timings: dict[str, float] = field(default_factory=dict)
    _trials: list[Trial] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def execute(self) -> Outcome:
        """Raises a BenchError; what was measured until then has been written all the same."""
        options = self.options
        loaded = load(options.config, options.preset, variants=options.variants, profiles=options.profiles)
        check_environment(loaded.config, self.environ)
        store = Store(options.output)
        source = read_source(loaded.folder, self.environ)
        run_id = f"{self._began_at:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        engine = self.make_engine(Ownership.of_this_process(run_id, source.repository), loaded)
        self._sweep(engine)
        self._preflight(engine, loaded)
        facts: Facts | None = None
        try:
            with Owned(engine, self.interrupts):
                stack = self._bring_up(engine, loaded)
                failures = self._verify(stack, loaded)
                facts = Facts(
                    run=self._describe(run_id, engine, loaded), loaded=loaded, source=source, machine=engine.machine(),
                    generator=stack.services.agent.machine(), images=stack.images.ids, subjects=stack.subjects,
                    failed=failed_subjects(failures), timings=self._timings,
                )  # fmt: skip
                self._measure(stack, loaded, facts, store)
        except BenchError as error:
            if facts is not None and self._trials:
                store.write(self._result(facts, stopped=error.what.splitlines()[0]))
                error.add_note(f"  kept:   {plural(len(self._trials), 'finished trial')}, in {store.folder}")
            raise
        result = self._result(facts)
        store.write(result)
        return Outcome(result, failures)

    def _sweep(self, engine: Engine) -> None:
        if swept := engine.sweep():
            self.progress.step(f"removed what runs that are gone had left: {', '.join(swept)}")

    def _preflight(self, engine: Engine, loaded: Loaded) -> None:
        lines = preflight(engine, loaded)
        for line in lines:
            if line.level == "warning":
                self.progress.warn(f"{line.name}: {line.found} ({line.cure})")
        require_fit(lines)

    def _bring_up(self, engine: Engine, loaded: Loaded) -> Stack:
        with self._timed("stack"):
            return bring_up(engine, loaded, self.environ, self.progress)

    def _verify(self, stack: Stack, loaded: Loaded) -> Sequence[Failure]:
        """Failures of some variants; raises VerificationError when none is left that could be measured."""
        with self._timed("verify"):
            failures = verify(stack, loaded.config.checks, loaded.profiles, self.progress)
        if len(failed_subjects(failures)) == len(stack.subjects):
            raise as_error(failures)
        for failure in failures:
            self.progress.warn(f"not measured: {failure}")
        return failures

    def _measure(self, stack: Stack, loaded: Loaded, facts: Facts, store: Store) -> None:
        sound = [subject for subject in stack.subjects if subject.name not in facts.failed]
        cells = [Cell(one.variant, one.revision, profile) for profile in loaded.profiles for one in sound]
        plan = self._plan(cells, loaded)
        self.progress.step("renewing databases and subjects after verification")
        stack.renew(*sound)
        store.begin()

        def keep(trial: Trial) -> None:
            self._trials.append(trial)
            store.append(trial)

        with self._timed("measure"):
            self.progress.expect(len(plan), _expected_s(plan, loaded))
            Measurer(
                stack, loaded.profiles, loaded.policy.count_requests, facts.generator["cores"], self.progress, keep
            ).walk(plan)

    def _plan(self, cells: Sequence[Cell], loaded: Loaded) -> Sequence[Step]:
        policy = loaded.policy
        writing = any(profile.writes for profile in loaded.profiles.values())
        return make_plan(cells, blocks=policy.blocks, warmup_s=policy.warmup, seed=self.options.seed, renew=writing)

    def _describe(self, run_id: str, engine: Engine, loaded: Loaded) -> RunInfo:
        return RunInfo(
            id=run_id, started_at=self._began_at.isoformat(timespec="seconds"), duration_s=0.0, seed=self.options.seed,
            engine=engine.name, preset=loaded.preset, tool_version=__version__, command=command_of(self.options),
        )  # fmt: skip

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


def command_of(options: Options) -> str:
    """The command line that repeats a run."""
    words = ["bench-action", "run", *([str(options.config)] if options.config else []), "--preset", options.preset]
    for variant in options.variants:
        words += ["--variant", variant]
    for profile in options.profiles:
        words += ["--profile", profile]
    return shlex.join([*words, "--seed", str(options.seed)])


def _expected_s(plan: Sequence[Step], loaded: Loaded) -> float:
    return sum(
        step.warmup_s + _OVERHEAD_S + (loaded.profiles[step.cell.profile].duration if step.phase != "count" else 0)
        for step in plan
    )
