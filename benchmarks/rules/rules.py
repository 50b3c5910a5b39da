"""The rules by which other tools call something a regression, as pure functions.

From the tools' own sources and issue threads, as of November 2026. Each returns whether the tool would raise an alarm.
If a tool compares times per request, the inverse of requests/s stands for them: time_head ÷ time_base is
rate_base ÷ rate_head.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import mannwhitneyu, ttest_ind  # codespell:ignore ttest

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Side:
    """One revision's runs in the order in which they were measured: requests/s, and p50 in µs."""

    rates: Values
    p50s_us: Values

    def slowed(self, effect: float) -> "Side":
        """Make each request take longer by this share; with a fixed number of connections, p50 follows."""
        return Side(self.rates / (1 + effect), self.p50s_us * (1 + effect))


Rule = Callable[[Side, Side], bool]


def slower_by(limit: float) -> Rule:
    """github-action-benchmark: h ÷ b > `alert-threshold`, 200 % by default; b is the newest stored run."""
    return lambda base, head: bool(base.rates.mean() / head.rates.mean() > limit)


def bencher_t_test(history: Side, head: Side) -> bool:
    """Bencher, `t_test` with boundary 0.99: beyond mean ∓ t(0.99, n − 1) · s · √(1 + 1/n) of the n stored runs."""
    n = len(history.rates)
    reach = float(stdtrit(n - 1, 0.99)) * history.rates.std(ddof=1) * math.sqrt(1 + 1 / n)
    return bool(head.rates.mean() < history.rates.mean() - reach)


def codspeed(base: Side, head: Side) -> bool:
    """CodSpeed: fails if b ÷ h − 1 of times is below −10 %."""
    return bool(head.rates.mean() / base.rates.mean() - 1 < -0.10)


def asv_continuous(base: Side, head: Side) -> bool:
    """asv continuous: medians differ by a factor over 1.1, and Mann-Whitney two-sided p < 0.002.

    Needs ten values for each side: with five, p < 0.002 is impossible, and asv compares intervals instead.
    """
    if np.median(base.rates) <= 1.1 * np.median(head.rates):
        return False
    return bool(mannwhitneyu(base.rates, head.rates, method="exact").pvalue < 0.002)


def postgrest(base: Side, head: Side) -> bool:
    """PostgREST's workflow: one run of 60 s each, head last; fails if p50 rises by at least 5 %."""
    return bool(head.p50s_us[0] / base.p50s_us[0] - 1 >= 0.05)


def autocannon_compare(base: Side, head: Side) -> bool:
    """autocannon-compare: Welch's t at 0.10, and a change above 5 %."""
    return bool(head.rates.mean() / base.rates.mean() - 1 < -0.05) and _welch(base, head) < 0.10


def node(base: Side, head: Side) -> bool:
    """Node.js, benchmark/compare.R: Welch's t at 0.05; counted here if head is the slower one."""
    return bool(head.rates.mean() < base.rates.mean()) and _welch(base, head) < 0.05


def react_on_rails(base: Side, head: Side) -> bool:
    """react_on_rails' workflow, three runs each: −25 % requests/s or +25 % p50, if the ranges are disjoint."""
    rate = head.rates.mean() <= 0.75 * base.rates.mean() and head.rates.max() < base.rates.min()
    p50 = head.p50s_us.mean() >= 1.25 * base.p50s_us.mean() and head.p50s_us.min() > base.p50s_us.max()
    return bool(rate or p50)


def php_judy_like(base: Side, head: Side) -> bool:
    """php-judy's gate, five ABBA rounds: the whole 95 % bootstrap interval of the median ratio is beyond 10 %.

    The median of five drawn values is the least of them in 5.8 % of draws, so the 95 % interval is their range. If it
    exceeds 30 % of the median, taken here for its "unstable", there is no alarm for any effect. Its correction for
    run-wide drift is left out, as it needs other benchmarks.
    """
    ratios = _abba(base, head)
    unstable = np.ptp(ratios) / np.median(ratios) > 0.30
    return bool(ratios.min() > 1.10 and not unstable)


def reth_like(base: Side, head: Side) -> bool:
    """reth's comparison, four ABBA pairings: all of one sign, and the mean change above 4.5 standard errors.

    It takes the larger of that and a bootstrap's 95 % half-width, which is always the smaller one with four values.
    """
    changes = _abba(base, head) - 1
    error = changes.std(ddof=1) / math.sqrt(len(changes))
    return bool(changes.min() > 0 and changes.mean() > 4.5 * error)


def paired_t(base: Side, head: Side) -> bool:
    """No tool's rule: Student's t on ln(base ÷ head) of neighbours, one-sided at 0.01, one look."""
    losses = np.log(base.rates / head.rates)
    error = losses.std(ddof=1) / math.sqrt(len(losses))
    return bool(losses.mean() > float(stdtrit(len(losses) - 1, 0.99)) * error)


def _abba(base: Side, head: Side) -> Values:
    """Compute how much slower head was in each round of base, head, head, base."""
    return np.asarray(base.rates.reshape(-1, 2).sum(axis=1) / head.rates.reshape(-1, 2).sum(axis=1))


def _welch(base: Side, head: Side) -> float:
    return float(ttest_ind(base.rates, head.rates, equal_var=False).pvalue)  # codespell:ignore ttest
