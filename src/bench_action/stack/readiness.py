"""Waits until services and subjects answer, and notices at once when one has died instead."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import StackError

_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """Something that was started. `probe` gives an empty text once it is ready, else what is missing."""

    handle: Handle
    timeout_s: float
    probe: Callable[[], str]


def wait_until_ready(engine: Engine, awaited: Sequence[ReadinessCheck]) -> dict[str, float]:
    """Poll all together; name → seconds from now until it was ready.

    Raises StackError with the log of the one that ended, or that was not ready within its own timeout.
    """
    started = time.monotonic()
    ready: dict[str, float] = {}
    while True:
        require_alive(engine, "while it was awaited")
        for item in awaited:
            if item.handle.name in ready:
                continue
            problem = _probe(engine, item)
            waited_s = time.monotonic() - started
            if not problem:
                ready[item.handle.name] = waited_s
            elif waited_s > item.timeout_s:
                raise _late(engine, item, problem)
        if len(ready) == len(awaited):
            return ready
        time.sleep(_PAUSE_S)


def _probe(engine: Engine, item: ReadinessCheck) -> str:
    try:
        return item.probe()
    except StackError:
        require_alive(engine, "while it was awaited")  # one that has just died cannot be asked: its log says more
        raise


def require_alive(engine: Engine, doing: str = "") -> None:
    """Raises StackError, with the log, when a part of the run has ended by itself."""
    for end in engine.ended():
        raise StackError(
            f"{end.handle.name} {end}",
            where=doing,
            cause="it ended by itself; its log tells why" if not end.out_of_memory else "",
            advice="give the machine more memory, or the variant fewer workers" if end.out_of_memory else "",
            log=engine.logs(end.handle),
        )


def _late(engine: Engine, item: ReadinessCheck, problem: str) -> StackError:
    handle = item.handle
    return StackError(
        f"{handle.name} was not ready after {item.timeout_s:g} s",
        where=f"{handle.kind} at {handle.host}:{handle.port}",
        cause=problem,
        advice="check `port` and `ready: {path, timeout}`; where nothing answers, it may listen on "
        "another port than PORT says, or, in a container, on 127.0.0.1 only",
        log=engine.logs(handle),
    )
