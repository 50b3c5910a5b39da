"""Puts together what a run found: facts, trials and what follows from them. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench_action.compare import compare_variants, default_pairs, summarise, verdict_of, warnings_of
from bench_action.config.load import Loaded
from bench_action.model.machine import Machine
from bench_action.model.result import Environment, ProfileInfo, Result, RunInfo, Source, SubjectInfo, Trial
from bench_action.model.warning import Code, Warned
from bench_action.stack.subject import Subject


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about a run that its trials do not tell. `generator` is what the agent says of the machine."""

    run: RunInfo
    loaded: Loaded
    source: Source
    machine: Machine
    generator: Mapping[str, Any]
    images: Mapping[str, str]
    subjects: Sequence[Subject]
    failed: Mapping[str, str]
    timings: Mapping[str, float]
    stopped: str = ""


def assemble(facts: Facts, trials: Sequence[Trial]) -> Result:
    """The result of a run, also of one that ended early (`facts.stopped` says why)."""
    infos = tuple(_subject_info(subject, facts.failed) for subject in facts.subjects)
    measured = [one.variant for one in infos if one.verified]
    profiles = [name for name in facts.loaded.profiles if any(trial.profile == name for trial in trials)]
    pairs = [pair for pair in facts.loaded.config.compare if set(pair) <= set(measured)]
    summaries = summarise(trials, infos)
    warnings = (*_run_warnings(facts, trials), *warnings_of(trials, summaries))
    return Result(
        run=facts.run,
        timings=dict(facts.timings),
        environment=_environment(facts, trials),
        placement={"cores": "not pinned: every container may use every core"},
        source=facts.source,
        profiles=tuple(_profile_info(name, facts.loaded) for name in facts.loaded.profiles),
        subjects=infos,
        trials=tuple(trials),
        summaries=summaries,
        comparisons=compare_variants(trials, pairs or default_pairs(measured), profiles),
        findings=(),
        warnings=warnings,
        control={},
        verdict=verdict_of(trials, warnings),
    )


def fingerprint(machine: Machine, generator: Mapping[str, Any]) -> str:
    """Same text: same kind of machine. Memory in whole GiB, as what firmware takes differs by a little."""
    parts = (generator["cpu_model"], machine.cores, round(machine.memory_mib / 1024), generator["machine"])
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:12]


def _run_warnings(facts: Facts, trials: Sequence[Trial]) -> list[Warned]:
    found = [_warned(Code.VARIANT_FAILED, why, name) for name, why in facts.failed.items()]
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
