"""One trial: wrk's run, or a count of requests, with the counters read around it."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, pstdev
from typing import Any

from bench_action.config.schema import Profile
from bench_action.load.generator import HttpRequest, Sight, Turns, usages
from bench_action.load.replies import (
    describe_statuses,
    judge_each,
    judge_loaded,
    summarise_replies,
    unexpected_in,
    with_expected,
)
from bench_action.load.validity import Circumstances, generator_busy, judge
from bench_action.load.wrk import Report, order_for, parse_report
from bench_action.model.machine import Usage
from bench_action.model.result import Errors, Latency, Replies, Trial, Work
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Block, Cell, Step
from bench_action.plan.placement import Placement
from bench_action.stack.meters.work import Reading, count_work, list_queries, read_work
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

_LOOK_S = 0.5  # how often, during a trial, we look whether all containers live and how many connections are open
_LATE_S = 15.0
_SETTLE_S = 1.0
_PER_TURN = 5  # requests: about a hundredth of a second, so that a machine's drift meets both subjects alike
_NO_WORK = Work(queries=0, rows=0, cache_commands=0)


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """Which trial: what a plan says of it, and on which CPUs it runs (`None`: on all).

    `counted`: the replies of its cell that were counted so far, None before the first count.
    """

    block: Block
    step: Step
    cell: Cell
    placement: Placement | None = None
    counted: Replies | None = None

    @property
    def paired(self) -> bool:
        """Whether two subjects are loaded at once."""
        return len(self.step.cells) > 1


@dataclass(frozen=True, slots=True)
class LoadRun:
    """One run of wrk with what was seen around it. `spent`: counters of each part over wrk's own window."""

    report: Report
    spent: Mapping[str, Usage]
    memory_mib: float | None
    db_connections: int


def load_alone(stack: Stack, subject: Subject, profile: Profile, duration_s: int, where: str) -> LoadRun:
    """One run of wrk, looking after the stack meanwhile. Raises StackError when a part dies."""
    peak = 0

    def look() -> None:
        nonlocal peak
        require_alive(stack.engine)
        if subject.database is not None:
            peak = max(peak, subject.database.connections())

    order = _order(subject, profile, duration_s, stack.parts(subject))
    answer = stack.agent.wrk(order, _limit_s(profile, duration_s), look, _LOOK_S)
    require_alive(stack.engine)
    return _load_run(answer, where, peak)


def load_together(
    stack: Stack, subjects: Sequence[Subject], profile: Profile, duration_s: int, where: Sequence[str]
) -> list[LoadRun]:
    """A run of wrk for each subject, at once, begun in this order. Raises StackError when one has died meanwhile."""
    orders = [_order(one, profile, duration_s, {"application": one.handle.id}) for one in subjects]
    answers = stack.agent.duet(orders, _limit_s(profile, duration_s), lambda: None, 60.0)
    require_alive(stack.engine)
    return [_load_run(answer, name, 0) for answer, name in zip(answers, where, strict=True)]


def measured(
    place: TrialPlan, subject: Subject, profile: Profile, run: LoadRun, *, work: Work | None, cores: int
) -> Trial:
    """Build a trial from one run of wrk. `cores`: those that wrk has; `work`: None where it could not be counted."""
    report, cell = with_expected(run.report, profile.expect), str(place.cell)
    throttled_ms = max((usage.throttled_ms for usage in run.spent.values()), default=0.0)
    sampled = summarise_replies(report.sampled)
    seen = Circumstances(
        cell,
        subject.config.keep_alive,
        cores,
        throttled_ms,
        place.paired,
        describe_statuses(sampled, profile.expect),
    )
    doubts = (*judge_loaded(report, profile, sampled, place.counted, cell), *judge(report, profile, seen))
    return Trial(
        **_where(place, subject),
        started_at=_began(report.wall_s),
        duration_s=report.duration_s,
        wall_s=report.wall_s,
        requests=report.requests,
        bytes_read=report.bytes_read,
        errors=report.errors,
        latency=report.latency,
        connections_asked=profile.connections,
        connections_live=report.connections_live,
        generator_busy=generator_busy(report, profile, cores),
        cpu_ms=_cpu_ms(run.spent) | {"generator": report.generator_cpu_s * 1000},
        work=work or _NO_WORK,
        work_known=work is not None,
        db_connections_peak=run.db_connections,
        memory_peak_mib=run.memory_mib,
        steal_percent=report.steal_percent,
        **_idle(place.placement, report),
        replies=sampled,
        warnings=doubts,
    )


