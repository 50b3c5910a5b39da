"""Wait until services and subjects answer, and notice immediately if one of them exits instead."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench_action.engine.protocol import Engine, Handle
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


def wait_until_ready(engine: Engine, checks: Sequence[ReadinessCheck]) -> list[float]:
    """Poll all of them together; return the seconds from now until each was ready, in order.

    Raises StackError, with its log, for one that has exited, or that is not ready within its timeout.
    """
    started = time.monotonic()
    ready: dict[str, float] = {}
    while True:
        require_alive(engine, _WAITING)
        for check in checks:
            if check.handle.id in ready:
                continue
            missing = _probe(engine, check)
            waited_s = time.monotonic() - started
            if missing is None:
                ready[check.handle.id] = waited_s
            elif waited_s > check.timeout_s:
                raise _make_timeout_error(engine, check, missing)
        if len(ready) == len(checks):
            return [ready[check.handle.id] for check in checks]
        time.sleep(_PAUSE_S)


def _probe(engine: Engine, check: ReadinessCheck) -> Unready | None:
    try:
        return check.probe()
    except StackError:
        require_alive(engine, _WAITING)  # if it has just exited, its log says more than the failed probe
        raise


def require_alive(engine: Engine, doing: str = "") -> None:
    """Raise StackError, with its log, if a part of the run has exited on its own."""
    for end in engine.ended():
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
