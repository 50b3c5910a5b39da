"""Find out where the noise of paired blocks comes from, and choose how long to measure after each restart.

A block is a nested sample: both subjects are restarted once, and then loaded for m slices of s seconds each. The loss
of slice j after restart k (a logarithm, see `sequential.py`) is

    y_kj = δ + a_k + e_kj,    Var(a_k) = R,    Var(e_kj) = v(s) = S · (1 + q ÷ s) ÷ s,

a one-way random-effects model. δ is the true loss. a_k is what makes two processes of the same code differ from the
moment they start. e_kj is the noise of measuring, which averages out over seconds; q seconds stand for the two ends of
a slice: wrk ends at a tenth of a second that differs between base and head, and requests are under way. The restart is
the sample, so the degrees of freedom of a test are those of restarts, and a block's value has the variance
V = R + v(s) ÷ m.

**One slice after each restart.** m slices of s seconds have the variance R + S · (1 + q ÷ s) ÷ (m · s); one of m · s
seconds has less, R + S · (1 + q ÷ (m · s)) ÷ (m · s), and takes less time, as there is only one slice to begin and end.
So only s is chosen.

**Estimating R and S.** While wrk runs, its replies and the CPU time are read at intervals of u seconds, so that a slice
has parts without being interrupted. A part has ends like a slice, as requests are under way at a reading, too. From K
blocks with the values Y_k, and the losses y_kj of their p parts (Searle, Casella and McCulloch 1992, "Variance
Components", 3.5):

    within  = Σ_k Σ_j (y_kj − ȳ_k)² ÷ (K · (p − 1))     with the expected value v(u)
    between = Σ_k (Y_k − Ȳ)² ÷ (K − 1)                  with the expected value R + v(s) = v(s) · φ

For normal noise, log between − log within has the variance ψ((K − 1) ÷ 2) + ψ(K · (p − 1) ÷ 2), ψ being the trigamma
function: a standard deviation of 1.4 with three blocks, which means little. So log φ is shrunk towards its usual value,
both weighted by their precision, before it is truncated at 0 (R cannot be negative).

**Choosing s.** A block takes c + s seconds, c for restart, warm-up and all else that measures nothing. The K blocks
that fit have a mean whose interval has the half-width t(K − 1) · √(Σ V_k) ÷ K. The choice makes it as narrow as
possible: V per second of measuring, and the price of few degrees of freedom.

**Why the error rates stand.** Within, between and the costs do not depend on δ, and for normal noise the mean of the
first blocks is independent of both mean squares; so the choice carries nothing about the difference of base and head.
Later blocks may have another variance than the first ones. Blocks keep equal weights: with variances V_k, the usual
estimate of the variance of the mean still has the expected value Σ V_k ÷ K², which is that variance, and a t test of
normal values with unequal variances errs on the safe side (Benjamini 1983, J. Am. Stat. Assoc. 78). Weights by
estimated variances would gain a few percent, and lose that. `tests/unit/stats/test_nested.py` counts error rates and
power.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from bench_action.stats.distributions import log_mean_square, log_mean_square_variance, t_quantile
from bench_action.stats.interval import CONFIDENCE, LEAST_BLOCKS

_ENDS_S = 1.6  # q
_SPREAD = 1.0  # sd of log φ between applications and machines


@dataclass(frozen=True, slots=True)
class Noise:
    """Variances of a loss, a logarithm: R, which a restart adds, and S, which a second of measuring adds."""

    restart: float
    second: float

    def slice(self, slice_s: float) -> float:
        """Compute v(s), what a slice adds."""
        return self.second * (1 + _ENDS_S / slice_s) / slice_s

    def block(self, slice_s: float) -> float:
        """Compute V, the variance of the value of a block."""
        return self.restart + self.slice(slice_s)

    def restart_share(self, slice_s: float) -> float:
        """Compute the restart's share of V."""
        total = self.block(slice_s)
        return self.restart / total if total > 0 else 0.0


# recorded on a shared virtual machine (docs/how-it-decides.md, "Restarts and slices")
USUAL = Noise(restart=0.0105**2, second=0.0155**2)


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean squares of one metric over the same blocks, and their degrees of freedom."""

    between: float
    between_free: int
    within: float
    within_free: int


def measure_spread(values: Sequence[float], parts: Sequence[Sequence[float]]) -> Spread | None:
    """Compute the mean squares of blocks: their values, and the losses of their parts; all are logarithms.

    None if there are fewer than two blocks, or no parts to compare.
    """
    within, within_free = _pool_within(parts)
    if len(values) < 2 or not within_free:
        return None
    return Spread(variance(values), len(values) - 1, within, within_free)


def bound_sd(parts: Sequence[Sequence[float]], part_s: float, slice_s: float) -> float:
    """Compute √v(slice_s), below which the standard deviation of a block cannot be, from the losses of parts.

    `part_s`: how many seconds a part lasts. 0.0 without parts to compare.
    """
    within, _ = _pool_within(parts)
    return math.sqrt(within * USUAL.slice(slice_s) / USUAL.slice(part_s))


def _pool_within(parts: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Compute the mean square of parts within their blocks, and its degrees of freedom; both are 0 without any."""
    blocks = [block for block in parts if len(block) > 1]
    free = sum(len(block) - 1 for block in blocks)
    squares = sum((len(block) - 1) * variance(block) for block in blocks)
    return (squares / free, free) if free else (0.0, 0)


def estimate_noise(spreads: Sequence[Spread], slice_s: float, part_s: float) -> Noise:
    """Estimate both variances from blocks with slices of `slice_s` seconds and parts of `part_s` seconds.

    `spreads` are those of several metrics over the same blocks. They are averaged, so that the choice minimises the sum
    of their variances, and share their noise, so they have the degrees of freedom of one. Without any: `USUAL`.
    """
    if not spreads or not all(spread.between > 0 and spread.within > 0 for spread in spreads):
        return USUAL
    between, within = fmean(s.between for s in spreads), fmean(s.within for s in spreads)
    free = min(s.between_free for s in spreads), min(s.within_free for s in spreads)
    unit = USUAL.slice(slice_s) / USUAL.slice(part_s)
    found = math.log(between / (within * unit)) - log_mean_square(free[0]) + log_mean_square(free[1])
    usual = math.log(USUAL.block(slice_s) / USUAL.slice(slice_s))
    weights = 1 / (log_mean_square_variance(free[0]) + log_mean_square_variance(free[1])), 1 / _SPREAD**2
    ratio = math.exp(max(0.0, (weights[0] * found + weights[1] * usual) / sum(weights)))
    slices = (free[1] * within * unit + free[0] * between / ratio) / sum(free)
    return Noise(restart=(ratio - 1) * slices, second=slices / Noise(0.0, 1.0).slice(slice_s))


def choose_slice(
    noise: Noise, cost_s: float, lengths: Sequence[int], seconds: float, measured: Sequence[float] = ()
) -> int:
    """Choose the length of a slice, in seconds, with which the mean has the narrowest interval after `seconds`.

    `cost_s`: what a block takes beyond its slice. `lengths`: what may be chosen. `measured`: the lengths of the slices
    of blocks that were measured before those seconds. If no length gives enough blocks for a verdict, the shortest.
    """

    def width(length: int) -> float:
        added = int(max(0.0, seconds) / (cost_s + length))
        blocks = len(measured) + added
        if blocks < LEAST_BLOCKS:
            return math.inf
        total = sum(map(noise.block, measured)) + added * noise.block(length)
        return t_quantile((1 + CONFIDENCE) / 2, blocks - 1) * math.sqrt(total) / blocks

    return min(sorted(lengths), key=width)
