"""Merge the results of a run's shards into one, as if one machine had measured everything. Pure.

Each shard has judged its own pairs, with the error of the whole run divided among all comparisons, so that merging
decides nothing about them again. What several shards have measured is judged from their blocks together (`pool`).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any, TypeVar

from bench_action.compare.comparison import rebuild_paired
from bench_action.compare.evidence import Evidence
from bench_action.compare.gating import judge_look
from bench_action.compare.summary import summarise
from bench_action.compare.verdict import decide_verdict
from bench_action.config.gates import Gate
from bench_action.config.shard import MOST
from bench_action.model.errors import InputError
from bench_action.model.metric import METRICS
from bench_action.model.result import (
    Comparison,
    Environment,
    GateInfo,
    NotCompared,
    Result,
    RunInfo,
    ShardInfo,
    SubjectInfo,
    Summary,
    Trial,
    Verdict,
)
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import signed_percent
from bench_action.stats.distributions import LARGEST_LOG
from bench_action.stats.sequential import Course, Group, compute_agreement, pool

_DISAGREE = 0.001  # how unlikely a difference between runners is before it is mentioned: there are many comparisons
_GRAVEST: Sequence[Verdict] = ("regressed", "invalid", "inconclusive", "measured", "improved", "unchanged")
_AGAIN = "run all jobs of the workflow again, so that all shards are of one run"
_Item = TypeVar("_Item")


def merge(results: Sequence[Result]) -> Result:
    """Merge the results of the shards of one run, in any order; those that are missing are named in the result.

    Raises InputError if a result is of no shard, or of another run, or if there are two of one shard.
    """
    parts = _require_one_run(results)
    infos = tuple(part.shards[0] for part in parts)
    repeated = {cell for cell, often in Counter(chain.from_iterable(info.cells for info in infos)).items() if often > 1}
    trials = tuple(_number_trials(parts))
    comparisons, disagreements = _merge_comparisons(parts)
    subjects = _merge_subjects(parts)
    missing = tuple(_find_missing(infos))
    warnings = _merge_warnings(parts, infos, disagreements)
    findings = _unique(chain.from_iterable(part.findings for part in parts))
    compared, not_compared = _merge_coverage(parts, infos, missing)
    verdict = decide_verdict(trials, warnings, comparisons, findings)
    first = parts[0]
    return first.model_copy(
        update={
            "run": _merge_runs(parts),
            "timings": _merge_timings(parts),
            "environment": _merge_environments([info.environment for info in infos]),
            "profiles": _unique(chain.from_iterable(part.profiles for part in parts), lambda profile: profile.name),
            "subjects": subjects,
            "trials": trials,
            "summaries": _merge_summaries(parts, trials, subjects, repeated),
            "routes": _unique(
                chain.from_iterable(part.routes for part in parts),
                lambda r: (r.variant, r.revision, r.profile, r.route),
            ),
            "comparisons": comparisons,
            "findings": findings,
            "warnings": warnings,
            "noise": tuple(chain.from_iterable(part.noise for part in parts)),
            "shards": infos,
            "verdict": "invalid" if any(warning.code is Code.UNRELIABLE for warning in warnings) else verdict,
            "compared": compared,
            "not_compared": not_compared,
            "verdict_by_head_rules": _find_gravest(part.verdict_by_head_rules for part in parts),
        }
    )


def _require_one_run(results: Sequence[Result]) -> list[Result]:
    """Require that results are of different shards of one run, and sort them. Raises InputError."""
    for result in results:
        if len(result.shards) != 1:
            what = "has been merged already" if result.shards else "is of a run that was not divided into shards"
            raise InputError(
                f"the result of run {result.run.id} {what}",
                advice="merge the results of `bench-action run --shard 1/N` to `N/N`",
            )
    if not results:
        raise InputError("there is no result to merge", advice="name the output folders of the shards")
    for result in results:
        _require_consistency(result.shards[0])
    parts = sorted(results, key=lambda result: result.shards[0].number)
    first = parts[0]
    for part in parts[1:]:
        _require_agreement(first, part)
    numbers = Counter(part.shards[0].number for part in parts)
    for number, often in numbers.items():
        if often > 1:
            runs = ", ".join([part.run.id for part in parts if part.shards[0].number == number])
            raise InputError(
                f"shard {number} of {first.shards[0].count} is there {often} times",
                cause=f"these runs measured it: {runs}",
                advice="name each output folder once, and give each shard's artifact another name",
            )
    return parts


def _require_consistency(info: ShardInfo) -> None:
    """Require that a shard is one of those that it names, and not of very many. Raises InputError."""
    consistent = 1 <= info.number <= info.count <= MOST and len(info.shares) == info.count
    if not consistent or set(info.cells) != set(info.shares[info.number - 1]):
        raise InputError(
            f"the result of run {info.run_id} contradicts itself about its shard",
            cause="no bench-action of this version wrote it",
            advice=_AGAIN,
        )


def _require_agreement(first: Result, other: Result) -> None:
    """Require that two shards measured the same commits in the same way. Raises InputError that says what differs."""
    one, two = first.shards[0], other.shards[0]
    pairs = {
        "the commit of head": (first.source.head_sha, other.source.head_sha),
        "the commit of base": (first.source.base_sha, other.source.base_sha),
        "the number of shards": (str(one.count), str(two.count)),
        "the version of bench-action": (first.run.tool_version, other.run.tool_version),
        "the preset": (first.run.preset, other.run.preset),
        "the seed": (str(first.run.seed), str(other.run.seed)),
        "the configuration": (one.digest, two.digest),
    }
    for what, (before, after) in pairs.items():
        if before != after:
            raise InputError(
                f"shards {one.number} and {two.number} are not of one run: {what} differs",
                cause=f"{before or 'none'} and {after or 'none'}",
                advice=_AGAIN,
            )
    if (one.shares, one.gates) != (two.shares, two.gates):
        raise InputError(
            f"shards {one.number} and {two.number} divide the run in different ways",
            cause="no bench-action of this version wrote them",
            advice=_AGAIN,
        )


def _number_trials(parts: Sequence[Result]) -> Iterator[Trial]:
    """Give trials the number of their shard; blocks of what several shards measured have different numbers.

    All blocks of a phase move together, as those of a control belong to those of the others with the same number.
    """
    for at, part in enumerate(parts):
        shard = part.shards[0]
        others = [other for other in parts[:at] if set(other.shards[0].cells) & set(shard.cells)]
        last: Counter[str] = Counter()
        for other in others:
            highest = {trial.phase: trial.block for trial in sorted(other.trials, key=lambda trial: trial.block)}
            last.update(highest)
        for trial in part.trials:
            block = trial.block + last[trial.phase] + (len(others) if trial.phase == "count" else 0)
            yield trial.model_copy(update={"shard": shard.number, "block": block})


def _merge_comparisons(parts: Sequence[Result]) -> tuple[tuple[Comparison, ...], list[RunWarning]]:
    """Take each shard's comparisons, and judge together what several shards have compared."""
    found: dict[tuple[str, ...], list[tuple[int, Comparison]]] = {}
    for part in parts:
        for c in part.comparisons:
            found.setdefault((c.kind, c.metric, c.base, c.head, c.profile), []).append((part.shards[0].number, c))
    comparisons, warnings = [], []
    for group in found.values():
        if len(group) == 1:
            comparisons.append(group[0][1])
            continue
        merged, warning = _judge_together(group, parts[0].shards[0].gates)
        comparisons.append(merged)
        warnings += [warning] if warning is not None else []
    return tuple(comparisons), warnings


