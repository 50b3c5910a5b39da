"""Trials → comparisons. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import NamedTuple

from bench_action.config.gates import ALONE, EXACT, PAIRED, Gate, Gates
from bench_action.gating import judge_losses
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Trial, Verdict
from bench_action.paired import Evidence, evidence_of, paired_evidence, sides_of
from bench_action.plan import Pair
from bench_action.stats.interval import CONFIDENCE, ratio_of
from bench_action.stats.sequential import ALPHA, Course
from bench_action.summary import trial_values

# compared between variants that are measured alone; the rest is in the summaries
_COMPARED = ("requests_per_second", "latency_p50_us", "latency_p99_us", "cpu_ms_per_request", "memory_peak_mib")
_RELEVANT = 0.01
_UNGATED = Gate(max_gain=0.0, level="warn")


class Sides(NamedTuple):
    """Trials of two cells with one profile, measured alone; `kind` and `revision` are the comparison's."""

    profile: str
    base: str
    head: str
    of_base: Sequence[Trial]
    of_head: Sequence[Trial]


@dataclass(frozen=True, slots=True)
class Rules:
    """By what pairs are judged: gates, each pair's course, and the share of alpha that one comparison has."""

    gates: Gates
    courses: Mapping[str, Course]
    alpha: float


def alpha_of_each(gates: Gates, pairs: int) -> float:
    """The run's alpha divided by how many comparisons with noise may fail or warn: one false alarm in 100 runs."""
    noisy = sum(1 for metric in gates if metric not in EXACT)
    return ALPHA / max(1, noisy * pairs)


def compare_variants(
    trials: Sequence[Trial], pairs: Sequence[tuple[str, str]], profiles: Sequence[str]
) -> tuple[Comparison, ...]:
    """Every pair (base, head) for every profile. Variants are measured alone (`solo`), and nothing is gated."""
    found: list[Comparison | None] = []
    own = [trial for trial in trials if trial.revision == "head"]
    for profile in profiles:
        for base, head in pairs:
            of_base, of_head = ([t for t in own if (t.variant, t.profile) == (v, profile)] for v in (base, head))
            sides = Sides(profile, base, head, of_base, of_head)
            found += [_solo(metric, sides) for metric in _COMPARED]
            found += [_exact(metric, sides) for metric in EXACT]
    return tuple(comparison for comparison in found if comparison is not None)


