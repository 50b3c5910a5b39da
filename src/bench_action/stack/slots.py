"""Two slots for two subjects that are compared: either subject can be in either slot.

What belongs to a slot (host name, database, cache number, when it starts) may make a subject faster or slower and has
nothing to do with its code. The subjects change slots at random from block to block, so it cancels.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench_action.engine.protocol import Engine, Handle
from bench_action.stack.services import side_by_side
from bench_action.stack.subject import Cache, Database, Subject


class Starts(Protocol):
    """Starts a subject under another name, with another database and cache."""

    def start_in(self, subject: Subject, slot: "Slot", name: str) -> Handle:
        """Start it; does not wait until it is ready."""


@dataclass(slots=True)
class Slot:
    """A place for a subject. `host` is how wrk reaches whoever is in it."""

    host: str
    database: Database | None
    cache: Cache | None


@dataclass(slots=True)
class Slots:
    """The slots of one pair. At most one subject is in each; nobody is until `arrange`."""

    engine: Engine
    starts: Starts
    base: Subject
    head: Subject
    slots: tuple[Slot, Slot]
    _handles: dict[str, Handle] = field(default_factory=dict)
    _up: list[Handle] = field(default_factory=list)
    _of_base: Handle | None = None

    def arrange(self, *, swapped: bool, head_first: bool, cpus: Sequence[int], anew: bool) -> tuple[Subject, Subject]:
        """Base and head, both started again in their slots; not ready yet.

        `swapped`: base is in the second slot. `cpus`: where they may boot, as `pin` has moved them elsewhere before.
        `anew`: with fresh data, also where it was not written to.
        """
        self.clear()
        there = (self.slots[1], self.slots[0]) if swapped else self.slots
        placed = [(self.base, there[0]), (self.head, there[1])]
        for subject, slot in placed:
            _make_ready(subject, slot, anew=anew)
        order = placed[::-1] if head_first else placed
        self._up = side_by_side(lambda one: self._start(*one, cpus), order)
        handles = self._up[::-1] if head_first else self._up
        self._of_base = handles[0]
        base, head = (
            replace(subject, handle=handle, database=slot.database, cache=slot.cache, slot=slot.host)
            for (subject, slot), handle in zip(placed, handles, strict=True)
        )
        return base, head

    def hold(self, ids: Collection[str]) -> bool:
        """Whether one of these (handles' ids) is in a slot now."""
        return any(handle.id in ids for handle in self._up)

    def only_base(self, ids: Collection[str]) -> bool:
        """Whether of those in a slot now only base is among these (handles' ids)."""
        return [handle for handle in self._up if handle.id in ids] == [self._of_base]

    def clear(self) -> None:
        """Nobody is in a slot any more. What they had is thrown away, so they are given no time to save it."""
        side_by_side(lambda handle: self.engine.stop(handle, grace_s=0), self._up)
        self._up = []

    def pin(self, cpus: Sequence[int]) -> None:
        """Those who are in the slots now may use these CPUs only."""
        side_by_side(lambda handle: self.engine.pin(handle, cpus), self._up)

    def _start(self, subject: Subject, slot: Slot, cpus: Sequence[int]) -> Handle:
        # of equal length for base and head: what a name costs, it costs both
        mark = subject.revision if self.base.variant == self.head.variant else subject.variant
        name = f"{slot.host}-{mark}"
        if name in self._handles:
            handle = self._handles[name]
            if cpus:
                self.engine.pin(handle, cpus)
            self.engine.restart(handle)
        else:
            handle = self._handles[name] = self.starts.start_in(subject, slot, name)
        return handle


def _make_ready(subject: Subject, slot: Slot, *, anew: bool) -> None:
    """The slot's data as this subject expects them. The cache is emptied: revisions may disagree on its format."""
    if slot.cache is not None:
        slot.cache.flush()
    if slot.database is None or subject.database is None:
        return
    wanted = replace(slot.database, role=subject.database.role, template=subject.database.template)
    if anew or wanted != slot.database:
        slot.database = wanted
        wanted.recreate()
