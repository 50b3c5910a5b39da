"""Trials → comparisons. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench_action.compare.counting import count_metric, counts_of
from bench_action.compare.evidence import Evidence, build_evidence, pair_blocks, paired_evidence, soundness_of
from bench_action.compare.gating import judge_losses
from bench_action.compare.summary import trial_values
from bench_action.compare.uncompared import Attempt, why_few, why_uncompared
from bench_action.config.gates import ALONE, EXACT, PAIRED, Gate, Gates
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, PhaseName, Trial, Verdict
from bench_action.plan.blocks import Pair
from bench_action.stats.interval import CONFIDENCE, LEAST_BLOCKS, estimate_ratio
from bench_action.stats.sequential import ALPHA, Course

# compared between variants that are measured alone; the rest is in the summaries
_COMPARED = ("requests_per_second", "latency_p50_us", "latency_p99_us", "cpu_ms_per_request", "memory_peak_mib")
_RELEVANT = 0.01
_UNGATED = Gate(max_gain=0.0, level="warn")
_RATE, _COST = "requests_per_second", "cpu_ms_per_request"
_ORDER = (*PAIRED, *ALONE, *EXACT)
# what a service costs means something only for requests that use it: at least one in twenty
_UNUSED = 0.05
_SERVICES = {
    "db_cpu_ms_per_request": ("queries_per_request", "no request makes a query"),
    "cache_cpu_ms_per_request": ("cache_commands_per_request", "no request uses the cache"),
}


class Sides(NamedTuple):
    """Trials of two cells with one profile, measured alone; `kind` and `revision` are the comparison's."""

    profile: str
    base: str
    head: str
    of_base: Sequence[Trial]
    of_head: Sequence[Trial]


@dataclass(frozen=True, slots=True)
class Rules:
    """What pairs are judged by: gates, the course of each pair's phases, and the share of alpha of one comparison.

    `shortage` says where the run's time went, for what no block compares; empty without a time limit.
    """

    gates: Gates
    courses: Mapping[tuple[str, PhaseName], Course]
    alpha: float
    shortage: str = ""

    def course(self, pair: Pair, phase: PhaseName, blocks: int) -> Course:
        """How the blocks of a pair were planned in this phase; without a plan, all of them are looked at once."""
        return self.courses.get((str(pair), phase), Course(max(2, blocks), ended=True))

    def alpha_of(self, metric: str) -> float:
        """The share of a gated metric, or of one that no gate looks at: those have an alpha of their own."""
        if metric in self.gates:
            return self.alpha
        noisy = [name for name in self.gates if name not in EXACT]
        ungated = sum(1 for name in (*PAIRED, *ALONE) if name not in self.gates)
        return self.alpha * max(1, len(noisy)) / max(1, ungated)


def split_alpha(gates: Gates, pairs: int) -> float:
    """Divide the run's alpha among all comparisons that may raise an alarm by noise: one false alarm in 100 runs.

    requests/s counts twice: by duets, and by slices in turn where duets cannot compare it.
    """
    noisy = sum(1 for metric in gates if metric not in EXACT) + (_RATE in gates)
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
    """Every metric of every pair; gated where its two sides are revisions of one variant.

    Each gated metric of such a pair is there: judged, or with the reason why not.
    """
    return tuple(comparison for pair in pairs for comparison in _of_pair(trials, pair, rules))


def _of_pair(trials: Sequence[Trial], pair: Pair, rules: Rules) -> list[Comparison]:
    found = {one.metric: one for one in (*_noisy(trials, pair, rules), *_counted(trials, pair, rules))}
    if pair.kind == "variant":
        if _RATE not in found and (solo := _alone(_RATE, trials, pair)):
            found[_RATE] = solo
    else:
        attempt = Attempt(pair, trials, rules.shortage)
        _leave_out_services(found, pair)
        for metric, gate in rules.gates.items():
            found[metric] = _explained(found.get(metric) or _uncompared(metric, attempt, gate), attempt)
        _stand_in(found, attempt)
    return sorted(found.values(), key=lambda one: _ORDER.index(one.metric))


def _noisy(trials: Sequence[Trial], pair: Pair, rules: Rules) -> Iterator[Comparison]:
    """What blocks tell: each metric by the phase that compares it."""
    duets, turns, latency = (pair_blocks(trials, str(pair), phase) for phase in ("duet", "interleaved", "latency"))
    fit = bool(duets) and not soundness_of(duets).faults
    for metric in PAIRED:
        in_turn = bool(turns) and not (fit if metric == _RATE else duets)
        phase: PhaseName = "interleaved" if in_turn else "duet"
        blocks = turns if in_turn else duets
        if found := paired_evidence(blocks, metric):
            yield _judged(pair, found, rules.course(pair, phase, len(blocks)), rules, phase)
    for metric in ALONE:
        if found := build_evidence(latency, metric):
            yield _judged(pair, found, Course(max(2, len(latency)), ended=True), rules, "interleaved")


