"""Bring up what a run needs: images, the load generator, and a slot with its services for each subject."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.environment import read_secrets
from bench_action.config.load import Project
from bench_action.config.schema import Config, Profile
from bench_action.engine.protocol import Certificate, Engine, Handle
from bench_action.load.generator import Agent
from bench_action.model.errors import InputError, StackError
from bench_action.model.progress import Progress
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural
from bench_action.plan.blocks import Pair
from bench_action.plan.placement import Placement
from bench_action.stack.images import Images, explain_failed_base, make_images
from bench_action.stack.machines import Watchers, judge_machines, watch_machines
from bench_action.stack.parallel import run_in_parallel
from bench_action.stack.probes import make_check
from bench_action.stack.readiness import Group, ReadinessCheck, wait_for_groups, wait_until_ready
from bench_action.stack.services import SlotServices, start_generator
from bench_action.stack.session import Sessions
from bench_action.stack.slots import PairOfSlots, Slot
from bench_action.stack.starter import Starter
from bench_action.stack.subject import Subject


@dataclass(slots=True)
class Stack:
    """The running parts of a run, for verification and measuring.

    `load`: wrk's container; `agent` runs in it. `watchers`: the agents on all machines, if there are several.
    `subjects`: each in its own slot, until pairs are measured in the first slots; containers may be others from then
    on, which only `PairOfSlots.arrange` returns. `in_turns`: memory is too short for that, so variants take turns: head
    in the first slot, and base, if there is one, in the second. `tracks`: for how many duets at the same time there are
    slots. `lacks`: variant → why it has no base subject.
    """

    engine: Engine
    load: Handle
    agent: Agent
    slots: tuple[Slot, ...]
    images: Images
    starter: Starter
    sessions: Sessions
    in_turns: bool = False
    tracks: int = 1
    watchers: Watchers = field(default_factory=Watchers)
    subjects: tuple[Subject, ...] = ()
    lacks: Mapping[str, Lack] = field(default_factory=dict)
    warnings: tuple[RunWarning, ...] = ()
    _pairs: dict[tuple[str, str], PairOfSlots] = field(default_factory=dict)
    _cpus: dict[str, Sequence[int]] = field(default_factory=dict)

    def subject(self, variant: str, revision: str) -> Subject:
        """Find the subject of a variant at a revision."""
        return next(subject for subject in self.subjects if (subject.variant, subject.revision) == (variant, revision))

    def update(self, subject: Subject) -> None:
        """Keep what was found out about a subject."""
        self.subjects = tuple(subject if each.name == subject.name else each for each in self.subjects)

    def renew(self, *subjects: Subject) -> None:
        """Make the data of subjects new and restart them in their slots, as if they had never received a request.

        Anything in these slots is stopped first: a connection pool would reconnect to the database that is dropped.
        """
        self.forget_sessions(*subjects)
        placed = [(subject, self._find_slot(subject)) for subject in subjects]
        run_in_parallel(lambda both: both[1].clear(grace_s=1), placed)
        run_in_parallel(lambda both: both[1].renew(both[0]), placed)
        self.wait_for(*run_in_parallel(lambda both: both[1].start(both[0], self.starter), placed))

    def forget_sessions(self, *subjects: Subject) -> None:
        """Let the sessions of subjects be opened again, as these have been restarted."""
        for subject in subjects:
            self.sessions.forget(subject)

    def open_session(self, subject: Subject, name: str, profile: Profile) -> Subject:
        """Open the session of a profile, if it has one, unless it is open. Raises SessionError."""
        return self.sessions.open(subject, name, profile)

    def split_into_turns(self, subjects: Sequence[Subject]) -> list[list[Subject]]:
        """Split subjects into groups that fit into the slots at the same time: one, unless variants take turns."""
        groups: dict[str, list[Subject]] = {}
        for subject in subjects:
            groups.setdefault(subject.variant if self.in_turns else "", []).append(subject)
        return list(groups.values())

    def admit(self, subjects: Sequence[Subject]) -> None:
        """Let each of these subjects be in its slot; one that was not in it begins with new data."""
        if absent := [subject for subject in subjects if not self._find_slot(subject).holds(subject)]:
            self.renew(*absent)

    @property
    def present(self) -> list[Subject]:
        """The subjects that are in their slots now."""
        return [subject for subject in self.subjects if self._find_slot(subject).holds(subject)]

    def wait_for(self, *subjects: Subject) -> list[float]:
        """Wait until each subject answers; return the seconds until it did, in order."""
        parts = [handle for subject in subjects for handle in subject.handles]
        return wait_until_ready(self.engine, [self._make_check(subject) for subject in subjects], parts)

    def place(self, placement: Placement) -> None:
        """Move services and wrk to their CPUs, away from the application's."""
        wanted = {handle.id: (handle, placement.services) for slot in self.slots for handle in slot.handles.values()}
        wanted[self.load.id] = (self.load, placement.load)
        for watcher in self.watchers.all:
            if watcher.roles.application and watcher.handle is not self.load:
                wanted[watcher.handle.id] = (watcher.handle, placement.background)
        moving = [(handle, cpus) for handle, cpus in wanted.values() if self._cpus.get(handle.id) != cpus]
        run_in_parallel(lambda move: self.engine.pin(*move), moving)
        self._cpus |= {handle.id: cpus for handle, cpus in moving}

    def pair_of_slots(self, pair: Pair) -> PairOfSlots:
        """Return the slots for this pair: all pairs are measured in the same ones, from the first on."""
        base, head = (self.subject(cell.variant, cell.revision) for cell in (pair.base, pair.head))
        key = (base.name, head.name)
        if key not in self._pairs:
            self._pairs[key] = PairOfSlots(self.engine, self.starter, base, head, self.slots)
        return self._pairs[key]

    def retire(self) -> None:
        """Stop all subjects: from now on only pairs are measured."""
        run_in_parallel(lambda slot: slot.clear(grace_s=1), self.slots)

    def start(self, heads: Sequence[Subject], bases: Sequence[Subject], base: Baseline | None) -> None:
        """Start all subjects and wait until they are ready. Raises StackError, except for base's: `lacks` says why."""
        if not self.in_turns:
            self._start(heads, bases, base)
            return
        for variant in dict.fromkeys(subject.variant for subject in (*heads, *bases)):
            own = [subject for subject in heads if subject.variant == variant]
            self._start(own, [subject for subject in bases if subject.variant == variant], base)

    def _start(self, heads: Sequence[Subject], bases: Sequence[Subject], base: Baseline | None) -> None:
        """Make the data of slots new, one for each subject, and start all there at the same time."""
        placed = list(zip((*heads, *bases), self.slots, strict=False))
        run_in_parallel(lambda both: both[1].clear(grace_s=1), placed)
        renewed = zip(run_in_parallel(lambda both: _renew(*both), placed), self.slots, strict=False)
        started = run_in_parallel(lambda both: self._start_in(*both), renewed)
        ready = _wait_for_all(self.engine, started[: len(heads)], started[len(heads) :])
        for (subject, slot), found in zip(placed[len(heads) :], ready[len(heads) :], strict=True):
            if isinstance(found, StackError):
                slot.clear()
                if base is None:
                    raise found
                lack = explain_failed_base(subject.variant, self.starter.head, base, "started", found)
                self.lacks = {**self.lacks, subject.variant: lack}
        up = [each for each in ready if isinstance(each, Subject)]
        self.subjects = (*self.subjects, *up)
        self.warnings = (*self.warnings, *filter(None, run_in_parallel(self.starter.check_seed, up)))

    def _start_in(self, renewed: Subject | StackError, slot: Slot) -> "_Starting | StackError":
        """Start a subject in its slot, unless its data have failed; return it, or what went wrong."""
        if isinstance(renewed, StackError):
            return renewed
        try:
            started = slot.start(renewed, self.starter)
            return _Starting(started, Group([self._make_check(started)], started.handles))
        except StackError as error:
            return error

    def _find_slot(self, subject: Subject) -> Slot:
        return next(slot for slot in self.slots if slot.name == subject.slot)

    def _make_check(self, subject: Subject) -> ReadinessCheck:
        return make_check(self.engine, self.agent, subject.handle, subject.config, addresses=subject.addresses)


