"""Puts together what a run found: facts, trials and what follows from them. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from bench_action.compare.coverage import Coverage
from bench_action.compare.explain import findings_of
from bench_action.compare.pairs import Rules, compare_pairs, compare_variants, default_pairs, split_alpha
from bench_action.compare.replies import findings_of_replies
from bench_action.compare.stopping import Decider
from bench_action.compare.summary import summarise
from bench_action.compare.verdict import verdict_of, warnings_of
from bench_action.config.baseline import Lack
from bench_action.config.gates import Gate
from bench_action.config.load import Project
from bench_action.config.rules import AppliedRules
from bench_action.config.schema import ExpectedWork
from bench_action.model.errors import StackError
from bench_action.model.machine import Machine
from bench_action.model.metric import METRICS
from bench_action.model.result import (
    Comparison,
    Environment,
    Finding,
    ProfileInfo,
    Result,
    RunInfo,
    Source,
    SubjectInfo,
    Trial,
    Verdict,
)
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Cell, Pair
from bench_action.plan.design import Design
from bench_action.plan.placement import Placement


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about a run that its trials do not tell.

    `generator` is what the agent says of the machine; `lacks`: cells of head without a counterpart in base; `judging`:
    whose rules judge; `unpinned`: why the engine cannot give containers CPUs of their own, empty if it can or nothing
    needs it to. `dropped`, `lost` and `times` are filled while measuring.
    """

    run: RunInfo
    project: Project
    source: Source
    machine: Machine
    generator: Mapping[str, Any]
    images: Mapping[str, str]
    subjects: tuple[SubjectInfo, ...]
    control: Mapping[str, str]
    failed: Mapping[str, str]
    design: Design
    places: Sequence[Placement]
    decider: Decider
    timings: Mapping[str, float]
    compares: bool = False
    lacks: Mapping[Cell, Lack] = field(default_factory=dict)
    judging: AppliedRules = field(default_factory=AppliedRules)
    dropped: list[RunWarning] = field(default_factory=list)
    lost: dict[str, StackError] = field(default_factory=dict)
    times: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    stopped: str = ""
    unpinned: str = ""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of which both sides could be measured to the end."""
        return tuple(one for one in self.design.pairs if one.kind == "variant" or one.base.variant not in self.lost)

    @property
    def shortage(self) -> str:
        """Where the time went, and which limit would do; empty without a limit."""
        return self.design.timetable(self.project).shortage(self.times)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one set of gates and of declared work makes of the trials."""

    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict


def assemble(facts: Facts, trials: Sequence[Trial]) -> Result:
    """The result of a run, also of one that ended early (`facts.stopped` says why)."""
    summaries = summarise(trials, facts.subjects)
    warnings = (*_run_warnings(facts, trials), *warnings_of(trials, summaries, facts.pairs, _identical(facts.subjects)))
    judged = _judge(facts, trials, warnings, facts.decider.gates, facts.project.config.work)
    unsound = _unsound(judged.comparisons) if facts.run.self_test else []
    compared, not_compared = _coverage(facts).split(trials) if facts.compares else ((), ())
    return Result(
        run=facts.run,
        timings=dict(facts.timings),
        environment=_environment(facts, trials),
        placement=_placement(facts),
        source=facts.source,
        profiles=tuple(_profile_info(name, facts.project) for name in facts.project.profiles),
        subjects=facts.subjects,
        trials=tuple(trials),
        summaries=summaries,
        comparisons=judged.comparisons,
        findings=judged.findings,
        warnings=(*unsound, *warnings),
        control=dict(facts.control),
        verdict="invalid" if unsound else judged.verdict,
        compared=compared,
        not_compared=not_compared,
        rules=facts.judging.rules,
        rule_changes=facts.judging.changes,
        verdict_by_head_rules=_verdict_by_head(facts, trials, warnings),
    )


def _judge(
    facts: Facts,
    trials: Sequence[Trial],
    warnings: Sequence[RunWarning],
    gates: Mapping[str, Gate],
    work: Mapping[str, ExpectedWork],
) -> _Judged:
    """Judge the trials by these gates and this work: the measurement is the same under any rules."""
    own = [one.variant for one in facts.subjects if one.revision == "head" and one.variant in facts.project.own]
    own = [name for name in own if name not in facts.failed]
    profiles = [name for name in facts.project.profiles if any(trial.profile == name for trial in trials)]
    solo = [pair for pair in facts.project.config.compare if set(pair) <= set(own)]
    if not solo and not facts.pairs:
        solo = default_pairs(own)
    alpha = split_alpha(dict(gates), len(facts.design.pairs))
    rules = Rules(dict(gates), facts.decider.courses(), alpha, facts.shortage)
    comparisons = (*compare_pairs(trials, facts.pairs, rules), *compare_variants(trials, solo, profiles))
    trials_of_own = [one for one in trials if one.variant in own]
    findings = (
        *findings_of(trials_of_own, facts.pairs, work),
        *findings_of_replies(trials_of_own, facts.pairs, facts.project.profiles, facts.project.config.checks),
    )
    return _Judged(comparisons, findings, verdict_of(trials, warnings, comparisons, findings))


