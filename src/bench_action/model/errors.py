"""The errors that can end a run: one class for each exit status, and one form of message."""

import errno
import signal
from collections.abc import Sequence
from typing import ClassVar


class BenchError(Exception):
    """A failure that a person can act on.

    `what` happened, `where` (subject, profile, trial), the likely `cause`, the `advice` (what to do), and the last
    lines of the container's `log`, if there is one.
    """

    exit_status: ClassVar[int] = 70

    def __init__(
        self, what: str, *, where: str = "", cause: str = "", advice: str = "", log: Sequence[str] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.cause = cause
        self.advice = advice
        self.log = tuple(log)

    def __str__(self) -> str:
        """Format the message: one labelled line for each part that is known."""
        lines = [self.what]
        lines += [
            f"  {label:<7} {text}"
            for label, text in (("where:", self.where), ("likely:", self.cause), ("try:", self.advice))
            if text
        ]
        if self.log:
            lines.append("  last lines of its log:")
            lines += [f"  | {line}" for line in self.log]
        return "\n".join(lines)


class RegressionError(BenchError):
    """Head breaks a gate that fails the run."""

    exit_status = 1


class InputError(BenchError):
    """The configuration, a file or an option is wrong."""

    exit_status = 2


class StackError(BenchError):
    """A service or a subject did not start, or exited."""

    exit_status = 3


class LostHostError(BenchError):
    """The connection to a host was lost. Not a StackError: nothing on the host is to blame, and no step can go on."""

    exit_status = 3


class VerificationError(BenchError):
    """A variant failed its checks: it does not do the work that it is compared by."""

    exit_status = 4


class InvalidMeasurementError(BenchError):
    """The measurement is invalid: its figures do not count."""

    exit_status = 5


class PublishError(BenchError):
    """A result could not be published; `status` is the HTTP status of GitHub's reply, None without one."""

    exit_status = 6

    def __init__(self, what: str, *, cause: str = "", advice: str = "", status: int | None = None) -> None:
        super().__init__(what, cause=cause, advice=advice)
        self.status = status


_EXHAUSTED = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
    }
)


def explain_exhaustion(error: OSError) -> StackError | None:
    """Make a StackError of an error that says that this machine has run out of something; None for any other."""
    if error.errno not in _EXHAUSTED:
        return None
    return StackError(
        f"this machine has run out of something that the run needs: {error.strerror}",
        where=str(error.filename or ""),
        cause="a disk is full or read-only (that of TMPDIR, or of the output), or a limit of this user is reached",
        advice="free some space, set TMPDIR to a folder on another disk, or raise the limit (`ulimit -a`)",
    )


class InterruptedRunError(BenchError):
    """The run received SIGINT or SIGTERM; the command line's signal handler raises this in the main thread."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.exit_status = 128 + signal_number  # type: ignore[misc]  # the shell's convention, per signal
