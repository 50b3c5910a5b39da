"""Turn SIGINT, SIGTERM and SIGHUP into one exception, raised once, and never during cleanup or inside a lock."""

import signal
from types import FrameType

from bench_action.model.errors import BenchError, InterruptedRunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Modules that an exception must not interrupt: it would leave locks that all threads share in an undefined state, or a
# module half imported. What a finalizer or a callback of asyncio raises is lost; asyncio waits for events elsewhere.
_UNINTERRUPTIBLE = {
    "threading",
    "asyncio.events",
    "concurrent.futures._base",
    "concurrent.futures.thread",
    "logging",
    "importlib._bootstrap",
    "weakref",
    "_weakrefset",
}
_FINALIZER = "__del__"
_RETRY_S = 0.01


class SignalInterrupts:
    """Raises InterruptedRunError on a signal. Installed once, in the main thread; uses SIGALRM to try again later."""

    def __init__(self) -> None:
        self._held = False
        self._received = 0
        self._raised = False

    def install(self) -> None:
        """Handle signals from now on; SIGHUP stays ignored if it is, as after `nohup`."""
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        signal.signal(signal.SIGALRM, self._raise_or_retry)

    def end(self) -> None:
        """Ignore signals from now on, so that the interpreter exits with the command's status."""
        for number in (*_SIGNALS, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)

    def hold(self) -> None:
        """Remember signals from now on, but do not raise."""
        self._held = True

    def release(self) -> None:
        """Raise InterruptedRunError if a signal came while held, unless one was raised before."""
        self._held = False
        if self._received and not self._raised:
            self._raise()

    def find_cause(self, error: BenchError) -> BenchError:
        """Return the interrupt instead, if one was raised before: a library may have turned it into this error."""
        if not self._raised or isinstance(error, InterruptedRunError):
            return error
        return InterruptedRunError(self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received = self._received or number
        self._raise_or_retry(number, frame)

    def _raise_or_retry(self, _number: int, frame: FrameType | None) -> None:
        """Raise if a signal was received; a little later, if this frame must not be interrupted."""
        if not self._received or self._raised or self._held:
            return
        if _is_uninterruptible(frame):
            signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
        else:
            self._raise()

    def _raise(self) -> None:
        self._raised = True
        raise InterruptedRunError(self._received)


def _is_uninterruptible(frame: FrameType | None) -> bool:
    """Whether this frame, or one of its callers, must not be interrupted."""
    while frame is not None:
        if frame.f_globals.get("__name__") in _UNINTERRUPTIBLE or frame.f_code.co_name == _FINALIZER:
            return True
        frame = frame.f_back
    return False
