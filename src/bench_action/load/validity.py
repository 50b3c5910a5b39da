"""Decide whether a run of wrk measured what its profile says: one check for each of wrk's traps. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench_action.config.schema import Profile
from bench_action.load.wrk import Report
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import percent

# in valid slices wrk used 9 % at most (docs/how-it-decides.md, "Replies under load are those that were counted")
SATURATED = 0.7
# without keep-alive, a few connections are always just being reopened
_LIVE_WITHOUT_KEEP_ALIVE = 0.98
_CLOCK_SHARE = 0.01  # NTP corrects a clock by 0.05 % at most, unless it sets it
_STEAL_PERCENT = 5.0
_LONG = 2  # timeouts: in less time, requests that are under way at the end count for too much
_LEAST_WAITED = 0.5  # 0.8 is the least that was seen where nothing was wrong
_LATE_SHARE, _LATE_S = 0.05, 0.2  # by which several generators may begin one after the other
_THROTTLED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a report is judged by, in addition to its profile. `throttled_ms` is the most of any part.

    `paired`: another subject is loaded on the same CPU at the same time, so other guests affect both equally.
    `unexpected`: the unexpected statuses among sampled replies, as text.
    """

    cell: str
    keep_alive: bool
    generator_cores: int
    throttled_ms: float
    paired: bool = False
    unexpected: str = ""


def compute_generator_busy(report: Report, profile: Profile, cores: int) -> float:
    """Compute wrk's CPU time ÷ (duration × the smaller of its threads and its cores); 1 means fully busy.

    Of several generators it is the busiest one's.
    """
    if report.busiest is not None:
        return report.busiest
    capacity_s = report.duration_s * min(profile.threads, cores)
    return report.generator_cpu_s / capacity_s if capacity_s > 0 else 1.0


def judge(report: Report, profile: Profile, circumstances: Circumstances) -> list[RunWarning]:
    """Warn about everything that is wrong with a run of wrk; each code knows whether it invalidates a trial."""
    faults = [
        *_judge_connections(report, profile, circumstances),
        *_judge_service(report, profile, circumstances),
        *_judge_generator(report, profile, circumstances),
        *_judge_generators(report),
        *_judge_machine(report, circumstances),
    ]
    cell = circumstances.cell
    return [code.warn(message, cell) for code, message in faults]


_Faults = Iterator[tuple[Code, str]]


def _compute_waited(report: Report, timeout_s: float) -> float:
    """Compute which share of their time connections spent on requests that were answered, by Little's law.

    It is about 1 in a closed loop. A server that stops answering shows no error: its last requests have no reply. wrk
    times no reply that comes later than its timeout: it took that long at least.
    """
    mean_s = report.latency.mean_us / 1e6 if report.latency is not None else 0.0
    late = report.errors.timeout
    spent_s = (report.requests - late) * mean_s + late * timeout_s
    return spent_s / max(1e-9, report.connections_live * report.duration_s)


def _judge_connections(report: Report, profile: Profile, circumstances: Circumstances) -> _Faults:
    wanted, live = profile.connections, report.connections_live
    if report.errors.connect:
        yield Code.CONNECT_ERRORS, f"{report.errors.connect} of {wanted} connections could not be made"
    elif live < (wanted if circumstances.keep_alive else int(wanted * _LIVE_WITHOUT_KEEP_ALIVE)):
        yield Code.FEWER_CONNECTIONS, f"at most {live} of {wanted} connections were open at the same time"


def _judge_service(report: Report, profile: Profile, circumstances: Circumstances) -> _Faults:
    errors, sampled = report.errors, circumstances.unexpected
    if not report.requests:
        yield Code.NOTHING_SERVED, "no request was served"
    elif report.requests < report.connections_live:
        yield Code.FEW_REPLIES, f"{report.requests} replies on {report.connections_live} connections"
    waited = _compute_waited(report, profile.timeout)
    long = report.duration_s >= _LONG * profile.timeout
    if report.requests >= report.connections_live and long and circumstances.keep_alive and waited < _LEAST_WAITED:
        yield Code.STALLED, f"connections spent only {percent(waited)} of their time on requests that were answered"
    counters = {name: n for name, n in errors.model_dump().items() if n and name != "connect"}
    if 2 * errors.status > report.requests:  # then replies.py warns that they are most replies
        counters.pop("status", None)
    if counters:
        text = "errors under load: " + ", ".join(f"{n} {name}" for name, n in counters.items())
        yield Code.APPLICATION_ERRORS, text + (f" ({sampled})" if sampled else "")


def _judge_generator(report: Report, profile: Profile, circumstances: Circumstances) -> _Faults:
    busy = compute_generator_busy(report, profile, circumstances.generator_cores)
    if busy > SATURATED:
        yield Code.GENERATOR_SATURATED, f"wrk used {busy * 100:.0f} % of the CPU time available to its threads"
    step_s = report.clock_step_s
    if abs(step_s) > _CLOCK_SHARE * report.wall_s:
        yield Code.CLOCK_STEP, f"the clock was set by {step_s:+.2f} s within {report.wall_s:.2f} s"
    elif not 0 < report.duration_s <= (1 + _CLOCK_SHARE) * report.wall_s:  # less is no fault: wrk may end late
        yield Code.CLOCK_STEP, f"wrk reports {report.duration_s:.2f} s, a monotonic clock {report.wall_s:.2f} s"


def _judge_generators(report: Report) -> _Faults:
    if report.lateness_s > max(_LATE_SHARE * report.wall_s, _LATE_S):
        yield Code.GENERATORS_APART, f"the last generator began {report.lateness_s:.2f} s after the first"


def _judge_machine(report: Report, circumstances: Circumstances) -> _Faults:
    if circumstances.throttled_ms > _THROTTLED_SHARE * 1000 * report.wall_s:
        yield Code.THROTTLED, f"a container was throttled for {circumstances.throttled_ms / 1000:.2f} s"
    if report.steal_percent > _STEAL_PERCENT and not circumstances.paired:
        yield Code.STEAL, f"{report.steal_percent:.0f} % of the machine's CPU time went to other guests"