def _verdict_by_head(facts: Facts, trials: Sequence[Trial], warnings: Sequence[RunWarning]) -> Verdict | None:
    """The verdict by head's own gates and work, where base's judged and head's differ."""
    judging = facts.judging
    if judging.rules != "base" or not judging.changes:
        return None
    return _judge(facts, trials, warnings, judging.head_gates, judging.head_work).verdict


def _coverage(facts: Facts) -> Coverage:
    project, lacks = facts.project, facts.lacks
    cells = [Cell(variant, "head", profile) for variant in project.own for profile in project.profiles]
    return Coverage(cells, facts.pairs, lacks, facts.failed, facts.lost, facts.shortage, facts.stopped)


def _identical(infos: Sequence[SubjectInfo]) -> set[str]:
    """Variants of which base and head are one image."""
    images: dict[str, list[str]] = {}
    for one in infos:
        images.setdefault(one.variant, []).append(one.image_id)
    return {variant for variant, ids in images.items() if len(ids) > 1 and len(set(ids)) == 1}


def _placement(facts: Facts) -> dict[str, str]:
    found = {"count, capacity": "not pinned: every part may use every CPU"}
    if facts.design.pairs and facts.places:
        found["latency, duet"] = "; in turn with: ".join(map(str, facts.places))
    elif facts.design.pairs:
        found["latency, interleaved"] = f"not pinned: {facts.unpinned or 'there is one CPU only'}"
    return found


def _unsound(comparisons: Sequence[Comparison]) -> list[RunWarning]:
    """Head against head, and a difference was found all the same."""
    return [
        _warned(
            Code.UNSOUND,
            f"identical code was called {c.verdict} by {METRICS[c.metric].title}",
            f"{c.variant} · {c.profile}",
        )
        for c in comparisons
        if c.verdict in {"regressed", "improved"}
    ]


def fingerprint(machine: Machine, generator: Mapping[str, Any]) -> str:
    """Same text: same kind of machine. Memory in whole GiB, as what firmware takes differs by a little."""
    parts = (generator["cpu_model"], machine.cores, round(machine.memory_mib / 1024), generator["machine"])
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:12]


def _run_warnings(facts: Facts, trials: Sequence[Trial]) -> list[RunWarning]:
    source = facts.source
    found = [_warned(Code.VARIANT_FAILED, why, name) for name, why in facts.failed.items() if "@" not in name]
    if source.base_sha and source.base_sha == source.head_sha and not source.dirty and not facts.run.self_test:
        found.append(_warned(Code.IDENTICAL, f"base and head are the same commit, {source.base_sha[:12]}"))
    if facts.unpinned:
        message = f"containers cannot be given CPUs of their own: {facts.unpinned}"
        found.append(_warned(Code.PINNING_IGNORED, message))
    elif facts.design.pairs and not facts.places:
        found.append(_warned(Code.NO_DUET, "this machine has one CPU for us"))
    found += facts.dropped
    if facts.stopped:
        found.append(_warned(Code.STOPPED_EARLY, f"the run ended early: {facts.stopped}"))
    if trials and any("application" not in trial.cpu_ms for trial in trials):
        found.append(_warned(Code.NO_COUNTERS, "the engine's host does not show its control groups"))
    return found


def _warned(code: Code, message: str, cell: str = "") -> RunWarning:
    return RunWarning(code=code, message=message, advice=code.advice, cell=cell)


def _environment(facts: Facts, trials: Sequence[Trial]) -> Environment:
    machine = facts.machine
    return Environment(
        cpu_model=facts.generator["cpu_model"] or facts.generator["machine"],
        cores=machine.cores,
        memory_mib=machine.memory_mib,
        kernel=machine.kernel,
        docker=machine.engine_version,
        fingerprint=fingerprint(machine, facts.generator),
        images=dict(facts.images),
        steal_percent=fmean([trial.steal_percent for trial in trials if trial.phase != "count"] or [0.0]),
    )


def _profile_info(name: str, project: Project) -> ProfileInfo:
    profile = project.profiles[name]
    return ProfileInfo(
        name=name,
        path=profile.path,
        method=profile.method,
        connections=profile.connections,
        threads=profile.threads,
        duration_s=profile.duration,
        timeout_s=profile.timeout,
    )
