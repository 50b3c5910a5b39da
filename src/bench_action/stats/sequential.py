"""A group sequential test: decide while blocks come in, with a bounded rate of false alarms.

A look is an interim analysis, planned before the first block. Testing at 1 % after every block raises far more than 1 %
of false alarms, so looks are few and each spends a part of the error (Lan and DeMets 1983, "Discrete sequential
boundaries for clinical trials", Biometrika 70): after a share t of the blocks, alpha · t^1.5 has been spent in total
(Kim and DeMets 1987, Biometrika 74, the power family), little early and most at the end. `levels.py` computes the
p-value that a look must not exceed. P-values are those of Student's t: the significance-level approach of Jennison and
Turnbull (2000, "Group Sequential Methods", 3.8).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_action.stats.distributions import (
    POWER,
    f_survival,
    find_detectable_change,
    normal_quantile,
    t_cdf,
    t_quantile,
)

ALPHA = 0.01  # of a run: for all false alarms of all its comparisons together
_FIRST_LOOK, _GROWTH = 5, 1.48
_SPENDING = 1.5


@dataclass(frozen=True, slots=True)
class Course:
    """The plan of a pair's blocks: at most `cap`; `ended` once no more will come."""

    cap: int
    ended: bool

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of blocks after which there is a look, in order; the last is the cap."""
        return plan_looks(self.cap)

    def reached(self, blocks: int) -> int:
        """Count the blocks to look at: all at the end, else those of the last look due; 0 before the first."""
        if self.ended or blocks >= self.cap:
            return blocks
        return max((look for look in self.looks if look <= blocks), default=0)

    def level(self, blocks: int, alpha: float) -> float:
        """Compute the one-sided p-value that a look after `blocks` must not exceed to be an alarm.

        `alpha` is that of all looks together.
        """
        from bench_action.stats.levels import nominal_levels  # noqa: PLC0415 (numpy: a run starts without waiting for it)

        last = self.ended or blocks >= self.cap
        earlier = [look for look in self.looks if look < blocks]
        spent = [alpha * (look / self.cap) ** _SPENDING for look in earlier]
        spent.append(alpha if last else alpha * (blocks / self.cap) ** _SPENDING)
        return nominal_levels(tuple(look / blocks for look in (*earlier, blocks)), tuple(spent))[-1]


def plan_looks(cap: int) -> tuple[int, ...]:
    """Plan looks after 5 blocks and then after half as many again each (× 1.48, rounded up), and always at the cap."""
    looks: list[int] = []
    look = _FIRST_LOOK
    while look < cap - 1:
        looks.append(look)
        look = math.ceil(look * _GROWTH)
    return (*looks, cap)


@dataclass(frozen=True, slots=True)
class Look:
    """The result of one interim analysis, after `blocks` blocks.

    `mean` and `sd` are those of the losses, logarithms that are above 0 if head is worse; `sd` is never below its known
    bound. `groups`: of how many groups of blocks, such as runners, each with its own mean, `sd` is pooled. `worse` and
    `better` are one-sided p-values, and `level` is the value that they must not exceed to be significant.
    """

    blocks: int
    mean: float
    sd: float
    worse: float
    better: float
    level: float
    groups: int = 1

    def bound(self, confidence: float) -> float:
        """Compute t(blocks − groups) · sd ÷ √blocks: how far the true mean is from the mean, on one side, at most."""
        if self.blocks <= self.groups:
            return math.inf
        return t_quantile(confidence, self.blocks - self.groups) * self.sd / math.sqrt(self.blocks)


def look(losses: Sequence[float], course: Course, alpha: float, least_sd: float = 0.0) -> Look | None:
    """Analyse the blocks of the look that is due; None before the first look, or with fewer than two blocks.

    `least_sd`: a lower bound of the standard deviation. Few losses may agree by chance, and Student's t, which allows
    for that, still makes most of its false alarms then; with a bound it makes fewer.
    """
    due = course.reached(len(losses))
    if due < 2:
        return None
    seen = losses[:due]
    mean, sd = fmean(seen), max(stdev(seen), least_sd)
    worse = _compute_p_value(mean, sd / math.sqrt(due), due - 1)
    return Look(due, mean, sd, worse, 1.0 - worse, course.level(due, alpha))


@dataclass(frozen=True, slots=True)
class Group:
    """The blocks of one runner: how many, and mean and standard deviation of their losses."""

    blocks: int
    mean: float
    sd: float


def pool(groups: Sequence[Group], level: float) -> Look | None:
    """Analyse the blocks of several runners together, each with its own mean; None with too few blocks.

    A stratified test: the mean of all blocks, and the standard deviation within groups, with as many degrees of freedom
    as blocks minus groups. What differs between runners adds no noise. `level`: of the only look that there is.
    """
    blocks = sum(group.blocks for group in groups)
    degrees = blocks - len(groups)
    if degrees < 1:
        return None
    mean = sum(group.blocks * group.mean for group in groups) / blocks
    sd = math.sqrt(sum((group.blocks - 1) * group.sd**2 for group in groups) / degrees)
    worse = _compute_p_value(mean, sd / math.sqrt(blocks), degrees)
    return Look(blocks, mean, sd, worse, 1.0 - worse, level, len(groups))


def compute_agreement(groups: Sequence[Group]) -> float:
    """Compute how likely means differ at least as much if all groups have the same: the p-value of an F test.

    F = Σ nᵢ · (mᵢ − m)² ÷ (k − 1) ÷ sd² with k − 1 and n − k degrees of freedom (one-way analysis of variance).
    """
    seen = pool(groups, 1.0)
    if seen is None or len(groups) < 2 or seen.sd == 0:
        return 1.0
    between = sum(group.blocks * (group.mean - seen.mean) ** 2 for group in groups) / (len(groups) - 1)
    return f_survival(between / seen.sd**2, len(groups) - 1, seen.blocks - len(groups))


def _compute_p_value(mean: float, error: float, degrees: int) -> float:
    """Compute how likely a mean at least so large is if there is no loss: P(T ≥ mean ÷ error)."""
    if error > 0:
        return t_cdf(-mean / error, degrees)
    return 0.5 if mean == 0 else float(mean < 0)


def smallest_detectable(sd: float, blocks: int, level: float, groups: int = 1) -> float:
    """Compute the change, as a fraction, that `blocks` blocks find in 95 of 100 runs at a one-sided `level`.

    `sd` is the standard deviation of a block's loss, pooled over `groups`; infinite with too few blocks.
    """
    degrees = blocks - groups
    if degrees < 1:
        return math.inf
    return find_detectable_change(sd / math.sqrt(blocks), degrees, t_quantile(1 - level, degrees))


def count_blocks(sd: float, distance: float, level: float) -> int:
    """Estimate how many blocks tell a change from a limit in 95 of 100 runs; at most 10,000.

    ((z(1 − level) + z(0.95)) · sd ÷ distance)² + 2, with `distance` the difference of the two as logarithms.
    """
    if distance <= 0:
        return 10_000
    wanted = (normal_quantile(1 - level) + normal_quantile(POWER)) * sd / distance
    return min(10_000, math.ceil(wanted**2) + 2)  # + 2: t instead of z
