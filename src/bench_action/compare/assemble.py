"""Assemble the result of a run from its plan, its trials and its facts. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from bench_action.compare.alphas import split_alpha
from bench_action.compare.comparison import refuse_gains
from bench_action.compare.coverage import Coverage
from bench_action.compare.explain import find_changes
from bench_action.compare.objectives import find_lost_objectives, warn_of_objectives
from bench_action.compare.pairs import Rules, compare_pairs, compare_variants, default_pairs
from bench_action.compare.rates import find_missed_rates
from bench_action.compare.replies import compare_replies
from bench_action.compare.routes import sum_up_routes
from bench_action.compare.stopping import Key
from bench_action.compare.summary import summarise
from bench_action.compare.verdict import collect_warnings, decide_verdict, list_false_differences
from bench_action.compare.warmth import measure_warm_up_s
from bench_action.config.gates import Gate
from bench_action.config.load import Project
from bench_action.config.rules import AppliedRules
from bench_action.config.schema import ExpectedWork, Profile
from bench_action.model.errors import BenchError, StackError
from bench_action.model.machine import Machine
from bench_action.model.result import (
    Comparison,
    Environment,
    Finding,
    GateInfo,
    HostInfo,
    NoiseSource,
    ProfileInfo,
    Result,
    RouteInfo,
    RunInfo,
    ShardInfo,
    Source,
    SubjectInfo,
    Trial,
    Verdict,
    name_route,
)
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Cell, Pair
from bench_action.plan.plan import Plan
from bench_action.stats.sequential import Course


@dataclass(frozen=True, slots=True)
class Facts:
    """What neither the plan nor the trials show: the run, its sources, its machine, and whose rules judge.

    `generator`: the application's machine as the agent on it describes it. `images`: name of a service → image id.
    `timings`: seconds of each step. `compares`: whether a base was requested. `warnings`: what was found before
    anything was measured. `findings`: what verification found to differ from base. `runner`: who hosts the runner of
    GitHub Actions, empty outside of it. `hosts`, `network_bytes_per_s`: the machines, if there are several.
    """

    run: RunInfo
    source: Source
    machine: Machine
    generator: Mapping[str, Any]
    images: Mapping[str, str]
    control: Mapping[str, str]
    timings: Mapping[str, float] = field(default_factory=dict)
    compares: bool = False
    warnings: tuple[RunWarning, ...] = ()
    applied: AppliedRules = field(default_factory=AppliedRules)
    findings: tuple[Finding, ...] = ()
    runner: str = ""
    hosts: tuple[HostInfo, ...] = ()
    network_bytes_per_s: float | None = None

    def add(self, findings: Sequence[Finding], warnings: Sequence[RunWarning]) -> "Facts":
        """Add what verification found."""
        return replace(self, findings=(*self.findings, *findings), warnings=(*self.warnings, *warnings))


@dataclass(frozen=True, slots=True)
class Measured:
    """The trials that a plan came to, and what happened on the way.

    `dropped`: warnings about blocks that a subject did not survive, and about how subjects behaved. `lost`: variant →
    how its base ended; the run went on without it. `gone`: the same of head, if others were left to measure. `times`:
    phase and pair → seconds of each block. `courses`: how the blocks of each pair and phase were planned. `stopped`:
    the error that ended measuring early. `noise`: where the noise of each pair's duets came from.
    """

    trials: tuple[Trial, ...]
    dropped: tuple[RunWarning, ...] = ()
    lost: Mapping[str, StackError] = field(default_factory=dict)
    gone: Mapping[str, StackError] = field(default_factory=dict)
    times: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    courses: Mapping[Key, Course] = field(default_factory=dict)
    stopped: BenchError | None = None
    noise: tuple[NoiseSource, ...] = ()


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one set of gates and of declared work makes of the trials."""

    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Run:
    """The three parts of a run, and what follows from more than one of them."""

    plan: Plan
    measured: Measured
    facts: Facts

    @property
    def trials(self) -> tuple[Trial, ...]:
        return self.measured.trials

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of which both sides could be measured to the end."""
        lost, gone = self.measured.lost, self.measured.gone
        return tuple(
            pair
            for pair in self.plan.design.pairs
            if (pair.kind == "variant" or pair.base.variant not in lost)
            and gone.keys().isdisjoint({pair.base.variant, pair.head.variant})
        )

    @property
    def shortage(self) -> str:
        """Where the time went, and which limit would be enough; empty without a limit."""
        times = self.plan.design.make_timetable(self.plan.project)
        return times.explain_shortage(self.measured.times, measure_warm_up_s(self.trials))

    @property
    def stopped(self) -> str:
        """Why the run ended early; empty if it did not."""
        return self.measured.stopped.what.splitlines()[0] if self.measured.stopped is not None else ""


def assemble(plan: Plan, measured: Measured, facts: Facts) -> Result:
    """Assemble the result of a run, also of one that ended early."""
    run = _Run(plan, measured, facts)
    config, trials = plan.project.config, measured.trials
    environment = _environment(facts, trials)
    summaries = summarise(trials, plan.subjects, plan.project.objectives, environment, _list_workers(plan.project))
    warnings = (
        *_run_warnings(run),
        *warn_of_objectives(trials, run.pairs, plan.project.objectives),
        *collect_warnings(trials, summaries, run.pairs, _identical(plan.subjects)),
    )
    judged = _judge(run, warnings, config.all_gates, config.all_work)
    differences = list_false_differences(judged.comparisons) if facts.run.self_test else []
    compared, not_compared = _coverage(run).split(trials) if facts.compares else ((), ())
    environment = _environment(facts, trials)
    return Result(
        run=facts.run,
        timings=dict(facts.timings),
        environment=environment,
        placement=_placement(plan),
        source=facts.source,
        profiles=tuple(_profile_info(name, plan.project) for name in plan.project.profiles),
        subjects=plan.subjects,
        trials=trials,
        summaries=summaries,
        routes=sum_up_routes(trials),
        comparisons=judged.comparisons,
        findings=judged.findings,
        warnings=(*differences, *warnings),
        noise=measured.noise,
        control=dict(facts.control),
        shards=_describe_shard(run, environment),
        verdict="invalid" if differences else judged.verdict,
        compared=compared,
        not_compared=not_compared,
        rules=facts.applied.rules,
        rule_changes=facts.applied.changes,
        verdict_by_head_rules=_verdict_by_head(run, warnings),
    )


def _describe_shard(run: _Run, environment: Environment) -> tuple[ShardInfo, ...]:
    share, info = run.plan.share, run.facts.run
    if share is None:
        return ()
    return (
        ShardInfo(
            number=share.shard.number,
            count=share.shard.count,
            cells=tuple(map(str, share.cells)),
            shares=share.shares,
            digest=share.digest,
            gates={
                name: GateInfo(size=gate.size, absolute=gate.absolute, level=gate.level)
                for name, gate in run.plan.project.config.all_gates.items()
            },
            run_id=info.id,
            duration_s=info.duration_s,
            environment=environment,
        ),
    )


def _judge(
    run: _Run, warnings: Sequence[RunWarning], gates: Mapping[str, Gate], work: Mapping[str, ExpectedWork]
) -> _Judged:
    """Judge the trials by these gates and this work: the measurement is the same under any rules."""
    plan, project, trials = run.plan, run.plan.project, run.trials
    own = [
        s.variant for s in plan.subjects if s.revision == "head" and s.verified and s.variant in project.own_variants
    ]
    profiles = [name for name in project.profiles if any(trial.profile == name for trial in trials)]
    solo = [pair for pair in project.config.compare if set(pair) <= set(own)]
    if not solo and not run.pairs and not any(plan.counts):  # pairs that other shards measure are pairs too
        solo = default_pairs(own)
    rules = Rules(
        dict(gates),
        run.measured.courses,
        split_alpha(dict(gates), *plan.counts, duets=plan.design.duets),
        run.shortage,
        frozenset(project.scripts),
        frozenset(project.rated),
        project.objectives,
    )
    compared = (*compare_pairs(trials, run.pairs, rules), *compare_variants(trials, solo, profiles))
    trials_of_own = [trial for trial in trials if trial.variant in own]
    findings = (
        *run.facts.findings,
        *find_changes(trials_of_own, run.pairs, work),
        *compare_replies(trials_of_own, run.pairs, _list_profiles(project), project.config.checks),
        *find_missed_rates(trials_of_own, run.pairs),
        *find_lost_objectives(trials_of_own, run.pairs, project.objectives),
    )
    comparisons = refuse_gains(compared, findings)
    return _Judged(comparisons, findings, decide_verdict(trials, warnings, comparisons, findings))


def _list_profiles(project: Project) -> dict[str, Profile]:
    """List profiles and each request of a mix by the names that trials have."""
    parts = {
        name_route(name, title): part
        for name, profile in project.profiles.items()
        for title, part in profile.parts.items()
    }
    return {**project.profiles, **parts}


def _verdict_by_head(run: _Run, warnings: Sequence[RunWarning]) -> Verdict | None:
    """Judge by head's own gates and work, if base's judged and head's differ."""
    applied = run.facts.applied
    if applied.rules != "base" or not applied.changes:
        return None
    return _judge(run, warnings, applied.head_gates, applied.head_work).verdict


