"""SIGINT and SIGTERM as one exception, raised once, and never while the run cleans up or shares something."""

import signal
from types import FrameType

from bench_action.model.errors import InterruptedRunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What an exception out of nowhere breaks: locks that all threads share would be left half taken, half a module cannot
# be imported again, and what a finalizer raises is lost.
_UNBREAKABLE = {
    "threading",
    "concurrent.futures._base",
    "concurrent.futures.thread",
    "logging",
    "importlib._bootstrap",
    "weakref",
    "_weakrefset",
}
_FINALIZER = "__del__"
_AGAIN_S = 0.01


class SignalInterrupts:
    """Installed once, in the main thread, by the command line. It uses SIGALRM as well, to come back later."""

    def __init__(self) -> None:
        self._held = False
        self._received = 0
        self._raised = False

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)
        signal.signal(signal.SIGALRM, self._again)

    def end(self) -> None:
        """Ignore signals: the interpreter ends, and must end with its own status."""
        for number in (*_SIGNALS, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)

    def hold(self) -> None:
        """From now on only remember a signal."""
        self._held = True

    def release(self) -> None:
        """Raise what came while held, unless it has been raised before. Raises InterruptedRunError."""
        self._held = False
        if self._received and not self._raised:
            self._raise()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received = self._received or number
        self._again(number, frame)

    def _again(self, _number: int, frame: FrameType | None) -> None:
        """Raise what was received, now or as soon as nothing breaks by it."""
        if not self._received or self._raised or self._held:
            return
        if _is_unbreakable(frame):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            self._raise()

    def _raise(self) -> None:
        self._raised = True
        raise InterruptedRunError(self._received)


def _is_unbreakable(frame: FrameType | None) -> bool:
    """Whether this frame, or one that it was called from, must not be broken off."""
    while frame is not None:
        if frame.f_globals.get("__name__") in _UNBREAKABLE or frame.f_code.co_name == _FINALIZER:
            return True
        frame = frame.f_back
    return False
