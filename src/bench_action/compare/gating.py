"""Judge the losses of a metric by its gate. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bench_action.compare.evidence import Evidence
from bench_action.config.gates import RELEVANT, Gate
from bench_action.model.metric import METRICS
from bench_action.model.result import SequentialTest, Verdict
from bench_action.model.wording import percent, plural
from bench_action.stats.distributions import LARGEST_LOG, normal_cdf, normal_quantile
from bench_action.stats.interval import CONFIDENCE, LEAST_BLOCKS
from bench_action.stats.sequential import Course, Look, count_blocks, look, smallest_detectable

UNCHANGED = 0.02  # a limit below this cannot be excluded in two minutes on a shared machine
UNCONFIRMED: Mapping[Verdict, Verdict] = {"regressed": "inconclusive", "improved": "measured"}  # of requests/s
_SHARES = (0.8, 0.9, 1.0)
ONE_SIDED = (1 - CONFIDENCE) / 2  # so that the interval of a significant change never includes "no change"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the blocks of a pair say about one metric.

    `ratio` is head ÷ base, `ci_low` and `ci_high` bound it at 99 %, and `smallest_detectable` is a fraction; all are
    None with too few blocks. `verdict` is `measured` if the change is certain but within the gate, or too small to
    matter; `reason` says which, or why there is no verdict. `blocks_wanted`: how many blocks would decide an
    inconclusive comparison. `fires`: the share of such runs in which the gate fires, for true losses of 0.8, 0.9 and
    1.0 times the gate, or its absolute limit, whichever is larger.
    """

    verdict: Verdict
    blocks: int
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    smallest_detectable: float | None
    significant: bool
    relevant: bool
    blocks_wanted: int | None = None
    fires: tuple[float, ...] | None = None
    reason: str = ""
    test: SequentialTest | None = None


def judge_losses(evidence: Evidence, course: Course, alpha: float, gate: Gate) -> Judgement:
    """Judge by the look that is due, `alpha` being that of all looks at this metric."""
    seen = look(evidence.losses, course, alpha, evidence.least_sd)
    if seen is None or seen.blocks < LEAST_BLOCKS:
        return _decline(len(evidence.losses))
    return judge_look(seen, evidence, course, alpha, gate)


def judge_look(seen: Look, evidence: Evidence, course: Course, alpha: float, gate: Gate) -> Judgement:
    """Judge by a look, which may be at the blocks of several runners. `evidence`: of the metric and its values."""
    higher = METRICS[evidence.metric].better == "higher"
    level = min(seen.level, ONE_SIDED)
    significant = min(seen.worse, seen.better) <= level
    relevant = significant and _matters(seen, evidence)
    size = _find_size(gate, evidence.base)
    verdict = _decide(seen, evidence.metric, course, size, relevant=relevant)
    half = seen.bound(1 - ONE_SIDED)
    low, high = sorted(-bound if higher else bound for bound in (seen.mean - half, seen.mean + half))
    # a pair that was decided early could have gone on to its cap; one that ran out of time could not
    blocks = seen.blocks if course.ended else max(course.cap, seen.blocks)
    is_last = course.ended or seen.blocks >= course.cap
    final = seen.level if is_last else Course(blocks, ended=True).level(blocks, alpha)
    error, sure = seen.sd / math.sqrt(blocks), min(final, ONE_SIDED)
    return Judgement(
        verdict=verdict,
        blocks=seen.blocks,
        ratio=math.exp(-seen.mean if higher else seen.mean),
        ci_low=_exp(low),
        ci_high=_exp(high),
        smallest_detectable=smallest_detectable(seen.sd, blocks, sure, seen.groups),
        significant=significant,
        relevant=relevant,
        blocks_wanted=_count_wanted_blocks(seen, size, level, higher=higher) if verdict == "inconclusive" else None,
        fires=tuple(estimate_firing_rate(size, share, error, sure, higher=higher) for share in _SHARES),
        reason=_explain_pass(seen, evidence, gate, relevant=relevant) if verdict == "measured" else "",
        test=SequentialTest(
            alpha=alpha,
            planned_blocks=course.cap,
            last=is_last,
            sd=seen.sd,
            level=level,
            level_at_end=sure,
            p_worse=seen.worse,
            p_better=seen.better,
        ),
    )


class Tested(Protocol):
    """What a test of a metric found."""

    @property
    def significant(self) -> bool:
        """Whether base and head differ."""

    @property
    def ratio(self) -> float | None:
        """That of head to base."""

    @property
    def blocks(self) -> int:
        """How many blocks have the metric, also if they are too few for a test; 0 if none has."""


def confirms(cost: Tested, rate: Tested) -> bool:
    """Whether CPU/request shows the change that requests/s shows in the same duets, if it shows one.

    While both subjects share a busy CPU, one follows from the other, so the two have one alpha (`split_alpha`).
    If no block has CPU/request, requests/s has it alone. While some have, but too few for a test, nothing is confirmed.
    """
    if not rate.significant or not cost.blocks:
        return True
    return cost.significant and ((cost.ratio or 1.0) > 1) == ((rate.ratio or 1.0) < 1)


def _matters(seen: Look, evidence: Evidence) -> bool:
    """Whether a change is large enough to matter to a reader, with any gate or none."""
    return is_large(evidence.metric, seen.mean, _difference(seen, evidence))


