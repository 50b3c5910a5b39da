"""Decide whether a turn of k6 measured what its profile says. Pure."""

from collections.abc import Iterator

from bench_action.config.schema import Profile
from bench_action.load.k6 import K6Report
from bench_action.load.validity import SATURATED
from bench_action.model.result import AtRate
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import percent

_REACHED = 0.99
_SPARE = 2  # iterations
_LONGER, _GROWTH = 1.5, 0.02  # times as long in the second half, by so much of a turn: the rate is 4 % too high
_SINGLE = "iteration_duration"  # what is timed if each iteration is one of our requests


def compute_reached(at_rate: AtRate, duration_s: float) -> float:
    """Compute which part of the rate a server kept up with; 1 if a script has no rate.

    Iterations that were under way at the end count, as many as a server that keeps up has (Little's law).
    """
    if at_rate.rate is None:
        return 1.0
    under_way = at_rate.rate * min(duration_s, at_rate.iteration_us / 1e6) + _SPARE
    return min(1.0, (at_rate.iterations + under_way) / (at_rate.rate * duration_s))


def is_missed(at_rate: AtRate, duration_s: float) -> bool:
    """Whether a server did not keep up with the rate: iterations were dropped, piled up, or took ever longer.

    How many iterations of a script are under way depends on its pauses, so that their number does not count there.
    """
    single = at_rate.timed == _SINGLE and compute_reached(at_rate, duration_s) < _REACHED
    return at_rate.dropped > 0 or single or _grows(at_rate, duration_s)


def describe_dropped(number: int, what: str) -> str:
    """Say that so many requests or iterations (`what`) were not begun."""
    subject = f"1 {what} was" if number == 1 else f"{number:,} {what}s were"
    return f"{subject} not begun, as all users waited for replies"


def describe_missed(at_rate: AtRate, duration_s: float) -> str:
    """Say how a server did not keep up with the rate, if no iteration was dropped."""
    if _grows(at_rate, duration_s):
        early_s, late_s = at_rate.early_us / 1e6, at_rate.late_us / 1e6
        return (
            f"its queue grew: iterations took {early_s:.2g} s in the first half of a turn, {late_s:.2g} s in the second"
        )
    return f"it kept up with {percent(compute_reached(at_rate, duration_s))} of {at_rate.rate or 0:g}/s"


def _grows(at_rate: AtRate, duration_s: float) -> bool:
    """Whether the queue of a server grew all the time: what comes later waits longer."""
    growth_s = (at_rate.late_us - at_rate.early_us) / 1e6
    return at_rate.rate is not None and at_rate.late_us > _LONGER * at_rate.early_us and growth_s > _GROWTH * duration_s


def judge_turn(report: K6Report, profile: Profile, cell: str, *, busy: float) -> list[RunWarning]:
    """Warn about everything that is wrong with a turn. `busy`: k6's CPU time as a share of what it could use."""
    faults = [*_judge_replies(report, profile), *_judge_generator(report, profile, busy)]
    return [code.warn(message, cell) for code, message in faults]


def _judge_replies(report: K6Report, profile: Profile) -> Iterator[tuple[Code, str]]:
    at_rate = report.at_rate
    if not report.requests:
        yield Code.NOTHING_SERVED, "no request was answered"
    elif report.failed:
        # a server that does not keep up answers too late: that is what a fixed rate is to find, and no wrong request;
        # of a script's replies, only its own checks know which are expected
        most = (
            2 * report.failed > report.requests
            and not (profile.is_script and at_rate.checks)
            and not is_missed(at_rate, report.duration_s)
        )
        text = f"{report.failed:,} of {report.requests:,} replies were unexpected, or never came"
        if report.elsewhere:
            text += f"; one sent k6 to {report.elsewhere}, and it may connect to the application only"
        yield (Code.MOSTLY_ERRORS if most else Code.APPLICATION_ERRORS), text
    if at_rate.ended:
        yield Code.SCRIPT_ENDED, at_rate.ended


def _judge_generator(report: K6Report, profile: Profile, busy: float) -> Iterator[tuple[Code, str]]:
    at_rate = report.at_rate
    if busy > SATURATED:
        yield Code.K6_SATURATED, f"k6 used {busy * 100:.0f} % of the CPU time that it could"
    elif is_missed(at_rate, report.duration_s):
        if at_rate.dropped:
            yield Code.RATE_MISSED, describe_dropped(at_rate.dropped, "iteration" if profile.is_script else "request")
        else:
            yield Code.RATE_MISSED, describe_missed(at_rate, report.duration_s)
