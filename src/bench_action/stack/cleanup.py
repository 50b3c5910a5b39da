"""Cleaning up always happens, and never hides why it became necessary."""

from types import TracebackType
from typing import Protocol

from bench_action.engine.protocol import Engine
from bench_action.model.errors import BenchError


class Interrupts(Protocol):
    """Turns SIGINT and SIGTERM into one exception, raised once; later ones are ignored."""

    def hold(self) -> None:
        """From now on only remember a signal."""

    def release(self) -> None:
        """Raise what was remembered."""


class CleanUp:
    """A context in which the engine's objects exist; at its end, however it comes, they are removed."""

    def __init__(self, engine: Engine, interrupts: Interrupts) -> None:
        self._engine = engine
        self._interrupts = interrupts

    def __enter__(self) -> Engine:
        return self._engine

    def __exit__(
        self, kind: type[BaseException] | None, first: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._interrupts.hold()
        finally:  # a signal may still have come before `hold` took effect
            self._remove(first)
        if first is None:
            self._interrupts.release()

    def _remove(self, first: BaseException | None) -> None:
        try:
            self._engine.remove()
        except BenchError as error:
            if first is None:
                raise
            first.add_note(f"cleaning up failed as well: {error}")