def _counted(trials: Sequence[Trial], pair: Pair, rules: Rules) -> Iterator[Comparison]:
    own = [counts_of(trials, c.variant, c.revision, c.profile) for c in (pair.base, pair.head)]
    for metric in EXACT:
        counted = _exact(metric, Sides(pair.head.profile, *_names(pair), *own))
        if counted is not None:
            yield _gated_exact(counted, pair, rules.gates.get(metric))


def _leave_out_services(found: dict[str, Comparison], pair: Pair) -> None:
    """Take the gate off what a service costs where requests do not use it: that is the service's own noise."""
    for metric, (count, why) in _SERVICES.items():
        used = found.get(count)
        if used is not None and max(used.base_value, used.head_value) < _UNUSED:
            found[metric] = found.get(metric, _empty(metric, pair)).model_copy(
                update={
                    "gate": None,
                    "level": None,
                    "verdict": "measured",
                    "significant": False,
                    "relevant": False,
                    "fires": None,
                    "blocks_wanted": None,
                    "reason": why,
                }
            )


def _uncompared(metric: str, attempt: Attempt, gate: Gate) -> Comparison:
    """A gated metric that no block compares: each side's figure alone where there is one, and the reason."""
    alone = _alone(metric, attempt.trials, attempt.pair) if metric in PAIRED else None
    update = {
        "gate": gate.size,
        "level": gate.level,
        "verdict": "inconclusive",
        "blocks": 0,
        "reason": why_uncompared(metric, attempt),
    }
    return (alone or _empty(metric, attempt.pair)).model_copy(update=update)


def _explained(one: Comparison, attempt: Attempt) -> Comparison:
    """With the reason why blocks did not decide, where that is not the size of what they found."""
    if one.verdict != "inconclusive" or not one.blocks:
        return one
    if one.blocks < LEAST_BLOCKS:
        return one.model_copy(update={"reason": why_few(one.metric, one.blocks, attempt)})
    faults = attempt.faults if one.metric == _RATE else ""
    return one.model_copy(update={"reason": f"{faults}, so the two were measured in turns"}) if faults else one


def _stand_in(found: dict[str, Comparison], attempt: Attempt) -> None:
    """Let CPU/request answer for requests/s where only shares of the CPU were unequal: costs do not depend on them.

    And requests/s for CPU/request where the host does not show CPU time: in a duet, the two are one number.
    """
    rate, cost = found.get(_RATE), found.get(_COST)
    if rate is None or cost is None:
        return
    open_rate = rate.verdict == "inconclusive" and not _excludes_no_change(rate)
    if open_rate and attempt.only_shares and _is_judged(cost):
        why = f"{attempt.faults}; {METRICS[_COST].title} stands in for it"
        found[_RATE] = rate.model_copy(update={"verdict": "measured", "blocks_wanted": None, "reason": why})
    elif cost.verdict == "inconclusive" and not cost.blocks and _is_judged(rate):
        why = f"{cost.reason}; {METRICS[_RATE].title} stands in for it"
        found[_COST] = cost.model_copy(update={"verdict": "measured", "reason": why})


def _is_judged(one: Comparison) -> bool:
    return one.gate is not None and one.verdict != "inconclusive" and one.method in {"duet", "interleaved"}


def _excludes_no_change(one: Comparison) -> bool:
    return one.ci_low is not None and one.ci_high is not None and not one.ci_low <= 1 <= one.ci_high


def _empty(metric: str, pair: Pair) -> Comparison:
    """Nothing was measured of this metric."""
    base, head = _names(pair)
    return Comparison(
        kind=pair.kind,
        method="solo",
        metric=metric,
        profile=pair.head.profile,
        variant=pair.head.variant,
        revision=pair.head.revision,
        base=base,
        head=head,
        base_value=0.0,
        head_value=0.0,
        ratio=None,
        difference=0.0,
        ci_low=None,
        ci_high=None,
        confidence=CONFIDENCE,
        smallest_detectable=None,
        blocks=0,
        gate=None,
        significant=False,
        relevant=False,
        verdict="measured",
    )


def _alone(metric: str, trials: Sequence[Trial], pair: Pair) -> Comparison | None:
    """Each side measured alone, which is no comparison: the figures, never a verdict."""
    own = [[t for t in trials if t.cell == str(cell)] for cell in (pair.base, pair.head)]
    solo = _solo(metric, Sides(pair.head.profile, *_names(pair), *own))
    if solo is None:
        return None
    update: dict[str, object] = {"kind": pair.kind, "revision": pair.head.revision}
    if pair.kind == "revision":
        update |= {
            "ci_low": None,
            "ci_high": None,
            "smallest_detectable": None,
            "significant": False,
            "relevant": False,
        }
    return solo.model_copy(update=update | {"variant": pair.head.variant})


def _names(pair: Pair) -> tuple[str, str]:
    """Name the two sides of a pair: by their cells, or, for two variants, by the variants."""
    return (str(pair.base), str(pair.head)) if pair.kind == "revision" else (pair.base.variant, pair.head.variant)


