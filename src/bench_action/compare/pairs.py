"""Compare the cells of every pair, metric by metric. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bench_action.compare.alphas import Alphas
from bench_action.compare.comparison import (
    build_exact,
    build_paired,
    build_solo,
    build_unmeasured,
    confirm,
    describe_gate,
)
from bench_action.compare.counting import count_metric, find_unused_services, select_counts
from bench_action.compare.evidence import Evidence, build_evidence, build_paired_evidence, check_duets, pair_blocks
from bench_action.compare.gating import judge_losses
from bench_action.compare.objectives import build_rate_evidence
from bench_action.compare.summary import trial_values
from bench_action.compare.uncompared import PairAttempt, explain_few_blocks, explain_uncompared
from bench_action.config.gates import (
    ALONE,
    AT_RATE,
    COST,
    EXACT,
    OBJECTIVE,
    PAIRED,
    RATE,
    SERVICES,
    TAIL_BLOCKS,
    Gate,
    Gates,
    lacks_blocks,
)
from bench_action.config.schema import Objective
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, PhaseName, Trial, find_routes
from bench_action.model.wording import plural
from bench_action.plan.blocks import Cell, Pair
from bench_action.stats.interval import LEAST_BLOCKS, estimate_ratio
from bench_action.stats.sequential import Course

# compared between variants that are loaded alone; the summaries have the rest
_COMPARED = (RATE, "latency_p50_us", "latency_p99_us", COST, "memory_peak_mib")
_UNGATED = Gate(max_gain=0.0, level="warn")
_TOTAL = "total_cpu_ms_per_request"
_STANDS_IN = "stands in for it"  # the end of a reason
_ORDER = (*PAIRED, *ALONE, *AT_RATE, *OBJECTIVE, *EXACT)
_WITHOUT_USE = {
    "db_cpu_ms_per_request": "no request makes a query",
    "cache_cpu_ms_per_request": "no request uses the cache",
    _TOTAL: "no request uses a service",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """How pairs are judged: the gates, the course of each pair's phases, and the alphas.

    `shortage` says what took the run's time, for metrics that no block compares; empty without a time limit. `scripts`,
    `rated`: the profiles that are scripts, and all that are compared at a fixed rate. `objectives`: profile → its own.
    """

    gates: Gates
    courses: Mapping[tuple[str, PhaseName], Course]
    alphas: Alphas
    shortage: str = ""
    scripts: Collection[str] = ()
    rated: Collection[str] = ()
    objectives: Mapping[str, Objective] = field(default_factory=dict)

    def choose_gates(self, profile: str) -> Gates:
        """Choose the gates of what is measured with a profile."""
        unknown = {
            *(() if profile in self.rated else AT_RATE),
            *(() if profile in self.objectives else OBJECTIVE),
            *((*PAIRED, *ALONE) if profile in self.scripts else ()),
        }
        return {metric: gate for metric, gate in self.gates.items() if metric not in unknown}

    def choose_alpha(self, metric: str, *, in_turn: bool = False) -> float:
        """Choose the alpha of one comparison of a metric. `in_turn`: whether slices in turn measured it."""
        return self.alphas.choose(metric, in_turn=in_turn) if metric in self.gates else self.alphas.ungated

    def course(self, pair: Pair, phase: PhaseName, blocks: int) -> Course:
        """Get the course that was planned for a pair and phase; without a plan, a single look at all blocks."""
        return self.courses.get((str(pair), phase), Course(max(2, blocks), ended=True))


def compare_variants(
    trials: Sequence[Trial], pairs: Sequence[tuple[str, str]], profiles: Sequence[str]
) -> tuple[Comparison, ...]:
    """Compare every pair of variants (base, head) with every profile, by trials of each alone. Nothing is gated."""
    found: list[Comparison | None] = []
    for profile in profiles:
        for base, head in pairs:
            pair = Pair("variant", Cell(base, "head", profile), Cell(head, "head", profile))
            sides = [
                [t for t in trials if (t.variant, t.revision, t.profile) == (cell.variant, "head", profile)]
                for cell in (pair.base, pair.head)
            ]
            found += [_compare_alone(metric, pair, sides) for metric in _COMPARED]
            counts = [[trial for trial in side if trial.phase == "count"] for side in sides]
            found += [_compare_counts(metric, pair, counts) for metric in EXACT]
    return tuple(comparison for comparison in found if comparison is not None)


def default_pairs(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Pair every other variant with the first, for a configuration that names no pairs."""
    return [(variants[0], other) for other in variants[1:]]


