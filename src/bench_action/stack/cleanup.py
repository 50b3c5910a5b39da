"""Remove what a run has made, however it ends, without hiding the error that ended it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from bench_action.engine.protocol import Engine
from bench_action.model.errors import BenchError


class Interrupts(Protocol):
    """Turns SIGINT and SIGTERM into one exception, raised once; later signals are ignored."""

    def hold(self) -> None:
        """Remember signals from now on instead of raising them."""

    def release(self) -> None:
        """Raise the signal that was remembered, if there was one."""


def cleaned_up(
    engine: Engine,
    interrupts: Interrupts,
    warn: Callable[[str], None],
    failed: Callable[[BenchError], None] | None = None,
) -> AbstractContextManager[Engine]:
    """Remove everything that the engine has made when the `with` block ends, whether it fails or not.

    `warn` gets a line for each unused thing that the engine keeps. If removing fails after another error, that error is
    raised with a note. If nothing else fails, `failed` gets the error; without it, it is raised. A signal that arrives
    during that is raised once everything has been removed.
    """
    return _CleanUp(engine, interrupts, warn, failed)


class _CleanUp:
    """A class rather than a generator: a signal may arrive in the frames that `contextlib` would put before it."""

    def __init__(
        self,
        engine: Engine,
        interrupts: Interrupts,
        warn: Callable[[str], None],
        failed: Callable[[BenchError], None] | None,
    ) -> None:
        self._engine = engine
        self._interrupts = interrupts
        self._warn = warn
        self._failed = failed

    def __enter__(self) -> Engine:
        return self._engine

    def __exit__(
        self, kind: type[BaseException] | None, first: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._interrupts.hold()
        finally:  # a signal may arrive before `hold` takes effect
            self._remove(first)
        if first is None:
            self._interrupts.release()

    def _remove(self, first: BaseException | None) -> None:
        try:
            kept = self._engine.remove()
        except BenchError as error:
            if first is not None:
                first.add_note(f"cleaning up failed as well: {error}")
            elif self._failed is not None:
                self._failed(error)
            else:
                raise
            return
        for name in kept:
            self._warn(f"could not remove {name}, although it is empty. Restart the engine")