def _judged(pair: Pair, found: Evidence, course: Course, rules: Rules, method: str) -> Comparison:
    gate = rules.gates.get(found.metric) if pair.kind == "revision" else None
    seen = judge_losses(found, course, rules.alpha_of(found.metric), gate or _UNGATED)
    ratio = seen.ratio if seen.ratio is not None else found.head / found.base
    base, head = _names(pair)
    return Comparison(
        kind=pair.kind,
        method=method,
        metric=found.metric,
        profile=pair.head.profile,
        variant=pair.head.variant,
        revision=pair.head.revision,
        base=base,
        head=head,
        base_value=found.base,
        head_value=found.head,
        ratio=ratio,
        difference=found.head - found.base,
        ci_low=seen.ci_low,
        ci_high=seen.ci_high,
        confidence=CONFIDENCE,
        smallest_detectable=seen.smallest_detectable,
        blocks=seen.blocks,
        blocks_wanted=seen.blocks_wanted if gate is not None else None,
        fires=seen.fires if gate is not None else None,
        gate=gate.size if gate is not None else None,
        level=gate.level if gate is not None else None,
        significant=seen.significant,
        relevant=seen.relevant,
        verdict=seen.verdict if gate is not None else "measured",
        reason=seen.reason if gate is not None else "",
    )


def _solo(metric: str, sides: Sides) -> Comparison | None:
    base, head = _by_block(metric, sides.of_base), _by_block(metric, sides.of_head)
    blocks = sorted(set(base) & set(head))
    found = estimate_ratio([base[block] for block in blocks], [head[block] for block in blocks])
    if found is None:
        return None
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    significant = low is not None and high is not None and not low <= 1 <= high
    return Comparison(
        kind="variant",
        method="solo",
        metric=metric,
        profile=sides.profile,
        variant=sides.head,
        revision="head",
        base=sides.base,
        head=sides.head,
        base_value=found.base,
        head_value=found.head,
        ratio=found.ratio,
        difference=found.head - found.base,
        ci_low=low,
        ci_high=high,
        confidence=CONFIDENCE,
        smallest_detectable=found.smallest_detectable,
        blocks=len(blocks),
        gate=None,
        significant=significant,
        relevant=significant and abs(found.ratio - 1) >= _RELEVANT,
        verdict="measured",
    )


def _exact(metric: str, sides: Sides) -> Comparison | None:
    base, head = (
        count_metric([t for t in trials if t.phase == "count"], metric) for trials in (sides.of_base, sides.of_head)
    )
    if base is None or head is None:
        return None
    exact, base_value, head_value = base.exact and head.exact, base.per_request, head.per_request
    ratio = head_value / base_value if base_value else None
    differs = head.change_from(base) != 0
    # 1: the two are known without error; else see "Counts that vary" in docs/how-it-decides.md
    width = max(base.high - base.low, head.high - head.low)
    return Comparison(
        kind="variant",
        method="count",
        metric=metric,
        profile=sides.profile,
        variant=sides.head,
        revision="head",
        base=sides.base,
        head=sides.head,
        base_value=base_value,
        head_value=head_value,
        ratio=ratio,
        difference=head_value - base_value,
        ci_low=ratio if exact else _quotient(head.low, base.high),
        ci_high=ratio if exact else _quotient(head.high, base.low),
        confidence=1.0 if exact else CONFIDENCE,
        smallest_detectable=0.0 if exact else _quotient(width, base_value),
        blocks=min(len(base.values), len(head.values)),
        gate=None,
        significant=differs,
        relevant=differs,
        verdict="measured",
    )


def _quotient(one: float, other: float) -> float | None:
    return one / other if other else None


def _gated_exact(counted: Comparison, pair: Pair, gate: Gate | None) -> Comparison:
    """The verdict of a count: the gate alone decides about what changed. What only varies has not changed."""
    own = {"kind": pair.kind, "variant": pair.head.variant, "revision": pair.head.revision}
    if gate is None or pair.kind != "revision":
        return counted.model_copy(update=own)
    worse = counted.difference if METRICS[counted.metric].better == "lower" else -counted.difference
    limit = max(gate.size * counted.base_value, gate.absolute)
    verdict: Verdict = "unchanged" if not counted.significant else "regressed" if worse > 0 else "improved"
    if counted.significant and abs(worse) <= limit:
        verdict = "measured"
    reason = f"the change is within the gate of {gate.size * 100:g} %" if verdict == "measured" else ""
    update = {"gate": gate.size, "level": gate.level, "verdict": verdict, "reason": reason}
    return counted.model_copy(update=own | update)


def _by_block(metric: str, trials: Sequence[Trial]) -> dict[int, float]:
    valid = [trial for trial in trials if trial.phase == "capacity" and trial.valid]
    return {trial.block: values[metric] for trial in valid if metric in (values := trial_values(trial))}