def compare_pairs(trials: Sequence[Trial], pairs: Sequence[Pair], rules: Rules) -> tuple[Comparison, ...]:
    """Compare every metric of every pair; gates apply to pairs of two revisions of one variant.

    Every gated metric of such a pair is in the result, judged or with the reason why it was not. What is counted, and
    what is measured with one connection, is compared for each request of a mix separately.
    """
    found: list[Comparison] = []
    for pair in pairs:
        titles = find_routes(trials, pair.head.profile)
        separate = (*EXACT, *ALONE)
        gates = rules.choose_gates(pair.head.profile)
        whole = {metric: gate for metric, gate in gates.items() if not titles or metric not in separate}
        found += _compare_pair(trials, pair, replace(rules, gates=whole))
        single = {metric: gate for metric, gate in gates.items() if metric in separate}
        for title in titles:
            found += _compare_pair(trials, pair.take_route(title), replace(rules, gates=single))
    return tuple(found)


def _compare_pair(trials: Sequence[Trial], pair: Pair, rules: Rules) -> list[Comparison]:
    own = [select_counts(trials, cell.variant, cell.revision, cell.profile) for cell in (pair.base, pair.head)]
    gates = rules.gates if pair.kind == "revision" else {}
    counted = (_compare_counts(metric, pair, own, gates.get(metric)) for metric in EXACT)
    found = {c.metric: c for c in (*_compare_blocks(trials, pair, rules), *counted) if c is not None}
    if {RATE, COST} <= found.keys() & rules.gates.keys():
        found[RATE] = confirm(found[RATE], found[COST])
    if pair.kind == "variant":
        if RATE not in found and (solo := _compare_cells_alone(RATE, trials, pair)):
            found[RATE] = solo
    else:
        attempt = PairAttempt(pair, trials, rules.shortage, decided=not rules.course(pair, "duet", 0).ended)
        if not pair.head.route:
            _ungate_unused_services(found, attempt)
        for metric, gate in rules.gates.items():
            found[metric] = _add_reason(found.get(metric) or _report_uncompared(metric, attempt, gate), attempt)
        if not pair.head.route:
            _let_stand_in(found, attempt)
    return sorted(found.values(), key=lambda comparison: _ORDER.index(comparison.metric))


def _compare_blocks(trials: Sequence[Trial], pair: Pair, rules: Rules) -> Iterator[Comparison]:
    """Compare each metric by the phase that measures it."""
    duets, turns, latency = (pair_blocks(trials, str(pair), phase) for phase in ("duet", "interleaved", "latency"))
    fit = bool(duets) and not check_duets(duets).faults
    alone, compared = list(ALONE), set[str]()
    for metric in PAIRED:
        in_turn = bool(turns) and not (fit if metric == RATE else duets)
        phase: Literal["duet", "interleaved"] = "interleaved" if in_turn else "duet"
        blocks = turns if in_turn else duets
        if metric == "memory_peak_mib" and "memory_mib" in compared and metric not in rules.gates:
            continue  # the slower side answers fewer requests
        if evidence := build_paired_evidence(blocks, metric):
            compared.add(metric)
            yield _judge(pair, evidence, rules.course(pair, phase, len(blocks)), rules, phase)
        elif metric in SERVICES and not pair.head.route:
            alone.append(metric)  # in results of older versions, whose subjects shared their services
    if pair.head.route:
        alone.append(COST)
    for metric in alone:
        if evidence := build_evidence(latency, metric):
            yield _judge(pair, evidence, Course(max(2, len(latency)), ended=True), rules, "interleaved")
    yield from _compare_at_rate(trials, pair, rules)
    yield from _compare_objective(trials, pair, rules)


