"""What a metric's blocks and its gate make a verdict. Pure."""

import math
from dataclasses import dataclass

from bench_action.config.gates import Gate
from bench_action.model.metric import METRICS
from bench_action.model.result import Verdict
from bench_action.paired import Evidence
from bench_action.stats.distributions import LARGEST_LOG, normal_below, normal_quantile
from bench_action.stats.interval import CONFIDENCE
from bench_action.stats.sequential import Course, Look, blocks_needed, look, smallest_detectable

UNCHANGED = 0.02  # nobody is told "unchanged" of less than could be seen in two minutes on a shared machine
RELEVANT = 0.01
_SHARES = (0.8, 0.9, 1.0)
_ONE_SIDED = (1 - CONFIDENCE) / 2  # what is called significant must not have an interval that includes no change


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ci_low` and `ci_high` bound head ÷ base at 99 %, `smallest_detectable` is a fraction; None: too few blocks.

    `blocks_wanted`: how many blocks would decide what is inconclusive. `fires`: in which share of such runs the gate
    fires, for true changes of 0.8, 0.9 and 1.0 of itself.
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


def judge_losses(found: Evidence, course: Course, alpha: float, gate: Gate) -> Judgement:
    """The verdict of the look that is due, `alpha` being that of all looks at this metric."""
    seen = look(found.losses, course, alpha)
    if seen is None:
        return Judgement("inconclusive", len(found.losses), None, None, None, None, significant=False, relevant=False)
    higher = METRICS[found.metric].better == "higher"
    level = min(seen.level, _ONE_SIDED)
    difference = abs(math.expm1(seen.mean)) * found.base
    margin = _log(gate.size, higher=higher)
    significant = min(seen.worse, seen.better) <= level
    enough = difference >= gate.absolute
    verdict: Verdict = "inconclusive"
    if seen.worse <= level and seen.mean >= margin and enough:
        verdict = "regressed"
    elif seen.better <= level and -seen.mean >= _log(max(gate.size, RELEVANT), higher=not higher) and enough:
        verdict = "improved"
    elif _is_unchanged(seen, found, gate, course, higher=higher):
        verdict = "unchanged"
    half = seen.bound(1 - _ONE_SIDED)
    low, high = seen.mean - half, seen.mean + half
    if higher:
        low, high = -high, -low
    # what was left off because it was decided could have gone on; what ended with the time could not
    blocks = seen.blocks if course.ended else max(course.cap, seen.blocks)
    final = Course(max(course.cap, blocks), ended=True).level(blocks, alpha)
    detectable = smallest_detectable(seen.sd, blocks, final)
    return Judgement(
        verdict=verdict, blocks=seen.blocks, ratio=math.exp(-seen.mean if higher else seen.mean),
        ci_low=_exp(low), ci_high=_exp(high), smallest_detectable=detectable, significant=significant,
        relevant=significant and abs(seen.mean) >= math.log1p(RELEVANT) and enough,
        blocks_wanted=_wanted(seen, gate, level, higher=higher) if verdict == "inconclusive" else None,
        fires=tuple(fires(gate.size, share, seen.sd / math.sqrt(blocks), min(final, _ONE_SIDED)) for share in _SHARES),
    )  # fmt: skip


def fires(size: float, share: float, error: float, level: float) -> float:
    """How often a gate of `size` fires for a true change of `share` of it: the estimate must reach it and be sure.

    Normal law; `error` is that of the estimate, `level` the one-sided p-value that counts as sure.
    """
    threshold = max(math.log1p(size), normal_quantile(1 - level) * error)
    true = math.log1p(size * share)
    return normal_below((true - threshold) / error) if error > 0 else float(true >= threshold)


def _is_unchanged(seen: Look, found: Evidence, gate: Gate, course: Course, *, higher: bool) -> bool:
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
