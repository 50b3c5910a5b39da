"""Merge the results of a run's shards into one, as if one machine had measured everything. Pure.

Each shard has judged its own pairs, with the error of the whole run divided among all comparisons, so that merging
decides nothing about them again. What several shards have measured is judged from their blocks together (`pool`).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean, stdev
from typing import Any, TypeVar

from bench_action.compare.comparison import confirm, rebuild_paired, refuse_gains
from bench_action.compare.evidence import Evidence, build_evidence, build_paired_evidence, pair_blocks
from bench_action.compare.explain import find_errors
from bench_action.compare.gating import judge_look
from bench_action.compare.pairs import has_stand_in, let_stand_in, needs_stand_in, require_tail_blocks
from bench_action.compare.rates import AT_RATE_FINDINGS, find_missed_rates
from bench_action.compare.summary import summarise
from bench_action.compare.verdict import decide_verdict, list_false_differences
from bench_action.config.gates import COST, PAIRED, RATE, Gate
from bench_action.config.shard import MOST
from bench_action.model.errors import InputError
from bench_action.model.metric import METRICS
from bench_action.model.result import (
    Comparison,
    Environment,
    Finding,
    GateInfo,
    NotCompared,
    PhaseName,
    Result,
    RunInfo,
    ShardInfo,
    SubjectInfo,
    Summary,
    Trial,
    Verdict,
)
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import format_change
from bench_action.plan.blocks import Cell, Pair
from bench_action.stats.distributions import LARGEST_LOG
from bench_action.stats.interval import LEAST_BLOCKS
from bench_action.stats.sequential import Course, Group, compute_agreement, pool

_DISAGREE = 0.001  # how unlikely a difference between runners is before it is mentioned: there are many comparisons
_GRAVEST: Sequence[Verdict] = ("regressed", "invalid", "inconclusive", "measured", "improved", "unchanged")
_AGAIN = "run all jobs of the workflow again, so that all shards are of one run"
_MOST_NAMED = 6
_FOUND_TOGETHER = AT_RATE_FINDINGS | {"errors"}
_NUMBER = re.compile(r"\d[\d,.]*")
_Item = TypeVar("_Item")


def merge(results: Sequence[Result]) -> Result:
    """Merge the results of the shards of one run, in any order; those that are missing are named in the result.

    Raises InputError if a result is of no shard, or of another run, or if there are two of one shard.
    """
    parts = _require_one_run(results)
    infos = tuple(part.shards[0] for part in parts)
    repeated = {cell for cell, often in Counter(chain.from_iterable(info.cells for info in infos)).items() if often > 1}
    trials = tuple(_number_trials(parts))
    merged, disagreements = _merge_comparisons(parts)
    subjects = _merge_subjects(parts)
    missing = tuple(_find_missing(infos))
    findings = _merge_findings(parts, trials, repeated)
    comparisons = refuse_gains(merged, findings)
    warnings = _merge_warnings(parts, comparisons, repeated, disagreements)
    compared, not_compared = _merge_coverage(parts, infos, missing)
    verdict = decide_verdict(trials, warnings, comparisons, findings)
    first = parts[0]
    return first.model_copy(
        update={
            "run": _merge_runs(parts),
            "timings": _merge_timings(parts),
            "environment": _merge_environments([info.environment for info in infos]),
            "profiles": _unique(
                (profile for part in parts for profile in part.profiles if _is_shared(profile.name, infos)),
                lambda profile: profile.name,
            ),
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
            "control": next((part.control for part in parts if part.control), {}),
            "verdict_by_head_rules": _find_verdict_by_head(parts, verdict, whole=not missing and not repeated),
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
                f"{often} results are of shard {number} of {first.shards[0].count}",
                cause=f"they are of the runs {runs}",
                advice="name each output folder once, and give each shard's artifact its own name",
            )
    return parts


def _require_consistency(info: ShardInfo) -> None:
    """Require that a shard is one of those that it names, and not of very many. Raises InputError."""
    consistent = 1 <= info.number <= info.count <= MOST and len(info.shares) == info.count
    if not consistent or set(info.cells) != set(info.shares[info.number - 1]):
        raise InputError(
            f"the result of run {info.run_id} contradicts itself about its shard",
            cause="it was edited, or written by another version of bench-action",
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
        "the engine": (first.run.engine, other.run.engine),
        "the configuration's path": (first.run.config, other.run.config),
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
            cause="they were edited, or written by another version of bench-action",
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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one shard says about a comparison, and the evidence of its blocks, if it has any."""

    shard: int
    comparison: Comparison
    evidence: Evidence | None

    @property
    def group(self) -> Group | None:
        """Its blocks; None with fewer than two, whose spread is not known."""
        losses = self.evidence.losses if self.evidence is not None else ()
        if self.evidence is not None and len(losses) > 1:
            return Group(len(losses), fmean(losses), max(stdev(losses), self.evidence.least_sd))
        c = self.comparison
        if self.evidence is None and c.test is not None and c.ratio is not None and c.blocks > 1:
            return Group(c.blocks, _find_direction(c.metric) * math.log(c.ratio), c.test.sd)
        return None


