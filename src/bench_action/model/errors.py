"""Everything that can end a run early: one class for each exit status, one way to say it."""

import signal
from collections.abc import Sequence
from typing import ClassVar


class BenchError(Exception):
    """A failure that a person can act on.

    `what` happened, `where` (subject, profile, trial), the likely `cause`, the `advice` (what to set), and the
    last lines of the container's `log` where there is one.
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
        """The whole message, one labelled line for each part that is known."""
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
    """Head is worse than base in something that a gate fails for."""

    exit_status = 1


class InputError(BenchError):
    """The configuration, a file or an option is wrong."""

    exit_status = 2


class StackError(BenchError):
    """A service or a subject did not come up, or went away."""

    exit_status = 3


class VerificationError(BenchError):
    """A variant does not do the work that it is compared for."""

    exit_status = 4


class InvalidMeasurementError(BenchError):
    """The figures cannot be trusted."""

    exit_status = 5


class PublishError(BenchError):
    """A result could not be published; `status` is GitHub's answer, None where there was none."""

    exit_status = 6

    def __init__(self, what: str, *, cause: str = "", advice: str = "", status: int | None = None) -> None:
        super().__init__(what, cause=cause, advice=advice)
        self.status = status


class InterruptedRunError(BenchError):
    """SIGINT or SIGTERM; raised in the main thread by the command line's signal handler."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.exit_status = 128 + signal_number  # type: ignore[misc]  # the shell's convention, per signal
