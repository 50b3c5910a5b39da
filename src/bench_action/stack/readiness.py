"""Wait until services and subjects answer, and notice immediately if one of them exits instead."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench_action.engine.protocol import Engine, Exit, Handle
from bench_action.model.errors import StackError
from bench_action.stack.exits import make_exit_error

_PAUSE_S = 0.02
_WAITING = "while waiting until it is ready"


@dataclass(frozen=True, slots=True)
class Unready:
    """What is missing, and what to do if it stays like this."""

    problem: str
    advice: str = ""


Probe = Callable[[], Unready | None]


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """How to find out if something that was started is ready: `probe` returns what is missing, None if nothing is."""

    handle: Handle
    timeout_s: float
    probe: Probe


@dataclass(frozen=True, slots=True)
class Group:
    """The checks of what starts together. `parts`: what else belongs to it, and must keep running as well."""

    checks: Sequence[ReadinessCheck]
    parts: Sequence[Handle] = ()
    _ready: dict[str, float] = field(default_factory=dict)

    @property
    def waited_s(self) -> list[float] | None:
        """The seconds until each was ready, in order; None as long as one is not."""
        if len(self._ready) < len(self.checks):
            return None
        return [self._ready[check.handle.id] for check in self.checks]

    def look(self, engine: Engine, ended: Sequence[Exit], started: float) -> None:
        """Probe what was not ready yet. Raises StackError if one has exited, or is not ready within its timeout.

        Exits of services count, and of what belongs to the group; another subject may start at the same time.
        """
        self._require_alive(engine, ended)
        for check in self.checks:
            if check.handle.id in self._ready:
                continue
            missing = self._probe(engine, check)
            waited_s = time.monotonic() - started
            if missing is None:
                self._ready[check.handle.id] = waited_s
            elif waited_s > check.timeout_s:
                raise _make_timeout_error(engine, check, missing)

    def _probe(self, engine: Engine, check: ReadinessCheck) -> Unready | None:
        try:
            return check.probe()
        except StackError:
            # if it has just exited, its log says more than the failed probe
            self._require_alive(engine, engine.ended())
            raise

    def _require_alive(self, engine: Engine, ended: Sequence[Exit]) -> None:
        own = {handle.id for handle in (*self.parts, *(check.handle for check in self.checks))}
        _raise_first(engine, [end for end in ended if end.handle.kind != "subject" or end.handle.id in own], _WAITING)


def wait_until_ready(engine: Engine, checks: Sequence[ReadinessCheck], parts: Sequence[Handle] = ()) -> list[float]:
    """Poll all of them together; return the seconds from now until each was ready, in order.

    `parts`: what else belongs to them. Raises StackError, with its log, for one that has exited, or that is not ready
    within its timeout.
    """
    return wait_for_groups(engine, Group(checks, parts))[0]


def wait_for_groups(
    engine: Engine, needed: Group, others: Sequence[Group] = ()
) -> tuple[list[float], list[list[float] | StackError]]:
    """Poll groups together; return what each has waited for its checks, or what went wrong with it.

    Raises StackError as soon as something goes wrong with the one that is needed.
    """
    started = time.monotonic()
    failed: dict[int, StackError] = {}
    while True:
        ended = engine.ended()
        needed.look(engine, ended, started)
        for number, group in enumerate(others):
            if number not in failed and group.waited_s is None:
                try:
                    group.look(engine, ended, started)
                except StackError as error:
                    failed[number] = error
        found = [failed.get(number, group.waited_s) for number, group in enumerate(others)]
        known = [each for each in found if each is not None]
        if needed.waited_s is not None and len(known) == len(others):
            return needed.waited_s, known
        time.sleep(_PAUSE_S)


def require_alive(engine: Engine, doing: str = "") -> None:
    """Raise StackError, with its log, if a part of the run has exited on its own."""
    _raise_first(engine, engine.ended(), doing)


def _raise_first(engine: Engine, ended: Sequence[Exit], doing: str) -> None:
    """Raise StackError, with its log, for the first that has exited, if any has."""
    for end in ended:
        raise make_exit_error(end, engine.logs(end.handle), doing)


def _make_timeout_error(engine: Engine, check: ReadinessCheck, missing: Unready) -> StackError:
    handle = check.handle
    return StackError(
        f"{handle.name} was not ready after {check.timeout_s:g} s",
        where=f"{handle.kind} at {handle.host}{f':{handle.port}' if handle.port else ''}",
        cause=missing.problem,
        advice=missing.advice,
        log=engine.logs(handle),
    )
