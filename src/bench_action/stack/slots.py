"""Slots: each is a complete stack for one subject at a time, with its own network and services.

All slots have the same services under the same names, with the same accounts: a subject finds what it knows in each of
them, and what it does there is its own. When a slot's services were started, or where their memory is, may make a
subject faster or slower, and has nothing to do with its code: the subjects of a pair swap slots at random from block to
block, so these effects cancel.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench_action.config.environment import Address
from bench_action.config.schema import Service
from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import StackError
from bench_action.plan.placement import Placement
from bench_action.stack.hash_seed import NO_HASH_SEED, HashSeed, StartTimes
from bench_action.stack.parallel import run_in_parallel
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.redis import Redis
from bench_action.stack.seeding.feed import Unwatched
from bench_action.stack.server import DatabaseServer, Server
from bench_action.stack.subject import Database, Subject


class SlotStarter(Protocol):
    """Starts a subject in a slot."""

    def start(self, subject: Subject, started: dict[str, Handle], cpus: Sequence[int], hash_seed: HashSeed) -> Subject:
        """Start it with its companions in the slot whose services it has, and return it; it need not be ready yet.

        `started`: what has been started here for this subject before, by name, which is started again; changed here.
        `cpus`: where these may boot. What is not among the parts of `hash_seed` has none, even if it had one before.
        """

    def list_seedable(self, subject: Subject) -> Collection[str]:
        """List the parts of a subject that has run before which would use a hash seed that they are given."""


@dataclass(frozen=True, slots=True)
class Reset:
    """How the state of a service without a client of ours is made new: by `command` in it, or by a restart.

    `check`: it must be ready again before a subject starts.
    """

    check: ReadinessCheck
    command: Sequence[str] = ()


@dataclass(slots=True)
class LateService:
    """A service that depends on a database, and so starts once that holds what belongs to a subject.

    What it writes at its start is then part of the subject's data, and no data are replaced under it. `begin` starts it
    for the first time, and returns how to find out whether it is ready.
    """

    engine: Engine
    service: Service
    begin: Callable[[], ReadinessCheck]
    check: ReadinessCheck | None = None
    _runs: bool = False

    def start(self) -> None:
        """Start it, or make its state new if it runs on; it need not be ready yet. Raises StackError."""
        if self.check is None:
            self.check = self.begin()
        elif not self._runs:
            self.engine.restart(self.check.handle)
        elif isinstance(self.service.reset, list):
            run_reset(self.engine, Reset(self.check, self.service.reset))
        self._runs = True

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.check is not None and self._runs:
            self.engine.stop(self.check.handle)
            self._runs = False


def run_reset(engine: Engine, reset: Reset) -> None:
    """Make the state of a service new; it need not be ready yet. Raises StackError if its command fails."""
    handle = reset.check.handle
    if not reset.command:
        engine.stop(handle)
        engine.restart(handle)
        return
    status, output = engine.exec(handle, reset.command)
    if status:
        raise StackError(
            f"could not reset {handle.name}",
            where=f"its `reset` command exited with status {status}",
            advice="run the command in its container and fix it, or use `reset: restart`",
            log=output.splitlines()[-15:],
        )


@dataclass(slots=True)
class Slot:
    """A place for one subject at a time. `handles`: its services, by name; `servers`: clients of those that we know.

    `resets`: how the others are made new; those that keep no state are not among them. `late`: those that depend on a
    database, in the order in which they start.
    """

    engine: Engine
    name: str
    handles: dict[str, Handle] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    resets: dict[str, Reset] = field(default_factory=dict)
    late: dict[str, LateService] = field(default_factory=dict)
    _started: dict[str, dict[str, Handle]] = field(default_factory=dict)
    _last: str = ""
    _inside: Subject | None = None

    @property
    def databases(self) -> dict[str, DatabaseServer]:
        """Its database servers, by name."""
        return {name: server for name, server in self.servers.items() if isinstance(server, DatabaseServer)}

    @property
    def caches(self) -> dict[str, Redis]:
        """Its caches, by name."""
        return {name: server for name, server in self.servers.items() if isinstance(server, Redis)}

    @property
    def addresses(self) -> dict[str, Address]:
        """How its services are reached inside it, by name."""
        known = {name: server.address() for name, server in self.servers.items()}
        others: dict[str, Address] = {
            name: {"host": handle.host, "port": str(handle.port)} for name, handle in self.handles.items()
        }
        return others | known

    @property
    def inside(self) -> Subject | None:
        """The subject that runs in it now, if any."""
        return self._inside

    def holds(self, subject: Subject) -> bool:
        """Return whether this subject runs in it now."""
        return self._inside is not None and self._inside.name == subject.name

    def list_started(self, subject: Subject) -> list[Handle]:
        """List what has been started in it for this subject before, and can be started again."""
        return list(self._started.get(subject.name, {}).values())

    def add(self, name: str, server: Server) -> None:
        """Add a service that we know."""
        self.servers[name], self.handles[name] = server, server.handle

    def settle(self, subject: Subject) -> Subject:
        """Return the subject with this slot's services that are for it; it is not started yet."""
        servers = {name: server for name, server in self.servers.items() if name not in subject.foreign}
        return replace(
            subject,
            databases={
                name: Database(server, subject.template)
                for name, server in servers.items()
                if isinstance(server, DatabaseServer)
            },
            caches={name: server for name, server in servers.items() if isinstance(server, Redis)},
            services={name: handle for name, handle in self.handles.items() if name not in subject.foreign},
            addresses=self.addresses,
            slot=self.name,
        )

    def clear(self, grace_s: int = 0) -> None:
        """Stop the subject that is in it. Without grace it cannot save its data, which are thrown away."""
        if self._inside is not None:
            run_in_parallel(lambda handle: self.engine.stop(handle, grace_s), self._inside.handles)
            self._inside = None

    def renew(self, subject: Subject, *, fresh_data: bool = True) -> None:
        """Make the slot's data new for a subject that enters an empty slot.

        Without `fresh_data`, databases and other services stay if the same subject was in it before. Nothing that
        another one has done, such as a migration at its start, may remain. Caches are always emptied.
        """
        for name, cache in self.caches.items():
            cache.flush()
            if name in subject.cache_seeds:
                subject.cache_seeds[name].apply(Unwatched(), handle=cache.handle)
        if not fresh_data and subject.name == self._last:
            return
        foreign = {name for name in self.late if name in subject.foreign}
        stopped = [name for name, late in self.late.items() if late.service.reset == "restart" or name in foreign]
        run_in_parallel(lambda name: self.late[name].stop(), stopped)
        for server in self.databases.values():
            server.renew(subject.template)
        run_in_parallel(lambda reset: run_reset(self.engine, reset), list(self.resets.values()))
        wait_until_ready(self.engine, [reset.check for reset in self.resets.values()])
        self.start_late(self.late.keys() - foreign)
        self._last = subject.name

    def start_late(self, names: Collection[str]) -> None:
        """Start those of the late services that have these names, one after the other, each once the last is ready."""
        for name, late in self.late.items():
            if name in names:
                late.start()
                if late.check is not None:
                    self.handles[name] = late.check.handle
                    wait_until_ready(self.engine, [late.check])

    def rest(self) -> None:
        """Stop what depends on the databases, whose data are about to be copied or replaced."""
        run_in_parallel(LateService.stop, list(self.late.values()))

    def start(
        self,
        subject: Subject,
        starter: SlotStarter,
        cpus: Sequence[int] = (),
        hash_seed: HashSeed = NO_HASH_SEED,
    ) -> Subject:
        """Start a subject in the empty slot; it is not ready yet.

        `cpus`: where it may boot, if it has been in this slot before and may have been pinned. Raises StackError, with
        the slot empty again.
        """
        started = self._started.setdefault(subject.name, {})
        try:
            self._inside = starter.start(self.settle(subject), started, cpus, hash_seed)
        except StackError:
            run_in_parallel(self.engine.stop, list(started.values()))
            raise
        return self._inside