def count_trial(stack: Stack, place: TrialPlan, subject: Subject, profile: Profile, requests: int) -> Trial:
    """A fixed number of requests one after the other: work per request.

    Its `wall_s` is the time between the two readings, in which work in the background was counted too.
    """
    agent, parts, request = stack.agent, stack.parts(subject), HttpRequest.to(subject.handle, profile)
    time.sleep(place.step.pause_s)
    before, usage_before = read_work(subject), agent.usage(parts)
    began = time.monotonic()
    replies = agent.requests(request, requests, timeout_s=max(10.0, profile.timeout), bodies=False)
    duration_s, usage_after = time.monotonic() - began, agent.usage(parts)
    agent.settle([subject.handle.id], _SETTLE_S)  # what a request leaves behind comes after its reply, as in Django
    after = read_work(subject)
    wall_s = after.at - before.at
    answered = [reply for reply in replies if not reply.problem]
    work = count_work(before, after)
    seen = summarise_replies([Sight.of_reply(reply) for reply in answered], replies[-1].problem)
    lost = () if work is not None else (_counters_lost(place),)
    return Trial(
        **_where(place, subject),
        started_at=_began(wall_s),
        duration_s=duration_s,
        wall_s=wall_s,
        requests=len(answered),
        bytes_read=sum(reply.size for reply in replies),
        errors=Errors(read=len(replies) - len(answered), status=sum(unexpected_in(seen, profile.expect).values())),
        latency=None,
        connections_asked=1,
        connections_live=1,
        generator_busy=0.0,
        cpu_ms=_cpu_ms(_spent(usage_before, usage_after)),
        work=work or _NO_WORK,
        work_known=work is not None,
        db_connections_peak=0,
        memory_peak_mib=None,
        steal_percent=0.0,
        statements=list_queries(before, after),
        replies=seen,
        warnings=(*judge_each(seen, profile, str(place.cell)), *lost),
        **(_idle_work(subject, after, wall_s) if place.step.idle else {}),
    )


def _idle_work(subject: Subject, before: Reading, seconds: float) -> dict[str, Any]:
    """What is done without requests, in about as long as the count took."""
    time.sleep(seconds)
    after = read_work(subject)
    return {
        "idle": count_work(before, after) or _NO_WORK,
        "idle_s": after.at - before.at,
        "idle_statements": list_queries(before, after),
    }


def _counters_lost(place: TrialPlan) -> RunWarning:
    message = "the statistics of PostgreSQL or Redis were reset, or overflowed, while its work was counted"
    return Code.COUNTERS_LOST.warn(message, str(place.cell))


def capacity_trial(stack: Stack, place: TrialPlan, subject: Subject, profile: Profile, cores: int) -> Trial:
    """One subject alone, with the work that it did meanwhile."""
    before = read_work(subject)
    run = load_alone(stack, subject, profile, place.step.slice_s or profile.duration, str(place.cell))
    work = count_work(before, read_work(subject))
    return measured(place, subject, profile, run, work=work, cores=cores)


def duet_trials(
    stack: Stack, places: Sequence[TrialPlan], subjects: Sequence[Subject], profile: Profile, cores: int
) -> list[Trial]:
    """Two subjects at once. What the database and the cache did cannot be told apart, so it is left out."""
    names = [str(place.cell) for place in places]
    loads = load_together(stack, subjects, profile, places[0].step.slice_s, names)
    return [
        measured(place, subject, profile, run, work=None, cores=cores)
        for place, subject, run in zip(places, subjects, loads, strict=True)
    ]