def _coverage(run: _Run) -> Coverage:
    plan, project = run.plan, run.plan.project
    every = [Cell(variant, "head", profile) for variant in project.own_variants for profile in project.profiles]
    cells = [cell for cell in every if plan.measures(cell)]
    lost, gone = run.measured.lost, run.measured.gone
    return Coverage(cells, run.pairs, plan.lacks, plan.failed, lost, run.shortage, run.stopped, gone)


def _identical(infos: Sequence[SubjectInfo]) -> set[str]:
    """Variants of which base and head are one image."""
    images: dict[str, list[str]] = {}
    for info in infos:
        images.setdefault(info.variant, []).append(info.image_id)
    return {variant for variant, ids in images.items() if len(ids) > 1 and len(set(ids)) == 1}


def _list_workers(project: Project) -> list[str]:
    return [name for name, service in project.config.services.items() if service.worker]


def _placement(plan: Plan) -> dict[str, str]:
    found = {"count, capacity": "not pinned: every part may use every CPU"}
    if plan.needs_pinning:
        found["latency, duet"] = "; in turn with: ".join(map(str, plan.places))
    elif plan.design.pairs:
        found["latency, interleaved"] = f"not pinned: {plan.unpinned or 'there is one CPU only'}"
    return found


def fingerprint(machine: Machine, generator: Mapping[str, Any], hosts: Sequence[HostInfo] = ()) -> str:
    """Fingerprint a kind of machine; memory in whole GiB, as firmware takes slightly different amounts."""
    own = (generator["cpu_model"], machine.cores, round(machine.memory_mib / 1024), generator["machine"])
    parts = (*own, *(value for host in hosts for value in (host.roles, host.cpu_model, host.cores, host.architecture)))
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:12]