@dataclass(slots=True)
class PairOfSlots:
    """The slots in which the subjects of a pair are compared: two for each track."""

    engine: Engine
    starter: SlotStarter
    base: Subject
    head: Subject
    slots: tuple[Slot, ...]
    _times: StartTimes = field(default_factory=StartTimes)
    _began: float = 0.0
    _made: bool = False

    def arrange(
        self,
        *,
        swapped: bool,
        head_first: bool,
        cpus: Sequence[int],
        fresh_data: bool,
        hash_seed: int,
        tracks: int = 1,
    ) -> list[tuple[Subject, Subject]]:
        """Start base and head again in the slots of each track; return both of each, not ready yet.

        `swapped`: base is in the second slot. `head_first`: head is started first. Both are the other way round in
        every second track. `cpus`: where they may boot, as `pin` has moved them elsewhere before. `fresh_data`:
        recreate the databases, even if their subjects have not changed. `hash_seed`: of the first track's subjects,
        the next ones' of the others, for parts that use one in both, unless that takes too long: two processes then put
        the same keys into the same places.
        """
        self.clear()
        parts = self._list_seeded()
        placed = [
            each for track in range(tracks) for each in self._place(track, swapped=swapped, head_first=head_first)
        ]
        run_in_parallel(lambda both: both[1].renew(both[0], fresh_data=fresh_data), placed)
        known = {handle.id for subject, slot in placed for handle in slot.list_started(subject)}
        self._began = time.monotonic()
        seeds = [HashSeed(hash_seed + number // 2, parts) for number in range(len(placed))]
        started = run_in_parallel(
            lambda each: each[0][1].start(each[0][0], self.starter, cpus, each[1]), zip(placed, seeds, strict=True)
        )
        self._made = any(handle.id not in known for subject in started for handle in subject.handles)
        return [
            (first, second) if first.name == self.base.name else (second, first)
            for first, second in zip(started[::2], started[1::2], strict=True)
        ]

    def note_ready(self) -> None:
        """Keep how long it took until now, when all that `arrange` has started is ready."""
        self._times.add(time.monotonic() - self._began, made=self._made)

    def _list_seeded(self) -> frozenset[str]:
        """List the parts that get a hash seed."""
        if not self._times.allow_seeds:
            return frozenset()
        return frozenset(self.starter.list_seedable(self.base)).intersection(self.starter.list_seedable(self.head))

    def _place(self, track: int, *, swapped: bool, head_first: bool) -> list[tuple[Subject, Slot]]:
        """List the subjects of a track with their slots, in the order in which they are started."""
        slots, odd = self.slots[2 * track : 2 * track + 2], bool(track % 2)
        base_slot, head_slot = slots[::-1] if swapped != odd else slots
        placed = [(self.base, base_slot), (self.head, head_slot)]
        return placed[::-1] if head_first != odd else placed

    def hold_any(self, ids: Collection[str]) -> bool:
        """Tell whether one of these handles (by id) is in a slot now."""
        return any(handle.id in ids for subject in self._inside for handle in subject.handles)

    def hold_only_base(self, ids: Collection[str]) -> bool:
        """Tell whether base is in a slot now and among these handles (by id), and head is not."""
        ended = {subject.name for subject in self._inside for handle in subject.handles if handle.id in ids}
        return ended == {self.base.name}

    def clear(self) -> None:
        """Empty all slots."""
        run_in_parallel(lambda slot: slot.clear(), self.slots)

    def pin(self, placement: Placement) -> None:
        """Restrict the subjects in the slots to the CPUs of their track, and their workers to others."""
        moving = [
            (handle, placement.background if handle in subject.workers.values() else placement.track(number // 2))
            for number, slot in enumerate(self.slots)
            if (subject := slot.inside) is not None
            for handle in subject.handles
        ]
        run_in_parallel(lambda move: self.engine.pin(*move), moving)

    @property
    def _inside(self) -> list[Subject]:
        return [slot.inside for slot in self.slots if slot.inside is not None]
