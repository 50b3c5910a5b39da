"""Bring up what a run needs: images, services, databases, subjects."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.load import Project
from bench_action.engine.protocol import Engine
from bench_action.load.generator import Agent
from bench_action.model.errors import StackError
from bench_action.model.progress import Progress
from bench_action.plan.blocks import Pair
from bench_action.plan.placement import Placement
from bench_action.stack.images import Images, explain_failed_base, make_images
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.services import Services, make_http_probe, run_in_parallel, start_services
from bench_action.stack.slots import Slot, Slots
from bench_action.stack.starter import Starter
from bench_action.stack.subject import Cache, Database, Subject


@dataclass(slots=True)
class Stack:
    """The running parts of a run, for verification and measuring. `lacks`: variant → why it has no base subject."""

    engine: Engine
    services: Services
    images: Images
    starter: Starter
    subjects: tuple[Subject, ...]
    lacks: Mapping[str, Lack]
    _slots: dict[tuple[str, str], Slots] = field(default_factory=dict)
    _cpus: dict[str, Sequence[int]] = field(default_factory=dict)

    @property
    def agent(self) -> Agent:
        """The agent next to wrk."""
        return self.services.agent

    def subject(self, variant: str, revision: str) -> Subject:
        """Find the subject of a variant at a revision."""
        return next(subject for subject in self.subjects if (subject.variant, subject.revision) == (variant, revision))

    def parts(self, subject: Subject) -> dict[str, str]:
        """List the containers whose counters the agent reads: name of the part → id."""
        handles = {"application": subject.handle}
        if self.services.postgres is not None:
            handles["db"] = self.services.postgres.handle
        if self.services.redis is not None:
            handles["cache"] = self.services.redis.handle
        return {name: handle.id for name, handle in handles.items()}

    def renew(self, *subjects: Subject) -> None:
        """Recreate database and cache and restart the subjects, as if they had never received a request.

        Subjects are stopped first: a connection pool would reconnect to the database that is being dropped.
        """
        handles = [subject.handle for subject in subjects]
        run_in_parallel(self.engine.stop, handles)
        for subject in subjects:
            if subject.database is not None:
                subject.database.recreate()
            if subject.cache is not None:
                subject.cache.flush()
        run_in_parallel(self.engine.restart, handles)
        self.wait_for(*subjects)

    def wait_for(self, *subjects: Subject) -> dict[str, float]:
        """Wait until each subject answers; return name → seconds until it did."""
        return wait_until_ready(self.engine, [self._make_check(subject) for subject in subjects])

    def place(self, placement: Placement) -> None:
        """Move services and wrk to their CPUs, away from the application's."""
        wanted = dict.fromkeys(self.services.handles.values(), placement.services)
        wanted[self.services.load] = placement.load
        moving = [(handle, cpus) for handle, cpus in wanted.items() if self._cpus.get(handle.id) != cpus]
        run_in_parallel(lambda move: self.engine.pin(*move), moving)
        self._cpus |= {handle.id: cpus for handle, cpus in moving}

    def slots(self, pair: Pair) -> Slots:
        """Return the slots of a pair, made when first needed. The slots of all other pairs are emptied."""
        base, head = (self.subject(cell.variant, cell.revision) for cell in (pair.base, pair.head))
        key = (base.name, head.name)
        if key not in self._slots:
            number = len(self.subjects) + 1 + 2 * len(self._slots)
            first, second = (
                self._make_slot(head, len(self._slots), letter, number + n) for n, letter in enumerate("ab")
            )
            self._slots[key] = Slots(self.engine, self.starter, base, head, (first, second))
        for other, slots in self._slots.items():
            if other != key:
                slots.clear()
        return self._slots[key]

    def retire(self) -> None:
        """Stop the subjects outside slots: from now on only pairs are measured, in slots."""
        run_in_parallel(self.engine.stop, [subject.handle for subject in self.subjects])

    def _make_slot(self, head: Subject, pair: int, letter: str, number: int) -> Slot:
        server, redis = self.services.postgres, self.services.redis
        return Slot(
            host=f"{head.variant}-{letter}",
            database=Database(server, f"slot_{pair}_{letter}", "", "") if server is not None else None,
            cache=Cache(redis, number) if redis is not None else None,
        )

    def _make_check(self, subject: Subject) -> ReadinessCheck:
        ready, handle = subject.config.ready, subject.handle
        return ReadinessCheck(handle, ready.timeout, make_http_probe(self.agent, handle, ready.path, subject.hosts))


def bring_up(
    engine: Engine,
    project: Project,
    environ: Mapping[str, str],
    progress: Progress,
    *,
    base: Baseline | None = None,
    pairs: int = 0,
    results: Path | None = None,
) -> Stack:
    """Bring up images, services, databases and subjects, in this order; return when all answer. Raises StackError.

    `base`: also start the variants of the base revision; what fails there is kept in `lacks`, and head goes on.
    `pairs`: how many pairs of subjects will need slots. `results`: the folder of our own results, which is left out of
    every build.
    """
    engine.open()  # first, so that other runs on this engine can see that a run is under way
    images = make_images(engine, project, base, progress, results)
    progress.step("starting services")
    wanted = len(project.config.variants) + len(images.base) + 2 * pairs
    services = start_services(engine, project.config, images, wanted)
    progress.step("starting subjects")
    starter = Starter(engine, project, base, images, services, environ)
    stack = Stack(engine, services, images, starter, (), images.lacks)
    with ThreadPoolExecutor(max_workers=8) as pool:
        heads = [future.result() for future in [pool.submit(start) for start in starter.prepare_heads()]]
    startup_s = stack.wait_for(*heads)
    bases, lacks = _start_bases(stack, base, startup_s) if base is not None else ([], {})
    started = [replace(subject, startup_s=startup_s[subject.handle.name]) for subject in (*heads, *bases)]
    return replace(stack, subjects=tuple(started), lacks={**images.lacks, **lacks})


def _start_bases(stack: Stack, base: Baseline, startup_s: dict[str, float]) -> tuple[list[Subject], dict[str, Lack]]:
    """Start the base revision's subjects; return those that came up, and why the others did not.

    Their start-up times are added to `startup_s`.
    """
    bases, lacks = [], {}
    for name in stack.images.base:
        try:
            subject = stack.starter.start_base(name)
            try:
                startup_s |= stack.wait_for(subject)
            except StackError:
                stack.engine.stop(subject.handle)
                raise
            bases.append(subject)
        except StackError as error:
            lacks[name] = explain_failed_base(name, stack.starter.head, base, "started", error)
    return bases, lacks