def _compare_at_rate(trials: Sequence[Trial], pair: Pair, rules: Rules) -> Iterator[Comparison]:
    """Compare what turns at a fixed rate show. A gate on p99 needs more blocks than others."""
    blocks = pair_blocks(trials, str(pair), "rate")
    for metric in AT_RATE:
        if evidence := build_evidence(blocks, metric):
            compared = _judge(pair, evidence, rules.course(pair, "rate", len(blocks)), rules, "rate")
            yield require_tail_blocks(compared, len(blocks))


def require_tail_blocks(c: Comparison, blocks: int) -> Comparison:
    """Leave a gate on p99 at a fixed rate undecided with fewer blocks than it needs."""
    if c.gate is None or not lacks_blocks(c.metric, blocks):
        return c
    reason = f"{plural(blocks, 'block')} were measured, but this gate needs {TAIL_BLOCKS}"
    return c.model_copy(update={"verdict": "inconclusive", "reason": reason})


def _compare_objective(trials: Sequence[Trial], pair: Pair, rules: Rules) -> Iterator[Comparison]:
    """Compare the highest rates that hold the profile's objective."""
    objective = rules.objectives.get(pair.head.profile)
    evidence = build_rate_evidence(trials, pair, objective) if objective is not None else None
    if evidence is not None:
        yield _judge(pair, evidence, Course(max(2, len(evidence.losses)), ended=True), rules, "slo")


def _judge(
    pair: Pair, evidence: Evidence, course: Course, rules: Rules, method: Literal["duet", "interleaved", "rate", "slo"]
) -> Comparison:
    gate = rules.gates.get(evidence.metric) if pair.kind == "revision" else None
    alpha = rules.choose_alpha(evidence.metric, in_turn=method == "interleaved")
    judgement = judge_losses(evidence, course, alpha, gate or _UNGATED)
    return build_paired(pair, evidence, judgement, gate, method)


def _compare_counts(
    metric: str, pair: Pair, sides: Sequence[Sequence[Trial]], gate: Gate | None = None
) -> Comparison | None:
    """Compare the counts of base and of head."""
    base, head = (count_metric(counts, metric) for counts in sides)
    return build_exact(metric, pair, base, head, gate) if base is not None and head is not None else None


def _compare_alone(metric: str, pair: Pair, sides: Sequence[Sequence[Trial]]) -> Comparison | None:
    """Compare the `capacity` trials of base and of head, block by block."""
    base, head = (_values_by_block(metric, trials) for trials in sides)
    blocks = sorted(set(base) & set(head))
    figures = estimate_ratio([base[block] for block in blocks], [head[block] for block in blocks])
    if figures is None:
        return None
    if pair.kind == "revision":  # the error of such a ratio is not known: the two were not measured together
        figures = replace(figures, interval=None, smallest_detectable=None)
    return build_solo(metric, pair, figures, len(blocks))


def _compare_cells_alone(metric: str, trials: Sequence[Trial], pair: Pair) -> Comparison | None:
    sides = [[trial for trial in trials if trial.cell == str(cell)] for cell in (pair.base, pair.head)]
    return _compare_alone(metric, pair, sides)


def _values_by_block(metric: str, trials: Sequence[Trial]) -> dict[int, float]:
    valid = [trial for trial in trials if trial.phase == "capacity" and trial.valid]
    return {trial.block: values[metric] for trial in valid if metric in (values := trial_values(trial))}