def _judge_together(
    group: Sequence[tuple[int, Comparison]], gates: Mapping[str, GateInfo]
) -> tuple[Comparison, RunWarning | None]:
    """Judge what several shards have compared: with the runner as stratum, or, of counts, by the gravest."""
    tested = [
        (number, c, c.test, c.ratio)
        for number, c in group
        if c.test is not None and c.ratio is not None and c.blocks > 1
    ]
    if len(tested) < 2:
        gravest = min((c for _, c in group), key=lambda c: (_GRAVEST.index(c.verdict), -c.blocks))
        return tested[0][1] if tested else gravest, None
    first, metric = tested[0][1], tested[0][1].metric
    sign = -1.0 if METRICS[metric].better == "higher" else 1.0
    groups = [Group(c.blocks, sign * math.log(ratio), test.sd) for _, c, test, ratio in tested]
    alpha = tested[0][2].alpha
    seen = pool(groups, alpha)
    if seen is None:
        return first, None
    blocks = [c.blocks for _, c, _, _ in tested]
    evidence = Evidence(
        metric,
        (),
        _weigh([c.base_value for _, c, _, _ in tested], blocks),
        _weigh([c.head_value for _, c, _, _ in tested], blocks),
    )
    gate = gates.get(metric) if first.gate is not None else None
    judged_by = _restore_gate(metric, gate)
    judgement = judge_look(seen, evidence, Course(seen.blocks, ended=True), alpha, judged_by)
    by_shard = {str(number): ratio for number, _, _, ratio in tested}
    merged = rebuild_paired(first, evidence, judgement, gated=gate is not None).model_copy(
        update={"by_shard": by_shard}
    )
    warning = None
    if compute_agreement(groups) < _DISAGREE:
        sizes = [f"{signed_percent(ratio - 1)} on shard {number}" for number, ratio in by_shard.items()]
        warning = Code.RUNNERS_DISAGREE.warn(f"{METRICS[metric].title} changes by {', '.join(sizes)}", first.cell)
    return merged, warning


