"""Two slots for the two subjects of a pair; either subject can be in either slot.

A slot's host name, database, cache number and time of start may make a subject faster or slower, and have nothing to do
with its code. The subjects swap slots at random from block to block, so these effects cancel.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench_action.engine.protocol import Engine, Handle
from bench_action.stack.services import run_in_parallel
from bench_action.stack.subject import Cache, Database, Subject


class SlotStarter(Protocol):
    """Starts a subject in a slot."""

    def start_in(self, subject: Subject, slot: "Slot", name: str) -> Handle:
        """Start it under another name, with the slot's database and cache; do not wait until it is ready."""


@dataclass(slots=True)
class Slot:
    """A place for a subject. wrk reaches the subject that is in it as `host`."""

    host: str
    database: Database | None
    cache: Cache | None


@dataclass(slots=True)
class Slots:
    """The two slots of a pair. Each holds one subject at most, and none until `arrange`."""

    engine: Engine
    starter: SlotStarter
    base: Subject
    head: Subject
    slots: tuple[Slot, Slot]
    _handles: dict[str, Handle] = field(default_factory=dict)
    _running: list[Handle] = field(default_factory=list)
    _base_handle: Handle | None = None

    def arrange(
        self, *, swapped: bool, head_first: bool, cpus: Sequence[int], fresh_data: bool
    ) -> tuple[Subject, Subject]:
        """Start base and head again in their slots; return both, not ready yet.

        `swapped`: base is in the second slot. `cpus`: where they may boot, as `pin` has moved them elsewhere before.
        `fresh_data`: recreate the databases, even if their subjects have not changed.
        """
        self.clear()
        base_slot, head_slot = self.slots[::-1] if swapped else self.slots
        placed = [(self.base, base_slot), (self.head, head_slot)]
        for subject, slot in placed:
            _prepare_data(subject, slot, fresh_data=fresh_data)
        order = placed[::-1] if head_first else placed
        self._running = run_in_parallel(lambda both: self._start(*both, cpus), order)
        handles = self._running[::-1] if head_first else self._running
        self._base_handle = handles[0]
        base, head = (
            replace(subject, handle=handle, database=slot.database, cache=slot.cache, slot=slot.host)
            for (subject, slot), handle in zip(placed, handles, strict=True)
        )
        return base, head

    def hold_any(self, ids: Collection[str]) -> bool:
        """Tell whether one of these handles (by id) is in a slot now."""
        return any(handle.id in ids for handle in self._running)

    def hold_only_base(self, ids: Collection[str]) -> bool:
        """Tell whether base is in a slot now and among these handles (by id), and head is not."""
        return [handle for handle in self._running if handle.id in ids] == [self._base_handle]

    def clear(self) -> None:
        """Empty both slots. Subjects get no time to save their data, as it is thrown away."""
        run_in_parallel(lambda handle: self.engine.stop(handle, grace_s=0), self._running)
        self._running = []

    def pin(self, cpus: Sequence[int]) -> None:
        """Restrict the subjects that are in the slots now to these CPUs."""
        run_in_parallel(lambda handle: self.engine.pin(handle, cpus), self._running)

    def _start(self, subject: Subject, slot: Slot, cpus: Sequence[int]) -> Handle:
        # base's and head's marks have the same length, so that a name's length affects both equally
        mark = subject.revision if self.base.variant == self.head.variant else subject.variant
        name = f"{slot.host}-{mark}"
        if name in self._handles:
            handle = self._handles[name]
            if cpus:
                self.engine.pin(handle, cpus)
            self.engine.restart(handle)
        else:
            handle = self._handles[name] = self.starter.start_in(subject, slot, name)
        return handle


def _prepare_data(subject: Subject, slot: Slot, *, fresh_data: bool) -> None:
    """Prepare the slot's data for a subject. The cache is always flushed: revisions may disagree on its format."""
    if slot.cache is not None:
        slot.cache.flush()
    if slot.database is None or subject.database is None:
        return
    wanted = replace(slot.database, role=subject.database.role, template=subject.database.template)
    if fresh_data or wanted != slot.database:
        slot.database = wanted
        wanted.recreate()