def default_pairs(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Where the configuration names no pairs: every other variant against the first."""
    return [(variants[0], other) for other in variants[1:]]


def compare_pairs(trials: Sequence[Trial], pairs: Sequence[Pair], rules: Rules) -> tuple[Comparison, ...]:
    """Every metric of every pair; gated where its two sides are revisions of one variant."""
    return tuple(comparison for pair in pairs for comparison in _of_pair(trials, pair, rules))


def _of_pair(trials: Sequence[Trial], pair: Pair, rules: Rules) -> Iterator[Comparison]:
    method = "interleaved" if any(t.pair == str(pair) and t.phase == "interleaved" for t in trials) else "duet"
    blocks = sides_of(trials, str(pair), "duet") or sides_of(trials, str(pair), "interleaved")
    latency = sides_of(trials, str(pair), "latency")
    of_latency = Course(max(2, len(latency)), ended=True)
    course = rules.courses.get(str(pair), Course(max(2, len(blocks)), ended=True))
    for metric in PAIRED:
        if found := paired_evidence(blocks, metric):
            yield _judged(pair, found, course, rules, method)
        elif metric == "requests_per_second" and (solo := _fallback(trials, pair, rules)):
            yield solo
    for metric in ALONE:
        if found := evidence_of(latency, metric):
            yield _judged(pair, found, of_latency, rules, "interleaved")
    own = [
        [t for t in trials if (t.variant, t.revision, t.profile) == (c.variant, c.revision, c.profile)]
        for c in (pair.base, pair.head)
    ]
    for metric in EXACT:
        counted = _exact(metric, Sides(pair.head.profile, *_names(pair), *own))
        if counted is not None:
            yield _gated_exact(counted, pair, rules.gates.get(metric))


def _names(pair: Pair) -> tuple[str, str]:
    """What base and head of a pair are called: revisions, or variants."""
    return ("base", "head") if pair.kind == "revision" else (pair.base.variant, pair.head.variant)


def _judged(pair: Pair, found: Evidence, course: Course, rules: Rules, method: str) -> Comparison:
    gate = rules.gates.get(found.metric) if pair.kind == "revision" else None
    seen = judge_losses(found, course, rules.alpha, gate or _UNGATED)
    verdict: Verdict = seen.verdict if gate is not None else "measured"
    ratio = seen.ratio if seen.ratio is not None else found.head / found.base
    base, head = _names(pair)
    return Comparison(
        kind=pair.kind, method=method, metric=found.metric, profile=pair.head.profile,
        variant=pair.head.variant, revision=pair.head.revision, base=base, head=head,
        base_value=found.base, head_value=found.head, ratio=ratio, difference=found.head - found.base,
        ci_low=seen.ci_low, ci_high=seen.ci_high, confidence=CONFIDENCE,
        smallest_detectable=seen.smallest_detectable, blocks=seen.blocks,
        blocks_wanted=seen.blocks_wanted if gate is not None else None,
        fires=seen.fires if gate is not None else None,
        gate=gate.size if gate is not None else None, level=gate.level if gate is not None else None,
        significant=seen.significant, relevant=seen.relevant, verdict=verdict,
    )  # fmt: skip


def _fallback(trials: Sequence[Trial], pair: Pair, rules: Rules) -> Comparison | None:
    """requests/s of two subjects that are no duet: each alone. Only a loss that is sure counts: little is seen."""
    own = [
        {t.block: t for t in trials if t.phase == "capacity" and t.valid and t.cell == str(cell)}
        for cell in (pair.base, pair.head)
    ]
    rates = [[own[side][block].requests_per_second for block in sorted(set(own[0]) & set(own[1]))] for side in (0, 1)]
    if not rates[0] or min(rates[0] + rates[1]) <= 0:
        return None
    found = evidence_of_rates(*rates)
    judged = _judged(pair, found, Course(max(2, len(rates[0])), ended=True), rules, "solo")
    return judged if judged.verdict == "regressed" else judged.model_copy(update={"verdict": "measured"})


def evidence_of_rates(base: Sequence[float], head: Sequence[float]) -> Evidence:
    """Requests/s of two subjects, one value a block each, as evidence."""
    losses = tuple(math.log(b / h) for b, h in zip(base, head, strict=True))
    return Evidence("requests_per_second", losses, geometric_mean(base), geometric_mean(head))


def _solo(metric: str, sides: Sides) -> Comparison | None:
    base, head = _by_block(metric, sides.of_base), _by_block(metric, sides.of_head)
    blocks = sorted(set(base) & set(head))
    found = ratio_of([base[block] for block in blocks], [head[block] for block in blocks])
    if found is None:
        return None
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    significant = low is not None and high is not None and not low <= 1 <= high
    return Comparison(
        kind="variant", method="solo", metric=metric, profile=sides.profile, variant=sides.head, revision="head",
        base=sides.base, head=sides.head, base_value=found.base, head_value=found.head, ratio=found.ratio,
        difference=found.head - found.base, ci_low=low, ci_high=high, confidence=CONFIDENCE,
        smallest_detectable=found.smallest_detectable, blocks=len(blocks), gate=None, significant=significant,
        relevant=significant and abs(found.ratio - 1) >= _RELEVANT, verdict="measured",
    )  # fmt: skip


def _exact(metric: str, sides: Sides) -> Comparison | None:
    both = [
        [trial_values(t)[metric] for t in trials if t.phase == "count"] for trials in (sides.of_base, sides.of_head)
    ]
    if not all(both):
        return None
    (base_value, *_), (head_value, *_) = both
    ratio = head_value / base_value if base_value else None
    differs = base_value != head_value
    return Comparison(
        kind="variant", method="count", metric=metric, profile=sides.profile, variant=sides.head, revision="head",
        base=sides.base, head=sides.head, base_value=base_value, head_value=head_value,
        ratio=ratio, difference=head_value - base_value,
        ci_low=ratio, ci_high=ratio, confidence=1.0, smallest_detectable=0.0, blocks=1, gate=None,
        significant=differs, relevant=differs, verdict="measured",
    )  # fmt: skip


def _gated_exact(counted: Comparison, pair: Pair, gate: Gate | None) -> Comparison:
    """The verdict of a count: no noise, so the gate alone decides."""
    own = {"kind": pair.kind, "variant": pair.head.variant, "revision": pair.head.revision}
    if gate is None or pair.kind != "revision":
        return counted.model_copy(update=own)
    worse = counted.difference if METRICS[counted.metric].better == "lower" else -counted.difference
    limit = max(gate.size * counted.base_value, gate.absolute)
    verdict: Verdict = "unchanged" if abs(worse) <= limit else "regressed" if worse > 0 else "improved"
    return counted.model_copy(update=own | {"gate": gate.size, "level": gate.level, "verdict": verdict})


def _by_block(metric: str, trials: Sequence[Trial]) -> dict[int, float]:
    valid = [trial for trial in trials if trial.phase == "capacity" and trial.valid]
    return {trial.block: values[metric] for trial in valid if metric in (values := trial_values(trial))}