def _restore_gate(metric: str, gate: GateInfo | None) -> Gate:
    higher = METRICS[metric].better == "higher"
    size, absolute = (gate.size, gate.absolute) if gate is not None else (0.0, 0.0)
    sizes: dict[str, Any] = {"max_loss" if higher else "max_gain": size}
    return Gate(**sizes, absolute=absolute, level=gate.level if gate is not None else "warn")


def _weigh(values: Sequence[float], blocks: Sequence[int]) -> float:
    """Compute the geometric mean of values, weighted by blocks; the arithmetic one if one of them is 0."""
    whole = sum(blocks)
    if min(values) <= 0:
        return sum(value * n for value, n in zip(values, blocks, strict=True)) / whole
    return math.exp(min(LARGEST_LOG, sum(math.log(value) * n for value, n in zip(values, blocks, strict=True)) / whole))


def _merge_subjects(parts: Sequence[Result]) -> tuple[SubjectInfo, ...]:
    """List each subject once; one that broke a rule on any machine has broken it."""
    every = list(chain.from_iterable(part.subjects for part in parts))
    every.sort(key=lambda subject: subject.verified)
    chosen = {(subject.variant, subject.revision): subject for subject in reversed(every)}
    order = _unique((s.variant, s.revision) for part in parts for s in part.subjects)
    return tuple(chosen[key] for key in order)


def _merge_summaries(
    parts: Sequence[Result], trials: Sequence[Trial], subjects: Sequence[SubjectInfo], repeated: set[str]
) -> tuple[Summary, ...]:
    """List the figures of each cell; of those that several shards have measured, over all of their trials."""
    again = {
        summary.cell: summary
        for summary in summarise([trial for trial in trials if _head_of(trial.whole_cell) in repeated], subjects)
    }
    found: dict[str, Summary] = {}
    for summary in chain.from_iterable(part.summaries for part in parts):
        # a shard has what only the configuration says, such as the rate that holds an objective
        metrics = {**summary.metrics, **again[summary.cell].metrics} if summary.cell in again else {}
        whole = again[summary.cell].model_copy(update={"metrics": metrics}) if metrics else summary
        found.setdefault(summary.cell, whole)
    return tuple(found.values())


