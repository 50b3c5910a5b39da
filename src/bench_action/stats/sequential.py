"""Deciding while blocks come in: how often one may look, and what a look must show.

Whoever tests at 1 % after every block raises far more than 1 % of false alarms. So the looks are few, and each may
spend a part of the error (Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials", Biometrika 70):
after a share t of the blocks, alpha · t^1.5 has been spent in all (Kim and DeMets 1987, Biometrika 74, the power
family), little early, most at the end. Which p-value a look may take for an alarm is told by `levels.py`.
The p-values are those of Student's t: the significance-level approach of Jennison and Turnbull (2000, "Group Sequential
Methods", 3.8).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_action.stats.distributions import POWER, detectable, normal_quantile, t_below, t_quantile

ALPHA = 0.01  # of a run: all false alarms of all its comparisons together
_FIRST_LOOK, _GROWTH = 5, 1.48
_SPENDING = 1.5


@dataclass(frozen=True, slots=True)
class Course:
    """How a pair's blocks were planned: `cap` blocks at most; `ended` once no further one will come."""

    cap: int
    ended: bool

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many blocks one looks, the last at the cap; each half as many again as the one before."""
        return looks_of(self.cap)

    def reached(self, blocks: int) -> int:
        """How many of `blocks` may be looked at: all at the end, else those of the last look due; 0 for none."""
        if self.ended or blocks >= self.cap:
            return blocks
        return max((look for look in self.looks if look <= blocks), default=0)

    def level(self, blocks: int, alpha: float) -> float:
        """The one-sided p-value below which a look after `blocks` is an alarm, `alpha` being that of all looks."""
        from bench_action.stats.levels import nominal_levels  # noqa: PLC0415 (numpy: a run's start need not wait for it)

        last = self.ended or blocks >= self.cap
        earlier = [look for look in self.looks if look < blocks]
        spent = [alpha * (look / self.cap) ** _SPENDING for look in earlier]
        spent.append(alpha if last else alpha * (blocks / self.cap) ** _SPENDING)
        return nominal_levels(tuple(look / blocks for look in (*earlier, blocks)), tuple(spent))[-1]


def looks_of(cap: int) -> tuple[int, ...]:
    """Numbers of blocks: from 5 on, growing by half, and always the cap."""
    looks: list[int] = []
    look = _FIRST_LOOK
    while look < cap - 1:
        looks.append(look)
        look = math.ceil(look * _GROWTH)
    return (*looks, cap)


@dataclass(frozen=True, slots=True)
class Look:
    """What `blocks` blocks say. All sizes are logarithms of a ratio, above 0 where head is worse.

    `worse` and `better` are one-sided p-values, `level` what they must not exceed to count.
    """

    blocks: int
    mean: float
    sd: float
    worse: float
    better: float
    level: float

    def bound(self, confidence: float) -> float:
        """The distance from the mean within which the truth lies with this confidence, on one side."""
        if self.blocks < 2:
            return math.inf
        return t_quantile(confidence, self.blocks - 1) * self.sd / math.sqrt(self.blocks)


def look(losses: Sequence[float], course: Course, alpha: float) -> Look | None:
    """The look that is due after these blocks; None where there is none, or fewer than two blocks."""
    due = course.reached(len(losses))
    if due < 2:
        return None
    seen = losses[:due]
    mean, sd = fmean(seen), stdev(seen)
    worse = _p_value(mean, sd / math.sqrt(due), due - 1)
    return Look(due, mean, sd, worse, 1.0 - worse, course.level(due, alpha))


def _p_value(mean: float, error: float, degrees: int) -> float:
    """How likely a mean at least so large is where the truth is no loss."""
    if error > 0:
        return t_below(-mean / error, degrees)
    return 0.5 if mean == 0 else float(mean < 0)


def smallest_detectable(sd: float, blocks: int, level: float) -> float:
    """The change that `blocks` blocks with this sd find in 95 of 100 runs at this one-sided level, as a fraction."""
    if blocks < 2:
        return math.inf
    return detectable(sd / math.sqrt(blocks), blocks - 1, t_quantile(1 - level, blocks - 1))


def blocks_needed(sd: float, distance: float, level: float) -> int:
    """How many blocks tell a change from a limit that is `distance` (a logarithm) away, 95 times of 100."""
    if distance <= 0:
        return 10_000
    wanted = (normal_quantile(1 - level) + normal_quantile(POWER)) * sd / distance
    return min(10_000, math.ceil(wanted**2) + 2)  # + 2: t instead of z