def _run_warnings(run: _Run) -> list[RunWarning]:
    source, plan, measured = run.facts.source, run.plan, run.measured
    found = [Code.VARIANT_FAILED.warn(why, name) for name, why in plan.failed.items() if "@" not in name]
    if source.is_same_commit and not run.facts.run.self_test:
        found.append(Code.IDENTICAL.warn(f"base and head are the same commit, {source.base_sha[:12]}"))
    if plan.unpinned:
        message = f"could not pin containers to CPUs: {plan.unpinned}"
        found.append(Code.PINNING_IGNORED.warn(message))
    elif plan.design.pairs and not plan.places:
        found.append(Code.NO_DUET.warn("this machine has one CPU for us"))
    found += [*run.facts.warnings, *measured.dropped]
    if run.stopped:
        found.append(Code.STOPPED_EARLY.warn(f"the run ended early: {run.stopped}"))
    if any("application" not in trial.cpu_ms for trial in run.trials):
        found.append(Code.NO_COUNTERS.warn("the engine's host does not show its control groups"))
    return found


def _environment(facts: Facts, trials: Sequence[Trial]) -> Environment:
    machine = facts.machine
    return Environment(
        cpu_model=facts.generator["cpu_model"] or facts.generator["machine"],
        cores=machine.cores,
        memory_mib=machine.memory_mib,
        kernel=machine.kernel,
        docker=machine.engine_version,
        fingerprint=fingerprint(machine, facts.generator, facts.hosts),
        images=dict(facts.images),
        steal_percent=fmean([trial.steal_percent for trial in trials if trial.phase != "count"] or [0.0]),
        architecture=facts.generator["machine"],
        runner=facts.runner,
        hosts=facts.hosts,
        network_bytes_per_s=facts.network_bytes_per_s,
    )


def _profile_info(name: str, project: Project) -> ProfileInfo:
    profile = project.profiles[name]
    return ProfileInfo(
        name=name,
        path="" if profile.is_mix else profile.path,
        method="" if profile.is_mix else profile.method,
        connections=profile.connections,
        threads=profile.threads,
        duration_s=profile.duration,
        timeout_s=profile.timeout,
        preset_connections=project.preset_connections.get(name),
        routes=tuple(
            RouteInfo(
                name=route.title, method=route.method, path="" if route.paths else route.path, weight=route.weight
            )
            for route in (profile.routes if profile.is_mix else ())
        ),
        data=profile.digest,
        rate=str(profile.rate) if profile.rate is not None else "",
        slo=str(profile.slo) if profile.slo is not None else "",
        script=profile.k6 or "",
    )