def is_large(metric: str, log_ratio: float, difference: float) -> bool:
    """Whether a change of a metric would matter to a reader, were it certain. `difference`: in the metric's unit."""
    limit = RELEVANT[metric]
    return abs(difference) >= limit.absolute and abs(log_ratio) >= math.log1p(limit.size)


def _find_size(gate: Gate, base: float) -> float:
    """Find from which relative change on a loss counts: the gate's own limit, or its absolute one if that is more."""
    return max(gate.size, gate.absolute / base if base else 0.0)


def _decide(seen: Look, metric: str, course: Course, size: float, *, relevant: bool) -> Verdict:
    """Decide by the rules of docs/how-it-decides.md, "Verdicts and gates". `size`: from which on a loss counts."""
    higher, level = METRICS[metric].better == "higher", min(seen.level, ONE_SIDED)
    is_broken = seen.mean >= _log(size, higher=higher)
    if seen.worse <= level and is_broken:
        return "regressed"
    if relevant and -seen.mean >= _log(RELEVANT[metric].size, higher=not higher):
        return "improved"
    if not _is_bounded(seen, size, course, higher=higher):
        return "inconclusive"
    if abs(seen.mean) <= seen.bound(1 - ONE_SIDED):
        return "unchanged"
    return "inconclusive" if is_broken else "measured"  # too likely for "unchanged", too uncertain for an alarm


def _decline(blocks: int) -> Judgement:
    """Decide nothing: the interval of so few blocks would be wider than any change worth a verdict."""
    reason = f"only {plural(blocks, 'block')} could be measured, but a verdict needs {LEAST_BLOCKS}"
    if blocks >= LEAST_BLOCKS:
        reason = f"the pair had been decided when {plural(blocks, 'block')} of it counted, before the first look"
    return Judgement("inconclusive", blocks, None, None, None, None, significant=False, relevant=False, reason=reason)


def _explain_pass(seen: Look, evidence: Evidence, gate: Gate, *, relevant: bool) -> str:
    """Say why a change whose interval excludes "no change" does not break the gate."""
    what = "loss" if seen.mean > 0 else "gain"
    if seen.mean > 0 and relevant:
        absolute = f" and {gate.absolute:g} {METRICS[evidence.metric].unit}" if gate.absolute else ""
        return f"the loss is within the gate of {percent(gate.size, exact=True)}{absolute}"
    if not relevant and is_large(evidence.metric, seen.mean, _difference(seen, evidence)):
        return f"the {what} is less certain than this metric's share of the run's 1 % of false alarms demands"
    return f"the {what} is too small to matter"


def estimate_firing_rate(size: float, share: float, error: float, level: float, *, higher: bool) -> float:
    """Estimate how often a gate of `size` fires for a true loss of `share · size`.

    It fires if the estimated loss reaches the gate and is significant: P(X ≥ max(ln(1 + size), z(1 − level) · error))
    for a normal X with mean ln(1 + share · size) and standard deviation `error`. `higher`: more is better, so that
    losses are −ln(1 − size) and −ln(1 − share · size). `level` is a one-sided p-value.
    """
    threshold = max(_log(size, higher=higher), normal_quantile(1 - level) * error)
    true = _log(size * share, higher=higher)
    return normal_cdf((true - threshold) / error) if error > 0 else float(true >= threshold)


def _difference(seen: Look, evidence: Evidence) -> float:
    """Convert the mean loss to the metric's unit."""
    ratio = -seen.mean if METRICS[evidence.metric].better == "higher" else seen.mean  # its logarithm
    return abs(math.expm1(min(ratio, LARGEST_LOG))) * evidence.base


def _is_bounded(seen: Look, size: float, course: Course, *, higher: bool) -> bool:
    """Whether a loss that counts is ruled out and, before the end, any change that more blocks may well show."""
    bound, limit = seen.bound(0.99), max(size, UNCHANGED)
    worst, best = seen.mean + bound, seen.mean - bound
    if worst >= _log(limit, higher=higher):
        return False
    if course.ended or seen.blocks >= course.cap:
        return True
    near = seen.mean + seen.sd / math.sqrt(seen.blocks)  # more blocks may well show a loss that breaks a fine gate
    return -best < _log(limit, higher=not higher) and near < _log(size, higher=higher)


def _count_wanted_blocks(seen: Look, size: float, level: float, *, higher: bool) -> int:
    """Estimate after how many blocks there would be a verdict if the mean did not change."""
    limit = _log(max(size, UNCHANGED), higher=higher)
    margin = _log(size, higher=higher)
    # above the limit only an alarm can come of it, below the margin only "unchanged"; in between, the nearer of the two
    distance = max(seen.mean if seen.mean >= margin else 0.0, limit - seen.mean)
    return max(seen.blocks + 1, count_blocks(seen.sd, distance, level))


def _log(size: float, *, higher: bool) -> float:
    """Convert a relative change for the worse to a logarithm: 5 % less is a factor of 0.95, 5 % more one of 1.05."""
    return -math.log(max(1e-9, 1 - size)) if higher else math.log1p(size)


def _exp(value: float) -> float:
    return math.exp(min(value, LARGEST_LOG))
