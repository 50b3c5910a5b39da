"""SIGINT and SIGTERM as one exception, raised once, and never while the run cleans up."""

import signal
from types import FrameType

from bench_action.model.errors import InterruptedRunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Installed once, in the main thread, by the command line."""

    def __init__(self) -> None:
        self._held = False
        self._received = 0

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def hold(self) -> None:
        """From now on only remember a signal."""
        self._held = True

    def release(self) -> None:
        """Raise what came while held, unless it has been raised before. Raises InterruptedRunError."""
        self._held = False
        if self._received:
            raise InterruptedRunError(self._received)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        first = not self._received
        self._received = self._received or number
        if first and not self._held:
            raise InterruptedRunError(number)
