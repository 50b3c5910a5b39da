"""Which trials measured what was asked. Pure: the traps of wrk, one function."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench_action.config.schema import Profile
from bench_action.load.wrk import Report
from bench_action.model.warning import Code, RunWarning

# the most that was seen in valid slices was 12 % of a core per thread (facts: measurement, "Invalid")
SATURATED = 0.7
# without keep-alive, some connections are always just being made anew
_LIVE_WITHOUT_KEEP_ALIVE = 0.98
_CLOCK_S, _CLOCK_SHARE = 0.5, 0.02
_STEAL_PERCENT = 5.0
_THROTTLED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a report is judged by. `throttled_ms` is the most of any part.

    `paired`: another subject is loaded at once on the same CPU, so what other guests take meets both alike.
    `unexpected`: statuses of the replies that were sampled and were not expected, in words.
    """

    cell: str
    keep_alive: bool
    generator_cores: int
    throttled_ms: float
    paired: bool = False
    unexpected: str = ""


def generator_busy(report: Report, profile: Profile, cores: int) -> float:
    """Wrk's CPU ÷ (duration × the smaller of its threads and its cores); 1 is a generator that can do no more."""
    capacity_s = report.duration_s * min(profile.threads, cores)
    return report.generator_cpu_s / capacity_s if capacity_s > 0 else 1.0


def judge(report: Report, profile: Profile, seen: Circumstances) -> list[RunWarning]:
    """Everything that is wrong with a trial; the codes know which of them invalidate."""
    found = [
        *_connections(report, profile, seen),
        *_service(report, seen.unexpected),
        *_instrument(report, profile, seen),
        *_machine(report, seen),
    ]
    return [code.warn(message, seen.cell) for code, message in found]


_Found = Iterator[tuple[Code, str]]


def _connections(report: Report, profile: Profile, seen: Circumstances) -> _Found:
    asked, live = profile.connections, report.connections_live
    if report.errors.connect:
        yield Code.CONNECT_ERRORS, f"{report.errors.connect} of {asked} connections could not be made"
    elif live < (asked if seen.keep_alive else int(asked * _LIVE_WITHOUT_KEEP_ALIVE)):
        yield Code.FEWER_CONNECTIONS, f"at most {live} of {asked} connections were open at once"


def _service(report: Report, sampled: str) -> _Found:
    errors = report.errors
    if not report.requests:
        yield Code.NOTHING_SERVED, "no request was served"
    elif report.requests < report.connections_live:
        yield Code.FEW_REPLIES, f"{report.requests} replies on {report.connections_live} connections"
    counters = {name: n for name, n in errors.model_dump().items() if n and name != "connect"}
    if 2 * errors.status > report.requests:  # then they are named as what most replies were
        counters.pop("status", None)
    if counters:
        text = "errors under load: " + ", ".join(f"{n} {name}" for name, n in counters.items())
        yield Code.APPLICATION_ERRORS, text + (f" ({sampled})" if sampled else "")


def _instrument(report: Report, profile: Profile, seen: Circumstances) -> _Found:
    busy = generator_busy(report, profile, seen.generator_cores)
    if busy > SATURATED:
        yield Code.GENERATOR_SATURATED, f"wrk used {busy * 100:.0f} % of the CPU that its threads can have"
    if abs(report.wall_s - report.duration_s) > _CLOCK_S + _CLOCK_SHARE * report.wall_s:
        yield Code.CLOCK_STEP, f"wrk says {report.duration_s:.2f} s, a monotonic clock {report.wall_s:.2f} s"


def _machine(report: Report, seen: Circumstances) -> _Found:
    if seen.throttled_ms > _THROTTLED_SHARE * 1000 * report.wall_s:
        yield Code.THROTTLED, f"a container was throttled for {seen.throttled_ms / 1000:.2f} s"
    if report.steal_percent > _STEAL_PERCENT and not seen.paired:
        yield Code.STEAL, f"{report.steal_percent:.0f} % of the machine's CPU time went to other guests"
