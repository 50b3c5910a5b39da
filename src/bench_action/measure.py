"""Walks the plan and stores each trial the moment it ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench_action.config.schema import Profile
from bench_action.load.generator import HttpRequest, usages
from bench_action.load.validity import Circumstances, generator_busy, judge
from bench_action.load.wrk import Report, order_for, parse_report
from bench_action.meters.work import read_work, work_between
from bench_action.model.errors import StackError
from bench_action.model.machine import Usage
from bench_action.model.progress import Progress
from bench_action.model.result import Errors, Trial
from bench_action.model.warning import Code
from bench_action.plan import Cell, Step
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

_LOOK_S = 0.5  # how often, during a trial, we look whether all containers live and how many connections are open
_SETTLE_S = 20.0
_LATE_S = 15.0
# they do not mend themselves: whoever sees one of them in a block will see it in the next
_HOPELESS = frozenset({Code.CONNECT_ERRORS, Code.FEWER_CONNECTIONS, Code.NOTHING_SERVED})


@dataclass(slots=True)
class Measurer:
    """Measures one run. `store` is called with each trial as it ends."""

    stack: Stack
    profiles: Mapping[str, Profile]
    count_requests: int
    generator_cores: int
    progress: Progress
    store: Callable[[Trial], None]
    trials: list[Trial] = field(default_factory=list)

    def walk(self, plan: Sequence[Step]) -> tuple[Trial, ...]:
        """Take every step; ends after a block in which something went wrong that will not mend itself.

        Raises StackError when a container dies; the trials so far have been stored.
        """
        block = None
        for step in plan:
            if step.block != block and self._hopeless():
                break
            block = step.block
            try:
                self._take(step)
            except StackError as error:
                error.where = ", ".join(filter(None, (error.where, f"in {step.phase} {step.block} of {step.cell}")))
                raise
        return tuple(self.trials)

    def _hopeless(self) -> bool:
        return any(warned.code in _HOPELESS for trial in self.trials for warned in trial.warnings)

    def _take(self, step: Step) -> None:
        cell = step.cell
        subject = self.stack.subject(cell.variant, cell.revision)
        profile = self.profiles[cell.profile]
        self.progress.trial_starts(str(cell), step.phase, step.block)
        if step.renew:
            self.stack.renew(subject)
        if step.warmup_s:
            self._load(subject, profile, step.warmup_s, cell)
            self._settle(subject)
        trial = self._count(step, subject, profile) if step.phase == "count" else self._measure(step, subject, profile)
        self.trials.append(trial)
        self.store(trial)
        self.progress.trial_ended(trial)
        self._settle(subject)

    def _settle(self, subject: Subject) -> None:
        """Let the subject finish what wrk no longer waits for, so that the next trial does not pay for it."""
        self.stack.services.agent.settle(subject.handle.id, _SETTLE_S)

    def _load(self, subject: Subject, profile: Profile, duration_s: int, cell: Cell) -> "Loaded":
        """One run of wrk, looking after the stack meanwhile."""
        handle, database = subject.handle, subject.database
        peak = 0

        def look() -> None:
            nonlocal peak
            require_alive(self.stack.engine)
            if database is not None:
                peak = max(peak, database.connections())

        order = order_for(profile, handle.host, handle.port, duration_s) | {"parts": self.stack.parts(subject)}
        limit_s = duration_s + profile.timeout + _LATE_S
        answer = self.stack.services.agent.wrk(order, limit_s, look, _LOOK_S)
        require_alive(self.stack.engine)
        report = parse_report(answer, str(cell))
        return Loaded(report, _spent(usages(answer["before"]), usages(answer["after"])), answer["memory_mib"], peak)

    def _measure(self, step: Step, subject: Subject, profile: Profile) -> Trial:
        started_at, started = datetime.now(UTC), time.monotonic()
        before = read_work(subject)
        loaded = self._load(subject, profile, profile.duration, step.cell)
        report = loaded.report
        work = work_between(before, read_work(subject))
        throttled_ms = max((usage.throttled_ms for usage in loaded.spent.values()), default=0.0)
        seen = Circumstances(str(step.cell), subject.config.keep_alive, self.generator_cores, throttled_ms)
        return Trial(
            phase=step.phase, block=step.block, position=step.position, variant=step.cell.variant,
            revision=step.cell.revision, profile=step.cell.profile, started_at=started_at.isoformat(),
            duration_s=report.duration_s, wall_s=time.monotonic() - started, requests=report.requests,
            bytes_read=report.bytes_read, errors=report.errors, latency=report.latency,
            connections_asked=profile.connections, connections_live=report.connections_live,
            generator_busy=generator_busy(report, profile, self.generator_cores),
            cpu_ms=_cpu_ms(loaded.spent) | {"generator": report.generator_cpu_s * 1000}, work=work,
            db_connections_peak=loaded.db_connections, memory_peak_mib=loaded.memory_mib,
            steal_percent=report.steal_percent, warnings=tuple(judge(report, profile, seen)),
        )  # fmt: skip

    def _count(self, step: Step, subject: Subject, profile: Profile) -> Trial:
        """A fixed number of requests one after the other: work per request, exact."""
        handle, agent, parts = subject.handle, self.stack.services.agent, self.stack.parts(subject)
        request = HttpRequest(handle.host, handle.port, profile.path, profile.method, profile.headers, profile.body)
        started_at, started = datetime.now(UTC), time.monotonic()
        before, usage_before = read_work(subject), agent.usage(parts)
        asked = time.monotonic()
        replies = agent.requests(request, self.count_requests, timeout_s=max(10.0, profile.timeout), bodies=False)
        duration_s, usage_after = time.monotonic() - asked, agent.usage(parts)
        work = work_between(before, read_work(subject))
        answered = [reply for reply in replies if not reply.problem]
        spent = _spent(usage_before, usage_after)
        return Trial(
            phase=step.phase, block=step.block, position=step.position, variant=step.cell.variant,
            revision=step.cell.revision, profile=step.cell.profile, started_at=started_at.isoformat(),
            duration_s=duration_s, wall_s=time.monotonic() - started, requests=len(answered), bytes_read=0,
            errors=Errors(read=len(replies) - len(answered), status=sum(reply.status > 399 for reply in answered)),
            latency=None, connections_asked=1, connections_live=1, generator_busy=0.0, cpu_ms=_cpu_ms(spent), work=work,
            db_connections_peak=0, memory_peak_mib=None, steal_percent=0.0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """One run of wrk with what was seen around it. `spent`: counters of each part over wrk's own window."""

    report: Report
    spent: Mapping[str, Usage]
    memory_mib: float | None
    db_connections: int


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