@dataclass(frozen=True, slots=True)
class _Starting:
    """A subject that was started, and how to find out whether it is ready."""

    subject: Subject
    group: Group


def _wait_for_all(
    engine: Engine, heads: Sequence[_Starting | StackError], bases: Sequence[_Starting | StackError]
) -> list[Subject | StackError]:
    """Wait for subjects that start; return each with how long it took, or what went wrong with it.

    Raises StackError for the first of head's that fails; each of base's may fail on its own.
    """
    for failed in heads:
        if isinstance(failed, StackError):
            raise failed
    needed = [each for each in heads if isinstance(each, _Starting)]
    others = [each for each in bases if isinstance(each, _Starting)]
    together = Group(
        [check for each in needed for check in each.group.checks],
        [part for each in needed for part in each.group.parts],
    )
    waited_s, found = wait_for_groups(engine, together, [each.group for each in others])
    ready: list[Subject | StackError] = [
        replace(each.subject, startup_s=seconds) for each, seconds in zip(needed, waited_s, strict=True)
    ]
    outcomes = iter(
        replace(each.subject, startup_s=outcome[0]) if isinstance(outcome, list) else outcome
        for each, outcome in zip(others, found, strict=True)
    )
    return ready + [each if isinstance(each, StackError) else next(outcomes) for each in bases]


def _renew(subject: Subject, slot: Slot) -> Subject | StackError:
    """Make the data of an empty slot new for a subject; return it with how long that took, or what went wrong."""
    began = time.monotonic()
    try:
        slot.renew(subject)
    except StackError as error:  # of base's, which costs its cells only
        return error
    return replace(subject, renewal_s=time.monotonic() - began)


