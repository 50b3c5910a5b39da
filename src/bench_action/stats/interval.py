"""Intervals from a few blocks: Student's t on logarithms, because what noise does to speed is a factor.

Percentile bootstrap is not used: with few blocks it raises false alarms from 1 % to 2.6 % and more (facts:
measurement, "Rules on the same recordings").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_action.stats.distributions import LARGEST_LOG, detectable, t_quantile

CONFIDENCE = 0.99
LEAST_BLOCKS = 4  # with fewer, Student's t leaves open more than any change that matters: no size, no verdict


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds that hold the typical value with the confidence asked for."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """head ÷ base over blocks: geometric mean, its interval, and the smallest change that would have been found.

    `smallest_detectable` is a fraction (0.016 = 1.6 %): it would be significant in 95 of 100 such runs. None for fewer
    than `LEAST_BLOCKS` blocks.
    """

    base: float
    head: float
    ratio: float
    interval: Interval | None
    smallest_detectable: float | None


def estimate_mean(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Interval of the typical value of `values` (one a block); None for fewer than two.

    On logarithms where all values are positive, else plain and not below 0: error rates and counts may be 0.
    """
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return Interval(values[0], values[0])
    if min(values) > 0:
        logs = [math.log(value) for value in values]
        return _bounds(fmean(logs), t_quantile((1 + confidence) / 2, len(logs) - 1) * _standard_error(logs))
    middle, half = fmean(values), t_quantile((1 + confidence) / 2, len(values) - 1) * _standard_error(values)
    return Interval(max(0.0, middle - half), middle + half)


def estimate_ratio(base: Sequence[float], head: Sequence[float], confidence: float = CONFIDENCE) -> Ratio | None:
    """Head ÷ base from pairs of the same block. None where there is no pair, or a value that is not positive."""
    if not base or len(base) != len(head) or min(*base, *head) <= 0:
        return None
    logs = [math.log(h) - math.log(b) for b, h in zip(base, head, strict=True)]
    base_value, head_value = _geometric_mean(base), _geometric_mean(head)
    middle = fmean(logs)
    if len(logs) < 2:
        return Ratio(base_value, head_value, math.exp(middle), None, None)
    error, critical = _standard_error(logs), t_quantile((1 + confidence) / 2, len(logs) - 1)
    smallest = detectable(error, len(logs) - 1, critical) if len(logs) >= LEAST_BLOCKS else None
    return Ratio(base_value, head_value, math.exp(middle), _bounds(middle, critical * error), smallest)


def estimate_unpaired_ratio(
    base: Sequence[float], head: Sequence[float], confidence: float = CONFIDENCE
) -> Ratio | None:
    """Head ÷ base from blocks that have nothing to do with each other: Welch's t on logarithms.

    None where there is no value, or one that is not positive. What differs between two occasions and is the same for
    all blocks of one (another machine's mood) is not in the interval. Source: Welch 1947, Satterthwaite's degrees.
    """
    if not base or not head or min(*base, *head) <= 0:
        return None
    before, after = ([math.log(value) for value in values] for values in (base, head))
    middle = fmean(after) - fmean(before)
    values = _geometric_mean(base), _geometric_mean(head), math.exp(middle)
    if len(base) < 2 or len(head) < 2:
        return Ratio(*values, None, None)
    parts = [stdev(logs) ** 2 / len(logs) for logs in (before, after)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Ratio(*values, Interval(values[2], values[2]), 0.0)
    degrees = error**4 / sum(part**2 / (len(logs) - 1) for part, logs in zip(parts, (before, after), strict=True))
    critical = t_quantile((1 + confidence) / 2, degrees)
    smallest = detectable(error, degrees, critical) if min(len(base), len(head)) >= LEAST_BLOCKS else None
    return Ratio(*values, _bounds(middle, critical * error), smallest)


def _bounds(middle: float, half: float) -> Interval:
    """`middle` ± `half`, both logarithms."""
    return Interval(math.exp(middle - half), math.exp(min(middle + half, LARGEST_LOG)))


def _standard_error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values))


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(fmean(math.log(value) for value in values))
