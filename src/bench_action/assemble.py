"""Puts together what a run found: facts, trials and what follows from them. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from bench_action.compare import Rules, compare_pairs, compare_variants, default_pairs
from bench_action.config.load import Loaded
from bench_action.control import control_of
from bench_action.decide import Decider
from bench_action.design import Design
from bench_action.explain import findings_of
from bench_action.model.machine import Machine
from bench_action.model.result import (
    Comparison,
    Environment,
    ProfileInfo,
    Result,
    RunInfo,
    Source,
    SubjectInfo,
    Trial,
)
from bench_action.model.warning import Code, Warned
from bench_action.placement import Placement
from bench_action.stack.subject import Subject
from bench_action.summary import summarise
from bench_action.verdict import verdict_of, warnings_of


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about a run that its trials do not tell. `generator` is what the agent says of the machine.

    `unpinned`: why the engine cannot give containers CPUs of their own, empty if it can or nothing asks it to.
    """

    run: RunInfo
    loaded: Loaded
    source: Source
    machine: Machine
    generator: Mapping[str, Any]
    images: Mapping[str, str]
    subjects: Sequence[Subject]
    failed: Mapping[str, str]
    absent: Mapping[str, str]
    design: Design
    places: Sequence[Placement]
    decider: Decider
    timings: Mapping[str, float]
    dropped: list[Warned] = field(default_factory=list)
    stopped: str = ""
    unpinned: str = ""


def assemble(facts: Facts, trials: Sequence[Trial]) -> Result:
    """The result of a run, also of one that ended early (`facts.stopped` says why)."""
    infos = tuple(_subject_info(subject, facts.failed) for subject in facts.subjects)
    measured = [one.variant for one in infos if one.verified and one.revision == "head"]
    profiles = [name for name in facts.loaded.profiles if any(trial.profile == name for trial in trials)]
    own = [name for name in measured if name in facts.loaded.own]
    pairs = [pair for pair in facts.loaded.config.compare if set(pair) <= set(own)]
    compared = facts.design.pairs
    solo = pairs or ([] if compared else default_pairs(own))
    decider = facts.decider
    comparisons = (
        *compare_pairs(trials, compared, Rules(decider.gates, decider.courses(), decider.alpha)),
        *compare_variants(trials, solo, profiles),
    )
    findings = findings_of([one for one in trials if one.variant in own], compared, facts.loaded.config.work)
    summaries = summarise(trials, infos)
    unsound = _unsound(comparisons) if facts.run.self_test else []
    warnings = (*unsound, *_run_warnings(facts, trials), *warnings_of(trials, summaries, compared))
    verdict = verdict_of(trials, warnings, comparisons, findings)
    return Result(
        run=facts.run,
        timings=dict(facts.timings),
        environment=_environment(facts, trials),
        placement=_placement(facts),
        source=facts.source,
        profiles=tuple(_profile_info(name, facts.loaded) for name in facts.loaded.profiles),
        subjects=infos,
        trials=tuple(trials),
        summaries=summaries,
        comparisons=comparisons,
        findings=findings,
        warnings=warnings,
        control=control_of(facts.loaded, infos),
        verdict="invalid" if unsound else verdict,
    )


def _placement(facts: Facts) -> dict[str, str]:
    found = {"count, capacity": "not pinned: every part may use every CPU"}
    if facts.design.pairs and facts.places:
        found["latency, duet"] = "; in turn with: ".join(map(str, facts.places))
    elif facts.design.pairs:
        found["latency, interleaved"] = f"not pinned: {facts.unpinned or 'there is one CPU only'}"
    return found


def _unsound(comparisons: Sequence[Comparison]) -> list[Warned]:
    """Head against head, and a difference was found all the same."""
    return [
        _warned(
            Code.UNSOUND, f"{c.metric} of one and the same code was called {c.verdict}", f"{c.variant} · {c.profile}"
        )
        for c in comparisons
        if c.verdict in {"regressed", "improved"}
    ]


def fingerprint(machine: Machine, generator: Mapping[str, Any]) -> str:
    """Same text: same kind of machine. Memory in whole GiB, as what firmware takes differs by a little."""
    parts = (generator["cpu_model"], machine.cores, round(machine.memory_mib / 1024), generator["machine"])
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:12]


def _run_warnings(facts: Facts, trials: Sequence[Trial]) -> list[Warned]:
    source = facts.source
    found = [_warned(Code.VARIANT_FAILED, why, name) for name, why in facts.failed.items() if "@" not in name]
    found += [
        _warned(Code.BASE_ABSENT, why, name) for name, why in {**facts.absent, **facts.failed}.items() if "@" in name
    ]
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


def _warned(code: Code, message: str, cell: str = "") -> Warned:
    return Warned(code=code, message=message, advice=code.advice, cell=cell)


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


def _subject_info(subject: Subject, failed: Mapping[str, str]) -> SubjectInfo:
    failure = failed.get(subject.name, "")
    return SubjectInfo(
        variant=subject.variant, revision=subject.revision, image=subject.image.name, image_id=subject.image.id,
        startup_s=subject.startup_s, verified=not failure, failure=failure,
    )  # fmt: skip


def _profile_info(name: str, loaded: Loaded) -> ProfileInfo:
    profile = loaded.profiles[name]
    return ProfileInfo(
        name=name, path=profile.path, method=profile.method, connections=profile.connections,
        threads=profile.threads, duration_s=profile.duration, timeout_s=profile.timeout,
    )  # fmt: skip
