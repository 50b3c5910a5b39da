"""Run one trial: load with wrk, or a number of requests, with the counters read before and after."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import fmean, pstdev
from typing import Any

from bench_action.config.schema import Profile
from bench_action.load.generator import Reply, Sample, Tape, Turns, convert_counters
from bench_action.load.messages import PartCounters, WrkAnswer
from bench_action.load.peers import find_peer
from bench_action.load.replies import (
    describe_statuses,
    discount_closes,
    find_unexpected,
    judge_each,
    judge_loaded,
    merge_counts,
    recount_errors,
    summarise_replies,
)
from bench_action.load.tape import count_sent, cut_count, cut_routes
from bench_action.load.validity import Circumstances, compute_generator_busy, judge
from bench_action.load.wrk import Report, parse_report
from bench_action.measure.limits import Strain, require_within_limits
from bench_action.measure.openings import Openings
from bench_action.model.machine import Usage
from bench_action.model.result import Errors, Latency, Mark, Replies, Trial, WarmUp, Work
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Block, Cell, Step
from bench_action.plan.placement import Placement
from bench_action.plan.timetable import ENOUGH_REQUESTS
from bench_action.stack.meters.work import Reading, count_work, list_queries, read_work
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

_USES_APART = 8  # slices in turn of one restart; a slice that is taken again sends other serial numbers
CHECK_S = 0.5  # how often, during a trial, containers are checked to be alive and connections to the database counted
_SETTLE_S = 1.0
_COUNT_S, _ROUTE_S = 60.0, 10.0  # for a count, and for each request of a mix at least: a slow one is sent less often
_PER_TURN = 5  # requests: about a hundredth of a second, so that drift of the machine affects both subjects equally
NO_WORK = Work(queries=0, rows=0, cache_commands=0)
# the fields of a trial in which the agent itself sends the requests, over one connection to each subject
_WITHOUT_WRK: Mapping[str, Any] = {
    "connections_asked": 1,
    "connections_live": 1,
    "generator_busy": 0.0,
    "db_connections_peak": 0,
    "memory_peak_mib": None,
    "steal_percent": 0.0,
}


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """One trial to run: its place in the plan, and the CPUs that it runs on (None: all of them).

    `counted`: the replies of earlier counts of its cell, None before the first count. `warm_up`: the warm-up after the
    restart before it, None without one. `track`: which of the duets at the same time it belongs to. `route`: the name
    of the request of a mix that is measured alone.
    """

    block: Block
    step: Step
    cell: Cell
    placement: Placement | None = None
    counted: Replies | None = None
    warm_up: WarmUp | None = None
    track: int = 0
    route: str = ""

    @property
    def measured(self) -> Cell:
        """What is measured: its cell, or one request of it."""
        return self.cell.take_route(self.route)

    @property
    def paired(self) -> bool:
        """Whether two subjects are loaded at the same time."""
        return len(self.step.cells) > 1


@dataclass(frozen=True, slots=True)
class LoadRun:
    """One run of wrk, and what was seen in that time. `usage`: what each part used over wrk's own window.

    `work`: what the subject did in that time, None if it was not counted.
    `host_busy`: what each machine does → the share of time in which its CPUs were busy, if there are several.
    """

    report: Report
    usage: Mapping[str, Usage]
    memory_mib: float | None
    db_connections: int
    host_busy: Mapping[str, float] = field(default_factory=dict)
    work: Work | None = None

    def measure_strain(self, subject: Subject) -> Strain:
        """Sum up what it did to a subject."""
        return Strain(subject, self.usage, sum(self.report.errors.model_dump().values()))


@dataclass(frozen=True, slots=True)
class CountRun:
    """A number of requests sent one after the other, and the readings around them. `usage`: what each part used."""

    replies: Sequence[Reply]
    duration_s: float
    usage: Mapping[str, Usage]
    before: Reading
    after: Reading


@dataclass(slots=True)
class Watch:
    """Called while a subject is loaded: checks that the stack is alive, and counts connections to the database."""

    stack: Stack
    subject: Subject
    peak: int = 0

    def __call__(self) -> None:
        """Raise StackError if a part has died."""
        require_alive(self.stack.engine)
        if self.subject.database is not None:
            self.peak = max(self.peak, self.subject.database.connections())


def load_alone(
    stack: Stack, subject: Subject, profile: Profile, duration_s: int, where: str, *, number: int = 0
) -> LoadRun:
    """Run wrk once, and check meanwhile that the stack is alive. Raises StackError if a part dies.

    `number`: how often the subject was loaded since its restart.
    """
    before, watch = read_work(subject), Watch(stack, subject)
    load = subject.order_load(profile, duration_s, number)
    answer = stack.agent.wrk(load, watch, CHECK_S)
    require_alive(stack.engine)
    run = _build_load_run(stack, answer, where, watch.peak)
    require_within_limits(stack.engine, [run.measure_strain(subject)])
    return replace(run, work=count_work(before, read_work(subject)))


def load_together(
    stack: Stack, subjects: Sequence[Subject], profile: Profile, duration_s: int, where: Sequence[str], *, number: int
) -> list[LoadRun]:
    """Run wrk for each subject at the same time, started in this order. Raises StackError if a part has died."""
    loads = [subject.order_slice(profile, duration_s, number) for subject in subjects]
    answers = stack.agent.duet(loads, lambda: None, 60.0)
    require_alive(stack.engine)
    runs = [_build_load_run(stack, answer, name, 0) for answer, name in zip(answers, where, strict=True)]
    strains = [run.measure_strain(subject) for run, subject in zip(runs, subjects, strict=True)]
    require_within_limits(stack.engine, strains)
    return runs


def run_capacity_trial(
    stack: Stack, place: TrialPlan, subject: Subject, profile: Profile, cores: int, *, openings: Openings
) -> Trial:
    """Load one subject alone, and count the work that it does under load. `cores`: those that wrk has.

    A short one that ends without all connections is taken again, and lasts longer from then on, for both of a pair.
    """
    duration_s = place.step.slice_s or profile.duration
    pair = place.block.pair
    cells = [pair.base, pair.head] if pair else [place.cell]
    spare_s = openings.find_spare_s(cells, duration_s, once=profile.adds_data)
    number = place.step.position if pair else place.block.number
    run = load_alone(stack, subject, profile, duration_s + spare_s, str(place.cell), number=number)
    openings.note(place.cell, subject, profile, run.report)
    late_s = 0 if spare_s or profile.adds_data else openings.find_spare_s(cells, duration_s)
    if late_s:
        stack.agent.settle([subject.handle.part], _SETTLE_S)
        again = number + _USES_APART
        run = load_alone(stack, subject, profile, duration_s + late_s, str(place.cell), number=again)
    return _build_load_trial(place, subject, profile, run, cores=cores)


def run_duet_trials(
    stack: Stack,
    places: Sequence[TrialPlan],
    subjects: Sequence[Subject],
    profile: Profile,
    cores: int,
    *,
    openings: Openings,
) -> list[Trial]:
    """Load the subjects of all tracks at the same time. Their work is counted exactly, in the trials for that."""
    names = [str(place.cell) for place in places]
    number = places[0].block.number
    runs = load_together(stack, subjects, profile, places[0].step.slice_s, names, number=number)
    for place, subject, run in zip(places, subjects, runs, strict=True):
        openings.note(place.cell, subject, profile, run.report)
    return [
        _build_load_trial(place, subject, profile, run, cores=cores)
        for place, subject, run in zip(places, subjects, runs, strict=True)
    ]


def _build_load_trial(place: TrialPlan, subject: Subject, profile: Profile, run: LoadRun, *, cores: int) -> Trial:
    """Build a trial from one run of wrk."""
    replies = summarise_replies(run.report.sampled)
    report = discount_closes(recount_errors(run.report, profile.expect), replies, place.counted)
    if not subject.keeps_open(place.cell.profile):
        report = report.without_keep_alive()
    return Trial(
        **locate(place, subject),
        started_at=compute_start(report.wall_s),
        duration_s=report.duration_s,
        wall_s=report.wall_s,
        requests=report.requests,
        bytes_read=report.bytes_read,
        errors=report.errors,
        latency=report.latency,
        connections_asked=profile.connections,
        connections_live=report.connections_live,
        generator_busy=compute_generator_busy(report, profile, cores),
        cpu_ms=_get_cpu_ms(run.usage) | {"generator": report.generator_cpu_s * 1000},
        work=run.work or NO_WORK,
        work_known=run.work is not None,
        db_connections_peak=run.db_connections,
        memory_peak_mib=run.memory_mib,
        service_memory_mib={
            name: part.memory_mib for name, part in run.usage.items() if name.partition(":")[0] != "application"
        },
        steal_percent=report.steal_percent,
        **_average_idle(place, subject, report),
        host_busy={name: round(share, 4) for name, share in run.host_busy.items()},
        replies=replies,
        sent=_count_sent(subject, profile, report),
        marks=tuple(
            Mark(s=s, bytes_read=received, cpu_ms=cpu_ms, memory_mib=memory_mib)
            for s, received, cpu_ms, memory_mib in report.marks
        )
        if place.paired
        else (),
        warnings=_judge_load(place, subject, profile, run, report, cores=cores),
    )


def _count_sent(subject: Subject, profile: Profile, report: Report) -> dict[str, int]:
    """Count how often each request of a mix was sent; empty for others, and if several generators loaded it."""
    if not profile.is_mix or not report.sent:
        return {}
    return count_sent(profile, subject.address_profile(profile), report.sent)


def _judge_load(
    place: TrialPlan, subject: Subject, profile: Profile, run: LoadRun, report: Report, *, cores: int
) -> tuple[RunWarning, ...]:
    cell, sampled = str(place.cell), summarise_replies(report.sampled)
    unexpected = _describe_unexpected(report, profile)
    circumstances = Circumstances(
        cell,
        subject.keeps_open(place.cell.profile),
        cores,
        throttled_ms=max((usage.throttled_ms for usage in run.usage.values()), default=0.0),
        paired=place.paired,
        unexpected=unexpected,
    )
    unseen = profile.is_mix and unexpected and not report.errors.total  # by wrk, to which they are expected statuses
    return (
        *judge_loaded(report, profile, sampled, place.counted, cell),
        *judge(report, profile, circumstances),
        *([Code.APPLICATION_ERRORS.warn(f"unexpected replies: {unexpected}", cell)] if unseen else []),
    )


def _describe_unexpected(report: Report, profile: Profile) -> str:
    """Describe the unexpected statuses among sampled replies; of a mix, those of each request."""
    if not profile.is_mix:
        return describe_statuses(summarise_replies(report.sampled), profile.expect)
    texts = []
    for number, (title, part) in enumerate(profile.parts.items()):
        own = summarise_replies([sample for sample in report.sampled if sample.route == number])
        if text := describe_statuses(own, part.expect):
            texts.append(f"{title}: {text}")
    return "; ".join(texts)


def run_count_trials(stack: Stack, place: TrialPlan, subject: Subject, profile: Profile, requests: int) -> list[Trial]:
    """Send a fixed number of requests one after the other, to find the work per request.

    A mix gives a trial for each of its requests, and one for all of them. A trial's `wall_s` is the time between the
    two readings, so work in the background is counted as well. If the step is `idle`, the work done without requests is
    measured afterwards, for as long as the count took.
    """
    time.sleep(place.step.pause_s)
    tape = subject.address_profile(profile, "count", place.block.number)
    if not profile.is_mix:
        one = tape.cut(tape.messages, requests * place.block.number, requests)
        return [_count(stack, place, subject, profile, one)]
    trials, serial = [], tape.first_serial
    limit_s = max(_ROUTE_S, _COUNT_S / len(profile.routes))
    for (title, part), cut in zip(
        profile.parts.items(), cut_count(profile, tape, requests, place.block.number), strict=True
    ):
        own = replace(place, route=title)
        trials.append(_count(stack, own, subject, part, cut.number_from(serial), limit_s=limit_s))
        serial += len(cut.messages)
    return [*trials, _add_up(trials, place)]


def _add_up(routes: Sequence[Trial], place: TrialPlan) -> Trial:
    """Add up the counts of all requests of a mix, which were sent as often as their weights say."""
    first = routes[0]
    ended = [trial.replies for trial in routes if trial.replies is not None]
    idle = [trial.idle for trial in routes if trial.idle is not None]
    cpu = [name for name in first.cpu_ms if all(name in trial.cpu_ms for trial in routes)]
    return first.model_copy(
        update={
            "profile": place.cell.profile,
            "duration_s": sum(trial.duration_s for trial in routes),
            "wall_s": sum(trial.wall_s for trial in routes),
            "requests": sum(trial.requests for trial in routes),
            "bytes_read": sum(trial.bytes_read for trial in routes),
            "errors": sum((trial.errors for trial in routes), Errors()),
            "cpu_ms": {name: sum(trial.cpu_ms[name] for trial in routes) for name in cpu},
            "work": _add_work([trial.work for trial in routes]),
            "work_known": all(trial.work_known for trial in routes),
            "statements": (),
            "idle": _add_work(idle) if idle else None,
            "idle_s": sum(trial.idle_s for trial in routes),
            "idle_statements": (),
            "replies": merge_counts(ended) or ended[0],
            "warnings": tuple(each for trial in routes for each in trial.warnings if each.code.invalidates),
        }
    )


def _add_work(work: Sequence[Work]) -> Work:
    return Work(
        queries=sum(each.queries for each in work),
        rows=sum(each.rows for each in work),
        cache_commands=sum(each.cache_commands for each in work),
    )


def _count(
    stack: Stack, place: TrialPlan, subject: Subject, profile: Profile, tape: Tape, *, limit_s: float = _COUNT_S
) -> Trial:
    """Count the work of the requests of a tape, of fewer if they take longer than `limit_s`."""
    run = _send_counted_requests(stack, subject, tape, profile.timeout, limit_s)
    trial = _build_count_trial(place, subject, profile, run)
    require_within_limits(stack.engine, [_measure_strain(subject, run.usage, trial)])
    return add_idle_work(trial, subject, run.after) if place.step.idle else trial


def add_idle_work(trial: Trial, subject: Subject, after: Reading) -> Trial:
    """Add the work without requests to a count that ended at `after`, for as long as it took."""
    time.sleep(trial.wall_s)
    idle_end = read_work(subject)
    return trial.model_copy(
        update={
            "idle": count_work(after, idle_end) or NO_WORK,
            "idle_s": idle_end.at - after.at,
            "idle_statements": list_queries(after, idle_end),
        }
    )


def _send_counted_requests(stack: Stack, subject: Subject, tape: Tape, timeout_s: float, limit_s: float) -> CountRun:
    agent, parts = stack.agent, subject.parts
    before, usage_before = read_work(subject), agent.usage(parts)
    began = time.monotonic()
    replies = agent.requests(tape, len(tape.messages), timeout_s=max(10.0, timeout_s), bodies="none", limit_s=limit_s)
    duration_s, usage_after = time.monotonic() - began, agent.usage(parts)
    agent.settle([subject.handle.part], _SETTLE_S)  # some work of a request follows its reply, as in Django
    return CountRun(replies, duration_s, _subtract_usage(usage_before, usage_after), before, read_work(subject))


def _build_count_trial(place: TrialPlan, subject: Subject, profile: Profile, run: CountRun) -> Trial:
    answered = [reply for reply in run.replies if not reply.problem]
    replies = summarise_replies([Sample.from_reply(reply) for reply in answered], run.replies[-1].problem)
    unexpected = sum(find_unexpected(replies, profile.expect).values())
    work, wall_s = count_work(run.before, run.after), run.after.at - run.before.at
    warnings = judge_each(replies, profile, str(place.measured))
    return Trial(
        **locate(place, subject),
        **_WITHOUT_WRK,
        started_at=compute_start(wall_s),
        duration_s=run.duration_s,
        wall_s=wall_s,
        requests=len(answered),
        bytes_read=sum(reply.size for reply in run.replies),
        errors=Errors(read=len(run.replies) - len(answered), status=unexpected),
        latency=None,
        cpu_ms=_get_cpu_ms(run.usage),
        work=work or NO_WORK,
        work_known=work is not None,
        statements=list_queries(run.before, run.after),
        replies=replies,
        warnings=warnings if work is not None else (*warnings, _warn_of_lost_counters(place)),
    )


def _warn_of_lost_counters(place: TrialPlan) -> RunWarning:
    message = "the statistics of a database or Redis were reset, switched off or overflowed while its work was counted"
    return Code.COUNTERS_LOST.warn(message, str(place.measured))


def run_latency_trials(
    stack: Stack, places: Sequence[TrialPlan], subjects: Sequence[Subject], profile: Profile
) -> list[Trial]:
    """Send requests over one connection to each subject, a few in turn, to find how long one takes and its cost.

    A mix gives a trial for each of its requests and each subject.
    """
    before = [stack.agent.usage(subject.parts) for subject in subjects]
    lanes = [
        (place, subject, part, tape)
        for place, subject in zip(places, subjects, strict=True)
        for place, part, tape in _split_into_lanes(place, subject, profile)
    ]
    turns = stack.agent.turns(
        [tape for *_, tape in lanes],
        [subject.parts for _, subject, *_ in lanes],
        seconds=places[0].step.slice_s,
        per_turn=_PER_TURN,
        enough=ENOUGH_REQUESTS,
        number=places[0].block.number,
        timeout_s=max(10.0, profile.timeout),
    )
    require_alive(stack.engine)
    trials = [
        _build_latency_trial(place, subject, each, part)
        for (place, subject, part, _), each in zip(lanes, turns, strict=True)
    ]
    usages = [
        _subtract_usage(early, stack.agent.usage(subject.parts))
        for early, subject in zip(before, subjects, strict=True)
    ]
    failed = {subject.name: 0 for subject in subjects}
    for (_, subject, *_), trial in zip(lanes, trials, strict=True):
        failed[subject.name] += trial.errors.read + trial.errors.status
    strains = [Strain(each, usage, failed[each.name]) for each, usage in zip(subjects, usages, strict=True)]
    require_within_limits(stack.engine, strains)
    return trials


def _split_into_lanes(
    place: TrialPlan, subject: Subject, profile: Profile
) -> Iterator[tuple[TrialPlan, Profile, Tape]]:
    """Yield what takes turns of one subject: the requests of a profile, of a mix each separately."""
    tape = subject.address_profile(profile, "latency", place.block.number)
    if not profile.is_mix:
        yield place, profile, tape
        return
    for (title, part), own in zip(profile.parts.items(), cut_routes(profile, tape), strict=True):
        yield replace(place, route=title), part, own


def _measure_strain(subject: Subject, usage: Mapping[str, Usage], trial: Trial) -> Strain:
    return Strain(subject, usage, trial.errors.read + trial.errors.status)


def _build_latency_trial(place: TrialPlan, subject: Subject, turns: Turns, profile: Profile) -> Trial:
    replies = summarise_replies(turns.seen, turns.problem)
    unexpected = sum(find_unexpected(replies, profile.expect).values())
    return Trial(
        **locate(place, subject),
        **_WITHOUT_WRK,
        started_at=compute_start(turns.duration_s),
        duration_s=turns.duration_s,
        wall_s=turns.duration_s,
        requests=replies.total,
        bytes_read=sum(sample.size for sample in turns.seen),
        errors=Errors(read=turns.errors, status=unexpected),
        latency=summarise_latencies(turns.latencies_us),
        cpu_ms=add_companions({name: cpu_ms for name, cpu_ms in turns.cpu_ms.items() if cpu_ms is not None}),
        work=NO_WORK,
        work_known=False,
        replies=replies,
        warnings=judge_each(replies, profile, str(place.measured)),
    )


def summarise_latencies(values_us: Sequence[float]) -> Latency | None:
    """Summarise latencies in µs; None without any.

    A percentile is the smallest value that this share of the values does not exceed.
    """
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


def locate(place: TrialPlan, subject: Subject) -> dict[str, Any]:
    """Fill in the fields that say which trial of the plan this is."""
    block, cell = place.block, place.cell
    cells = place.step.cells[::-1] if place.track % 2 else place.step.cells  # the order in which they were started
    location: dict[str, Any] = {
        "phase": block.phase,
        "block": block.number,
        "track": place.track,
        "position": cells.index(cell) + place.step.position,
        "variant": cell.variant,
        "revision": cell.revision,
        "profile": place.measured.profile,
        "warm_up": place.warm_up,
    }
    if block.pair is not None:
        side = "base" if cell == block.pair.base else "head"
        location |= {"pair": str(block.pair.take_route(place.route)), "side": side, "slot": subject.slot}
    return location


def _average_idle(place: TrialPlan, subject: Subject, report: Report) -> dict[str, float]:
    """Average the idle shares of the application's and the services' CPUs, if it is known which they are."""
    if place.placement is None:
        return {}
    services = list(subject.services.values())[:1] or ([] if report.machines else [subject.handle])
    handles = {"application_idle": subject.handle, **({"services_idle": services[0]} if services else {})}
    cpus = {"application_idle": place.placement.track(place.track), "services_idle": place.placement.services}
    shares = {name: report.machines.get(find_peer(handle.part), report.idle) for name, handle in handles.items()}
    return {
        name: fmean(shares[name][cpu] for cpu in own)
        for name, own in cpus.items()
        if name in shares and all(cpu in shares[name] for cpu in own)
    }


def _build_load_run(stack: Stack, answer: WrkAnswer, where: str, db_connections: int) -> LoadRun:
    usage, report = subtract_counters(answer["before"], answer["after"]), parse_report(answer, where)
    labels = stack.watchers.labels
    busy = {labels[name]: 1 - fmean(idle.values()) for name, idle in report.machines.items() if idle}
    return LoadRun(report, usage, answer["memory_mib"], db_connections, busy)


def subtract_counters(before: PartCounters, after: PartCounters) -> dict[str, Usage]:
    """Subtract two readings of the agent's counters, for the parts that have both; memory is that of the later one."""
    return _subtract_usage(convert_counters(before), convert_counters(after))


def _subtract_usage(before: Mapping[str, Usage | None], after: Mapping[str, Usage | None]) -> dict[str, Usage]:
    """Subtract two readings of the counters, for the parts that have both; memory is that of the later reading."""
    both = {name: (before.get(name), usage) for name, usage in after.items()}
    return {
        name: Usage(
            late.cpu_ms - early.cpu_ms,
            late.memory_mib,
            late.throttled_ms - early.throttled_ms,
            late.oom_kills - early.oom_kills,
            late.refused_forks - early.refused_forks,
        )
        for name, (early, late) in both.items()
        if early is not None and late is not None
    }


def _get_cpu_ms(usage: Mapping[str, Usage]) -> dict[str, float]:
    return add_companions({name: part.cpu_ms for name, part in usage.items()})


def add_companions(cpu_ms: Mapping[str, float]) -> dict[str, float]:
    """Add the CPU time of an application's companions to its own: they answer its requests."""
    added: dict[str, float] = {}
    for part, value in cpu_ms.items():
        name = part.partition(":")[0]
        added[name] = added.get(name, 0.0) + value
    return added


def compute_start(seconds_ago: float) -> str:
    """Compute when something began, in ISO 8601."""
    return datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat()