def _merge_comparisons(parts: Sequence[Result]) -> tuple[tuple[Comparison, ...], list[RunWarning]]:
    """Take each shard's comparisons, and judge together what several shards have compared."""
    found: dict[tuple[str, ...], list[tuple[Result, Comparison]]] = {}
    for part in parts:
        for c in part.comparisons:
            found.setdefault((c.metric, *_name(c)), []).append((part, c))
    comparisons, warnings = [], []
    for group in found.values():
        if len(group) == 1:
            comparisons.append(group[0][1])
            continue
        seen = [_Seen(part.shards[0].number, c, _find_evidence(part, c)) for part, c in group]
        merged, warning = _judge_together(seen, parts[0].shards[0].gates)
        comparisons.append(merged)
        warnings += [warning] if warning is not None else []
    if {RATE, COST} <= parts[0].shards[0].gates.keys():
        costs = {_name(c): c for c in comparisons if c.metric == COST}
        comparisons = [
            _join(c, costs[_name(c)], [own for _, own in found[(RATE, *_name(c))]])
            if c.metric == RATE and _name(c) in costs
            else c
            for c in comparisons
        ]
    return tuple(comparisons), warnings


def _join(rate: Comparison, cost: Comparison, parts: Sequence[Comparison]) -> Comparison:
    """Judge requests/s by CPU/request as well, as each shard does. `parts`: requests/s of each shard."""
    rate = confirm(rate, cost)
    if all(map(has_stand_in, parts)) and needs_stand_in(rate, cost):
        return let_stand_in(rate, parts[0].reason)
    return rate


def _name(c: Comparison) -> tuple[str, ...]:
    """Name what was compared, with every metric."""
    return c.kind, c.base, c.head, c.profile


def _find_evidence(part: Result, c: Comparison) -> Evidence | None:
    """Find the losses of a comparison's blocks; None if only the configuration says how they were found."""
    if c.kind != "revision" or c.method in {"solo", "count", "slo"}:
        return None
    pair = _make_pair(c.whole_cell)
    pair = pair.take_route(c.route) if c.route else pair
    if c.method == "rate":
        return build_evidence(pair_blocks(part.trials, str(pair), "rate"), c.metric)
    if c.metric in PAIRED and not c.route:
        phase: PhaseName = "interleaved" if c.method == "interleaved" else "duet"
        return build_paired_evidence(pair_blocks(part.trials, str(pair), phase), c.metric)
    return build_evidence(pair_blocks(part.trials, str(pair), "latency"), c.metric)


def _judge_together(seen: Sequence[_Seen], gates: Mapping[str, GateInfo]) -> tuple[Comparison, RunWarning | None]:
    """Judge what several shards have compared: with the runner as stratum, or, of counts, by the gravest.

    Only blocks of one method are judged together: the one with most.
    """
    blocks = Counter[str]()
    for one in seen:
        blocks[one.comparison.method] += one.group.blocks if one.group is not None else 0
    method = blocks.most_common(1)[0][0]
    usable = [(one, one.group) for one in seen if one.group is not None and one.comparison.method == method]
    alphas = [one.comparison.test.alpha for one, _ in usable if one.comparison.test is not None]
    groups = [group for _, group in usable]
    pooled = pool(groups, min(alphas)) if alphas else None
    if pooled is None or len(usable) < 2 or pooled.blocks < LEAST_BLOCKS:
        gravest = min(seen, key=lambda one: (_GRAVEST.index(one.comparison.verdict), -one.comparison.blocks))
        return (usable[0][0] if len(usable) == 1 else gravest).comparison, None
    first = next((one.comparison for one, _ in usable if one.comparison.gate is not None), usable[0][0].comparison)
    gated = first.gate is not None and first.metric in gates
    gate = _restore_gate(first.metric, gates[first.metric]) if gated else None
    weights = [group.blocks for group in groups]
    evidence = Evidence(
        first.metric,
        (),
        _weigh([one.comparison.base_value for one, _ in usable], weights),
        _weigh([one.comparison.head_value for one, _ in usable], weights),
    )
    course = Course(pooled.blocks, ended=True)
    judgement = judge_look(pooled, evidence, course, min(alphas), gate or _restore_gate(first.metric, None))
    direction = _find_direction(first.metric)
    by_shard = {str(one.shard): math.exp(direction * group.mean) for one, group in usable}
    merged = rebuild_paired(first, evidence, judgement, gate).model_copy(update={"by_shard": by_shard})
    merged = require_tail_blocks(merged, pooled.blocks)
    warning = None
    if compute_agreement(groups) < _DISAGREE:
        sizes = [f"{format_change(ratio - 1)} on shard {number}" for number, ratio in by_shard.items()]
        warning = Code.RUNNERS_DISAGREE.warn(f"{METRICS[first.metric].title} changes by {', '.join(sizes)}", first.cell)
    return merged, warning