def bring_up(
    engine: Engine,
    project: Project,
    environ: Mapping[str, str],
    progress: Progress,
    *,
    base: Baseline | None = None,
    results: Path | None = None,
    slots: int | None = None,
    tracks: int = 1,
    seed: int = 0,
) -> Stack:
    """Bring up images, services, data and subjects, in this order; return when all answer. Raises StackError.

    `base`: also start the variants of the base revision; what fails there is kept in `lacks`, and head goes on.
    `results`: the folder of our own results, which is left out of every build. `slots`: how many to bring up, at most;
    if that is fewer than there are subjects, variants take turns in them. None: one for each subject. `tracks`: how
    many duets of a pair are to run at the same time, in two slots each. `seed`: by which requests are drawn.
    """
    variants = len(project.config.variants) + (len(base.project.config.variants) if base is not None else 0)
    extra = 2 * tracks if tracks > 1 else 0
    names = name_slots(max(min(slots or variants, variants), extra))
    engine.open(names)  # first, so that other runs on this engine can see that a run is under way
    images = make_images(engine, project, base, progress, environ=environ, results=results)
    progress.step(f"starting services{_describe_slots(project.config)}")
    load, agent = start_generator(engine, project.config, images.load)
    watchers = watch_machines(engine, images.load, load, agent)
    for condition in judge_machines(watchers):
        progress.warn(f"{condition.name}: {condition.found} ({condition.cure})")
    aliases = base.aliases if base is not None else {}
    services = SlotServices(
        engine, project.config, project.folder, images, agent, aliases, read_secrets(project.config, environ)
    )
    subjects = len(project.config.variants) + len(images.base)
    places = services.start(names[: max(subjects, extra)])
    failed = _load_own_data(services, places[0], base if images.base else None, progress)
    progress.step("starting subjects")
    starter = Starter(engine, project, base, images, agent, environ, progress, seed, _make_certificate(project, base))
    heads = starter.prepare_heads(places[0])
    bases, lacks = _prepare_bases(starter, base, places[0], failed) if base is not None else ([], {})
    services.copy(places)
    run_in_parallel(lambda slot: starter.fill_others([*heads, *bases], slot), places[1:])
    stack = Stack(
        engine,
        load,
        agent,
        places,
        images,
        starter,
        Sessions(agent, read_secrets(project.config, environ)),
        in_turns=len(names) < subjects,
        tracks=tracks,
        watchers=watchers,
        lacks={**images.lacks, **lacks},
    )
    stack.start(heads, bases, base)
    _report(stack, progress)
    return stack


def _report(stack: Stack, progress: Progress) -> None:
    """Keep that variants take turns, and report what a reader of the result must know of the start."""
    if stack.in_turns:
        message = f"memory for {plural(len(stack.slots), 'slot')} at a time: variants took turns while measured alone"
        stack.warnings = (*stack.warnings, Code.IN_TURNS.warn(message))
    for warning in stack.warnings:
        progress.warn(f"{warning.message}. {warning.advice}")


def _make_certificate(project: Project, base: Baseline | None) -> Certificate | None:
    """Make the certificate of the variants that serve HTTPS, which is the same for base and head."""
    projects = [project, *([base.project] if base is not None else [])]
    hosts = [name for each in projects for name, variant in each.config.variants.items() if variant.tls]
    if not hosts:
        return None
    # imported here, as few runs need cryptography
    from bench_action.stack.certificate import make_certificate  # noqa: PLC0415

    return make_certificate(hosts)


def _describe_slots(config: Config) -> str:
    """Say what every subject has for itself."""
    shared = {name: service for name, service in config.services.items() if not service.is_companion}
    names = [f"{name} (database 0)" if service.kind == "redis" else name for name, service in shared.items()]
    return f": each subject has its own {', '.join(names)}" if names else ""


def name_slots(count: int) -> list[str]:
    """Name slots: a, b, … z, then a1, b1 …."""
    return [f"{chr(ord('a') + number % 26)}{number // 26 or ''}" for number in range(count)]


def _load_own_data(services: SlotServices, slot: Slot, base: Baseline | None, progress: Progress) -> StackError | None:
    """Load the initial data of both revisions if they differ. If that fails, return why base cannot be started."""
    if base is None or not base.own_data:
        return None
    progress.step(f"loading the initial data of base and head, which differ: {', '.join(base.own_data)}")
    try:
        services.load_own_data(slot, base)
    except StackError as error:
        return error
    except InputError as error:  # what only base's files name
        return StackError(error.what, where=error.where, advice=error.advice, log=error.log)
    return None


def _prepare_bases(
    starter: Starter, base: Baseline, slot: Slot, failed: StackError | None
) -> tuple[list[Subject], dict[str, Lack]]:
    """Make the data of the base revision's subjects; return these, and why the others cannot be started."""
    bases, lacks = [], {}
    for name in starter.images.base:
        try:
            if failed is not None:
                raise failed
            bases.append(starter.prepare_base(name, slot))
        except StackError as error:
            lacks[name] = explain_failed_base(name, starter.head, base, "started", error)
    return bases, lacks