def _head_of(cell: str) -> str:
    """Name head's cell of the same variant and profile."""
    return cell.replace("@base · ", " · ", 1)


def _merge_warnings(
    parts: Sequence[Result], infos: Sequence[ShardInfo], disagreements: Sequence[RunWarning]
) -> tuple[RunWarning, ...]:
    count, known = infos[0].count, {info.number for info in infos}
    missing = [
        Code.SHARD_MISSING.warn(f"shard {number} of {count} is missing: {', '.join(infos[0].shares[number - 1])}")
        for number in range(1, count + 1)
        if number not in known
    ]
    every = _unique([*missing, *chain.from_iterable(part.warnings for part in parts), *disagreements])
    return tuple(sorted(every, key=lambda warning: not warning.code.invalidates))


def _find_missing(infos: Sequence[ShardInfo]) -> Iterator[tuple[int, str]]:
    """Yield the cells of missing shards that no other shard has measured, with the number of the shard."""
    known, seen = {info.number for info in infos}, {cell for info in infos for cell in info.cells}
    for number, cells in enumerate(infos[0].shares, 1):
        if number not in known:
            yield from ((number, cell) for cell in cells if cell not in seen)


def _merge_coverage(
    parts: Sequence[Result], infos: Sequence[ShardInfo], missing: Sequence[tuple[int, str]]
) -> tuple[tuple[str, ...], tuple[NotCompared, ...]]:
    """List the cells that were compared by any shard, and the others with their reasons."""
    compared = _unique(chain.from_iterable(part.compared for part in parts))
    paired = any(part.compared or part.not_compared for part in parts)
    count = infos[0].count
    others = [cell for part in parts for cell in part.not_compared if cell.cell not in compared]
    others += [
        NotCompared(cell=cell, status="not-measured", reason=f"shard {number} of {count} is missing")
        for number, cell in (missing if paired else ())
    ]
    return compared, _unique(others, lambda one: one.cell)


def _merge_runs(parts: Sequence[Result]) -> RunInfo:
    """Describe the run: the shard that began first gives its name, and the longest its duration."""
    first = min((part.run for part in parts), key=lambda run: (run.started_at, run.id))
    command = re.sub(r" --shard \d+/\d+", "", first.command)
    return first.model_copy(update={"duration_s": max(part.run.duration_s for part in parts), "command": command})


def _merge_timings(parts: Sequence[Result]) -> dict[str, float]:
    names = _unique(chain.from_iterable(part.timings for part in parts))
    return {name: max(part.timings.get(name, 0.0) for part in parts) for name in names}


def _merge_environments(found: Sequence[Environment]) -> Environment:
    """Describe the machines; if they are of several kinds, there is no fingerprint by which figures may be compared."""
    first = found[0]
    models = Counter(environment.cpu_model for environment in found)
    kinds = _unique(environment.fingerprint for environment in found)
    model = first.cpu_model if len(models) == 1 else ", ".join(f"{name} ({n})" for name, n in models.items())
    return first.model_copy(
        update={
            "cpu_model": model,
            "cores": min(environment.cores for environment in found),
            "memory_mib": min(environment.memory_mib for environment in found),
            "fingerprint": first.fingerprint if len(kinds) == 1 else "+".join(sorted(kinds)),
            "steal_percent": fmean(environment.steal_percent for environment in found),
            "images": {name: image for environment in reversed(found) for name, image in environment.images.items()},
        }
    )


def _find_gravest(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    return min((verdict for verdict in verdicts if verdict is not None), key=_GRAVEST.index, default=None)


def _unique(items: Iterable[_Item], key: Callable[[_Item], object] = repr) -> tuple[_Item, ...]:
    """Keep the first of those that have the same key."""
    found: dict[object, _Item] = {}
    for item in items:
        found.setdefault(key(item), item)
    return tuple(found.values())
