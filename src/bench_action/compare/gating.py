"""Judge a metric's blocks by its gate. Pure."""

import math
from dataclasses import dataclass

from bench_action.compare.evidence import Evidence
from bench_action.config.gates import RELEVANT, Gate
from bench_action.model.metric import METRICS
from bench_action.model.result import Verdict
from bench_action.model.wording import plural
from bench_action.stats.distributions import LARGEST_LOG, normal_below, normal_quantile
from bench_action.stats.interval import CONFIDENCE, LEAST_BLOCKS
from bench_action.stats.sequential import Course, Look, blocks_needed, look, smallest_detectable

UNCHANGED = 0.02  # a limit below this cannot be excluded in two minutes on a shared machine
_SHARES = (0.8, 0.9, 1.0)
_ONE_SIDED = (1 - CONFIDENCE) / 2  # what is called significant must not have an interval that includes no change


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ci_low` and `ci_high` bound head ÷ base at 99 %, `smallest_detectable` is a fraction; None: too few blocks.

    `verdict` is `measured` for a change that is certain and that the gate lets pass; `reason` says so, or why nothing
    was decided. `blocks_wanted`: how many blocks would decide what is inconclusive. `fires`: in which share of such
    runs the gate fires, for true changes of 0.8, 0.9 and 1.0 of itself.
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


def judge_losses(found: Evidence, course: Course, alpha: float, gate: Gate) -> Judgement:
    """Judge by the interim analysis that is due, `alpha` being that of all analyses of this metric."""
    seen = look(found.losses, course, alpha)
    if seen is None or seen.blocks < LEAST_BLOCKS:
        return _too_few(len(found.losses))
    higher = METRICS[found.metric].better == "higher"
    counts = RELEVANT[found.metric]
    level = min(seen.level, _ONE_SIDED)
    difference = abs(math.expm1(seen.mean)) * found.base
    half = seen.bound(1 - _ONE_SIDED)
    low, high = seen.mean - half, seen.mean + half
    significant = min(seen.worse, seen.better) <= level
    relevant = significant and difference >= counts.absolute and abs(seen.mean) >= math.log1p(counts.size)
    verdict: Verdict = "inconclusive"
    if seen.worse <= level and seen.mean >= _log(gate.size, higher=higher) and difference >= gate.absolute:
        verdict = "regressed"
    elif relevant and -seen.mean >= _log(counts.size, higher=not higher):
        verdict = "improved"
    elif _is_bounded(seen, found, gate, course, higher=higher):
        verdict = "unchanged" if low <= 0 <= high else "measured"
    if higher:
        low, high = -high, -low
    # what was left off because it was decided could have gone on; what ended with the time could not
    blocks = seen.blocks if course.ended else max(course.cap, seen.blocks)
    final = Course(max(course.cap, blocks), ended=True).level(blocks, alpha)
    return Judgement(
        verdict=verdict,
        blocks=seen.blocks,
        ratio=math.exp(-seen.mean if higher else seen.mean),
        ci_low=_exp(low),
        ci_high=_exp(high),
        smallest_detectable=smallest_detectable(seen.sd, blocks, final),
        significant=significant,
        relevant=relevant,
        blocks_wanted=_wanted(seen, gate, level, higher=higher) if verdict == "inconclusive" else None,
        fires=tuple(fires(gate.size, share, seen.sd / math.sqrt(blocks), min(final, _ONE_SIDED)) for share in _SHARES),
        reason=_allowed(found.metric, gate, worse=seen.mean > 0, relevant=relevant) if verdict == "measured" else "",
    )


def _too_few(blocks: int) -> Judgement:
    """Decide nothing: the interval of so few blocks would be wider than any change worth a verdict."""
    reason = f"only {plural(blocks, 'block')} could be measured, and a verdict needs at least {LEAST_BLOCKS}"
    return Judgement("inconclusive", blocks, None, None, None, None, significant=False, relevant=False, reason=reason)


def _allowed(metric: str, gate: Gate, *, worse: bool, relevant: bool) -> str:
    """Say why a change that is certain is no verdict."""
    if worse and relevant:
        absolute = f" and {gate.absolute:g} {METRICS[metric].unit}" if gate.absolute else ""
        return f"the loss is within the gate of {gate.size * 100:g} %{absolute}"
    return f"the {'loss' if worse else 'gain'} is too small to matter"


def fires(size: float, share: float, error: float, level: float) -> float:
    """How often a gate of `size` fires for a true change of `share` of it: the estimate must reach it and be sure.

    Normal law; `error` is that of the estimate, `level` the one-sided p-value that counts as sure.
    """
    threshold = max(math.log1p(size), normal_quantile(1 - level) * error)
    true = math.log1p(size * share)
    return normal_below((true - threshold) / error) if error > 0 else float(true >= threshold)


def _is_bounded(seen: Look, found: Evidence, gate: Gate, course: Course, *, higher: bool) -> bool:
    """Whether a loss that counts is ruled out; before the end also a gain, which more blocks may show."""
    bound, size = seen.bound(0.99), max(gate.size, UNCHANGED)
    worst, best = seen.mean + bound, seen.mean - bound
    small = math.expm1(min(worst, LARGEST_LOG)) * found.base < gate.absolute
    if worst >= _log(size, higher=higher) and not small:
        return False
    over = course.ended or seen.blocks >= course.cap
    return over or small or -best < _log(size, higher=not higher)


def _wanted(seen: Look, gate: Gate, level: float, *, higher: bool) -> int:
    """Blocks after which this would be decided, if the mean stays where it is."""
    limit = _log(max(gate.size, UNCHANGED), higher=higher)
    margin = _log(gate.size, higher=higher)
    # above the limit only an alarm can come of it, below the margin only "unchanged"; in between, whichever is nearer
    distance = max(seen.mean if seen.mean >= margin else 0.0, limit - seen.mean)
    return max(seen.blocks + 1, blocks_needed(seen.sd, distance, level))


def _log(size: float, *, higher: bool) -> float:
    """A relative change for the worse as a logarithm: 5 % less is a factor of 0.95, 5 % more one of 1.05."""
    return -math.log(max(1e-9, 1 - size)) if higher else math.log1p(size)


def _exp(value: float) -> float:
    return math.exp(min(value, LARGEST_LOG))
