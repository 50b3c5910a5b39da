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
        self._raised = False

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def end(self) -> None:
        """Ignore signals: the interpreter ends, and must end with its own status."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def hold(self) -> None:
        """From now on only remember a signal."""
        self._held = True

    def release(self) -> None:
        """Raise what came while held, unless it has been raised before. Raises InterruptedRunError."""
        self._held = False
        if self._received and not self._raised:
            self._raise()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._received = self._received or number
        if not self._raised and not self._held:
            self._raise()

    def _raise(self) -> None:
        self._raised = True
        raise InterruptedRunError(self._received)