def latency_trials(
    stack: Stack, places: Sequence[TrialPlan], subjects: Sequence[Subject], profile: Profile
) -> list[Trial]:
    """One connection to each subject, in turns of a few requests: how long does a request wait, what does it cost?"""
    requests = [HttpRequest.to(subject.handle, profile) for subject in subjects]
    block = places[0].block
    seen = stack.agent.turns(
        requests,
        [stack.parts(subject) for subject in subjects],
        seconds=places[0].step.slice_s,
        per_turn=_PER_TURN,
        timeout_s=max(10.0, profile.timeout),
        seed=block.number,
    )
    require_alive(stack.engine)
    return [_turned(*one, profile) for one in zip(places, subjects, seen, strict=True)]


def _turned(place: TrialPlan, subject: Subject, seen: Turns, profile: Profile) -> Trial:
    cpu_ms = {name: value for name, value in seen.cpu_ms.items() if value is not None}
    replies = summarise_replies(seen.seen, seen.problem)
    refused = sum(unexpected_in(replies, profile.expect).values())
    return Trial(
        **_where(place, subject),
        started_at=_began(seen.duration_s),
        duration_s=seen.duration_s,
        wall_s=seen.duration_s,
        requests=replies.total,
        bytes_read=sum(sight.size for sight in seen.seen),
        errors=Errors(read=seen.errors, status=refused),
        latency=latency_of(seen.latencies_us),
        connections_asked=1,
        connections_live=1,
        generator_busy=0.0,
        cpu_ms=cpu_ms,
        work=_NO_WORK,
        work_known=False,
        db_connections_peak=0,
        memory_peak_mib=None,
        steal_percent=0.0,
        replies=replies,
        warnings=judge_each(replies, profile, str(place.cell)),
    )


def latency_of(values_us: Sequence[float]) -> Latency | None:
    """Their figures, in µs; a percentile is the smallest value that so many are not above."""
    if not values_us:
        return None
    ordered = sorted(values_us)

    def percentile(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Latency(
        mean_us=fmean(ordered),
        stdev_us=pstdev(ordered),
        min_us=ordered[0],
        max_us=ordered[-1],
        p50_us=percentile(0.5),
        p90_us=percentile(0.9),
        p99_us=percentile(0.99),
        p999_us=percentile(0.999),
    )


def _where(place: TrialPlan, subject: Subject) -> dict[str, Any]:
    block, cell = place.block, place.cell
    return {
        "phase": block.phase,
        "block": block.number,
        "position": place.step.cells.index(cell) + place.step.position,
        "variant": cell.variant,
        "revision": cell.revision,
        "profile": cell.profile,
    } | (
        {}
        if block.pair is None
        else {
            "pair": str(block.pair),
            "side": "base" if cell == block.pair.base else "head",
            "slot": subject.slot,
        }
    )


def _idle(placement: Placement | None, report: Report) -> dict[str, float]:
    """Mean idle share of the application's and the services' CPUs, where it is known which they are."""
    if placement is None:
        return {}
    groups = {"application_idle": placement.application, "services_idle": placement.services}
    return {
        name: sum(report.idle[cpu] for cpu in cpus) / len(cpus)
        for name, cpus in groups.items()
        if all(cpu in report.idle for cpu in cpus)
    }


def _order(subject: Subject, profile: Profile, duration_s: int, parts: Mapping[str, str]) -> dict[str, Any]:
    return order_for(profile, subject.handle.host, subject.handle.port, duration_s) | {"parts": dict(parts)}


def _limit_s(profile: Profile, duration_s: int) -> float:
    return duration_s + profile.timeout + _LATE_S


def _load_run(answer: Mapping[str, Any], where: str, db_connections: int) -> LoadRun:
    report = parse_report(answer, where)
    spent = _spent(usages(answer["before"]), usages(answer["after"]))
    return LoadRun(report, spent, answer["memory_mib"], db_connections)


def _spent(before: Mapping[str, Usage | None], after: Mapping[str, Usage | None]) -> dict[str, Usage]:
    """Differences of the counters, for the parts that have some."""
    both = {name: (before[name], usage) for name, usage in after.items()}
    return {
        name: Usage(late.cpu_ms - early.cpu_ms, late.memory_mib, late.throttled_ms - early.throttled_ms)
        for name, (early, late) in both.items()
        if early is not None and late is not None
    }


def _cpu_ms(spent: Mapping[str, Usage]) -> dict[str, float]:
    return {name: usage.cpu_ms for name, usage in spent.items()}


def _began(seconds_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat()
