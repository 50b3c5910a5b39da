"""Run one turn with k6: at a fixed rate, as a script says, or to count the work of a script."""

import math
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench_action.config.schema import MOST_USERS, Profile
from bench_action.load.k6 import K6Report, Turn, parse_k6_report
from bench_action.load.rates import judge_turn
from bench_action.measure.limits import Strain, require_within_limits
from bench_action.measure.trials import (
    CHECK_S,
    NO_WORK,
    TrialPlan,
    Watch,
    add_companions,
    add_idle_work,
    compute_start,
    locate,
    subtract_counters,
)
from bench_action.model.errors import InputError
from bench_action.model.result import Errors, Trial
from bench_action.plan.blocks import Cell
from bench_action.stack.meters.work import count_work, list_queries, read_work
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

_COUNTED = 10  # iterations of a script, by one user
_COUNT_S = 20
_MOST_PER_CORE = 700.0  # requests/s that k6 sends without using up the CPUs; it takes about 0.3 to 1 ms for each
_PAUSES = 1.5  # of the time that an iteration takes without others


def find_rate(profile: Profile, trials: Sequence[Trial], cell: Cell) -> float | None:
    """Find the rate of a profile; None if its script says itself how it is run.

    A share is one of the capacity of `cell`, by the trials so far, which must be known (`find_capacity`).
    """
    if profile.rate is None or profile.rate.share is None:
        return profile.rate.per_second if profile.rate is not None else None
    return max(1.0, round(profile.rate.share * find_capacity(trials, cell)))


def limit_rate(profile: Profile, rate: float | None, cores: int) -> float | None:
    """Limit the rate of a share to what k6 can send with `cores` CPUs; a number is sent, or makes the run invalid."""
    if rate is None or profile.rate is None or profile.rate.share is None:
        return rate
    return min(rate, _MOST_PER_CORE * cores, float(MOST_USERS // profile.timeout))


def find_capacity(trials: Sequence[Trial], cell: Cell) -> float:
    """Find how many requests a cell answers each second at full load; 0 if no valid trial shows it."""
    own = [t.requests_per_second for t in trials if t.phase == "capacity" and t.cell == str(cell) and t.valid]
    return median(own) if own else 0.0


def find_longest_s(profile: Profile, trials: Sequence[Trial], cell: Cell) -> float:
    """Find how long an iteration may take before users are missing: its timeout, and the pauses of a script."""
    if not profile.is_script:
        return float(profile.timeout)
    counted = [
        t.at_rate.iteration_us / 1e6 for t in trials if t.profile == cell.profile and t.phase == "count" and t.at_rate
    ]
    return profile.timeout + _PAUSES * max(counted, default=0.0)


def run_turn(
    stack: Stack, place: TrialPlan, subject: Subject, profile: Profile, turn: Turn, *, cores: int, number: int
) -> Trial:
    """Load one subject for a turn. `cores`: those that k6 has. `number`: how many turns its data have had."""
    watch = Watch(stack, subject)
    order, tape = subject.order_turn(profile, turn, number)
    answer = stack.agent.k6(order, tape, watch, CHECK_S)
    require_alive(stack.engine)
    report = parse_k6_report(answer, profile, turn, str(place.cell))
    usage = subtract_counters(answer["before"], answer["after"])
    require_within_limits(stack.engine, [Strain(subject, usage, report.failed)])
    busy = answer["cpu_s"] / (max(0.001, answer["wall_s"]) * cores)
    cpu_ms = add_companions({name: part.cpu_ms for name, part in usage.items()})
    return Trial(
        **locate(place, subject),
        **_describe(report),
        started_at=compute_start(answer["wall_s"]),
        wall_s=answer["wall_s"],
        generator_busy=busy,
        cpu_ms=cpu_ms | {"generator": answer["cpu_s"] * 1000},
        work=NO_WORK,
        work_known=False,
        db_connections_peak=watch.peak,
        memory_peak_mib=answer["memory_mib"],
        steal_percent=answer["steal_percent"],
        warnings=tuple(judge_turn(report, profile, str(place.cell), busy=busy)),
    )


def run_script_count(stack: Stack, place: TrialPlan, subject: Subject, profile: Profile) -> Trial:
    """Let one user run a script a few times, to find the work of each of its requests, those of `setup` included."""
    time.sleep(place.step.pause_s)
    before = read_work(subject)
    turn = Turn(None, _COUNT_S, iterations=_COUNTED, seed=subject.seed)
    order, tape = subject.order_turn(profile, turn)
    answer = stack.agent.k6(order, tape, lambda: require_alive(stack.engine))
    stack.agent.settle([subject.handle.part], 1.0)
    after = read_work(subject)
    report = parse_k6_report(answer, profile, turn, str(place.cell))
    _require_requests(report, profile, str(place.cell))
    _require_time(report, profile, str(place.cell))
    usage = subtract_counters(answer["before"], answer["after"])
    require_within_limits(stack.engine, [Strain(subject, usage, report.failed)])
    work = count_work(before, after)
    trial = Trial(
        **locate(place, subject),
        **_describe(report) | {"requests": report.at_rate.all_requests, "latency": None},
        started_at=compute_start(answer["wall_s"]),
        wall_s=after.at - before.at,
        generator_busy=0.0,
        cpu_ms=add_companions({name: part.cpu_ms for name, part in usage.items()}),
        work=work or NO_WORK,
        work_known=work is not None,
        statements=list_queries(before, after),
        db_connections_peak=0,
        memory_peak_mib=None,
        steal_percent=0.0,
    )
    return add_idle_work(trial, subject, after) if place.step.idle else trial


def _require_time(report: K6Report, profile: Profile, where: str) -> None:
    """Raise InputError if a turn is too short for an iteration of a script."""
    iteration_s = report.at_rate.iteration_us / 1e6
    if profile.rate is None or (report.at_rate.iterations and iteration_s < profile.duration):
        return
    longest_s = math.ceil(2 * max(iteration_s, _COUNT_S if not report.at_rate.iterations else 0))
    raise InputError(
        f"an iteration of the script {profile.k6} takes longer than a turn of {profile.duration} s",
        where=where,
        advice=f"set `duration: {longest_s}s` in the profile, or let the script wait less",
    )


def _require_requests(report: K6Report, profile: Profile, where: str) -> None:
    """Raise InputError if a script sends nothing."""
    if report.bytes_read or report.failed:
        return
    raise InputError(
        f"the script {profile.k6} sends no request",
        where=where,
        cause="k6 received not a single byte while it ran",
        advice="send requests to `__ENV.BASE_URL` in its default function",
    )


def _describe(report: K6Report) -> dict[str, Any]:
    """Fill in the fields of a trial that k6 reports."""
    rate = report.at_rate.rate
    return {
        "duration_s": report.duration_s,
        "requests": report.requests,
        "bytes_read": report.bytes_read,
        "errors": Errors(status=report.failed),
        "latency": report.latency,
        "connections_asked": 0 if rate is None else 1,
        "connections_live": 0 if rate is None else 1,
        "at_rate": report.at_rate,
    }