def _find_direction(metric: str) -> float:
    """Find the sign between the logarithm of a ratio and a loss, which is above 0 if head is worse."""
    return -1.0 if METRICS[metric].better == "higher" else 1.0


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


def _is_shared(profile: str, infos: Sequence[ShardInfo]) -> bool:
    """Whether a profile is of a cell: one that is measured by no shard any more is not."""
    return any(cell.partition(" · ")[2] == profile for info in infos for cell in info.cells)


def _head_of(cell: str) -> str:
    """Name head's cell of the same variant and profile."""
    return cell.replace("@base · ", " · ", 1)


def _merge_warnings(
    parts: Sequence[Result], comparisons: Sequence[Comparison], repeated: set[str], disagreements: Sequence[RunWarning]
) -> tuple[RunWarning, ...]:
    """List missing shards first, then each warning once; a self-test is judged by the merged comparisons."""
    self_test = parts[0].run.self_test
    every = [
        warning
        for warning in chain.from_iterable(part.warnings for part in parts)
        if not (self_test and warning.code is Code.UNRELIABLE)
    ]
    differences = list_false_differences(comparisons) if self_test else []
    kept = _unique(every, lambda one: (one.code, one.cell, _blur(one.message, one.cell, repeated)))
    found = [*_warn_of_missing([part.shards[0] for part in parts]), *differences, *kept, *disagreements]
    return tuple(sorted(found, key=lambda warning: not warning.code.invalidates))


def _warn_of_missing(infos: Sequence[ShardInfo]) -> Iterator[RunWarning]:
    """Warn of missing shards: the run is invalid without their cells, unless others have measured these as well."""
    lost = {number for number, _ in _find_missing(infos)}
    for number in sorted({*range(1, infos[0].count + 1)} - {info.number for info in infos}):
        text = f"shard {number} of {infos[0].count} is missing"
        if number in lost:
            yield Code.SHARD_MISSING.warn(f"{text}: {_name_cells(infos[0].shares[number - 1])}")
        else:
            yield Code.FEWER_RUNNERS.warn(f"{text}: others measured the same cells")


def _name_cells(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _MOST_NAMED} more" if len(cells) > _MOST_NAMED else ""
    return ", ".join(cells[:_MOST_NAMED]) + more


def _blur(message: str, cell: str, repeated: set[str]) -> str:
    """Leave numbers out of what is said of a cell that several shards measured, as each has its own."""
    return _NUMBER.sub("#", message) if _head_of(cell) in repeated else message


def _merge_findings(parts: Sequence[Result], trials: Sequence[Trial], repeated: set[str]) -> tuple[Finding, ...]:
    """List findings once; what blocks of a repeated cell show together is found again, as chance would be otherwise."""
    every = [
        finding
        for finding in chain.from_iterable(part.findings for part in parts)
        if not (finding.cell in repeated and finding.code in _FOUND_TOGETHER)
    ]
    every.sort(key=lambda finding: not finding.fails)
    kept = _unique(every, lambda one: (one.code, one.cell, _blur(one.message, one.cell, repeated)))
    pairs = [_make_pair(cell) for cell in sorted(repeated)]
    errors = (finding for pair in pairs for finding in find_errors(trials, pair))
    return (*kept, *errors, *find_missed_rates(trials, pairs))


def _make_pair(cell: str) -> Pair:
    variant, _, profile = cell.partition(" · ")
    return Pair("revision", Cell(variant, "base", profile), Cell(variant, "head", profile))


def _find_verdict_by_head(parts: Sequence[Result], verdict: Verdict, *, whole: bool) -> Verdict | None:
    """Find the verdict by head's own rules: that of the run if no shard's differs; None if not all of it is known."""
    own = [part.verdict_by_head_rules for part in parts if part.verdict_by_head_rules is not None]
    if not own or not whole:
        return None
    if all(part.verdict_by_head_rules in {None, part.verdict} for part in parts):
        return verdict
    decided = [one for one in own if one != "measured"] or own
    return min(decided, key=_GRAVEST.index)


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
    """Describe the machines; of several kinds, all fingerprints are named, and nothing may be compared by them."""
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


def _unique(items: Iterable[_Item], key: Callable[[_Item], object] = repr) -> tuple[_Item, ...]:
    """Keep the first of those that have the same key."""
    found: dict[object, _Item] = {}
    for item in items:
        found.setdefault(key(item), item)
    return tuple(found.values())