def _ungate_unused_services(found: dict[str, Comparison], attempt: PairAttempt) -> None:
    """Remove the gate from the cost of services that requests do not use: it is noise."""
    for metric in find_unused_services(attempt.trials, attempt.pair):
        unmeasured = found.get(metric, build_unmeasured(metric, attempt.pair))
        found[metric] = _ungate(unmeasured, _WITHOUT_USE[metric])


def _ungate(comparison: Comparison, reason: str) -> Comparison:
    """Remove the gate of what is noise, and say why."""
    return comparison.model_copy(
        update={
            **describe_gate(None),
            "verdict": "measured",
            "significant": False,
            "relevant": False,
            "fires": None,
            "blocks_wanted": None,
            "reason": reason,
        }
    )


def _report_uncompared(metric: str, attempt: PairAttempt, gate: Gate) -> Comparison:
    """Report a gated metric that no block compares: the figure of each side alone, if there is one, and the reason."""
    alone = _compare_cells_alone(metric, attempt.trials, attempt.pair) if metric in PAIRED else None
    update = {
        **describe_gate(gate),
        "verdict": "inconclusive",
        "blocks": 0,
        "reason": explain_uncompared(metric, attempt),
    }
    return (alone or build_unmeasured(metric, attempt.pair)).model_copy(update=update)


def _add_reason(comparison: Comparison, attempt: PairAttempt) -> Comparison:
    """Add why blocks did not decide, unless the change that they found is the reason."""
    if comparison.verdict != "inconclusive" or not comparison.blocks:
        return comparison
    if comparison.blocks < LEAST_BLOCKS:
        reason = explain_few_blocks(comparison.metric, comparison.blocks, attempt)
        return comparison.model_copy(update={"reason": reason})
    if comparison.metric == RATE and attempt.faults:
        return comparison.model_copy(update={"reason": f"{attempt.faults}, so the two were measured in turn"})
    return comparison


def _let_stand_in(found: dict[str, Comparison], attempt: PairAttempt) -> None:
    """Let CPU/request stand in for requests/s, or the other way round.

    CPU/request stands in if duets had unequal shares of the CPU and nothing else is wrong: costs do not depend on
    shares. Requests/s stands in if the host does not show CPU time: in a duet, one follows from the other.
    """
    rate, cost, total = (found.get(metric) for metric in (RATE, COST, _TOTAL))
    if rate is None or cost is None:
        return
    if attempt.only_shares and needs_stand_in(rate, cost):
        found[RATE] = let_stand_in(rate, f"{attempt.faults}; {METRICS[COST].title} {_STANDS_IN}")
    elif cost.verdict == "inconclusive" and not cost.blocks and _is_judged(rate):
        why = f"{cost.reason}; {METRICS[RATE].title} {_STANDS_IN}"
        found[COST] = cost.model_copy(update={"verdict": "measured", "reason": why})
        if total is not None:
            found[_TOTAL] = total.model_copy(update={"verdict": "measured", "reason": cost.reason})


def needs_stand_in(rate: Comparison, cost: Comparison) -> bool:
    """Whether requests/s are undecided, and CPU/request is not."""
    return rate.verdict == "inconclusive" and not _excludes_no_change(rate) and _is_judged(cost)


def let_stand_in(rate: Comparison, reason: str) -> Comparison:
    """Leave the verdict on requests/s to CPU/request, which stands in for it."""
    return rate.model_copy(update={"verdict": "measured", "blocks_wanted": None, "reason": reason})


def has_stand_in(rate: Comparison) -> bool:
    """Whether another metric stands in for requests/s."""
    return rate.verdict == "measured" and rate.reason.endswith(_STANDS_IN)


def _is_judged(c: Comparison) -> bool:
    return c.gate is not None and c.verdict != "inconclusive" and c.method in {"duet", "interleaved"}


def _excludes_no_change(c: Comparison) -> bool:
    return c.ci_low is not None and c.ci_high is not None and not c.ci_low <= 1 <= c.ci_high
