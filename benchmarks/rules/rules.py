"""The rules by which other tools call something a regression, each as its source states it.

`base` and `head` are requests/s, five values each (five runs of 10 s) unless a rule says otherwise; the answer is
whether the tool would raise an alarm. Read in the tools' own sources and documentation in November 2026.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy import stats

Values: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
Rule: TypeAlias = Callable[[Values, Values], bool]


def slower_by(limit: float) -> Rule:
    """github-action-benchmark (`alert-threshold`, 200 % by default, often 110 % to 150 %), on time for each request."""
    return lambda base, head: bool(base.mean() / head.mean() > limit)


def codspeed(base: Values, head: Values) -> bool:
    """CodSpeed fails below −10 %."""
    return bool(head.mean() / base.mean() - 1 < -0.10)


def asv_continuous(base: Values, head: Values) -> bool:
    """asv: factor 1.1, and Mann-Whitney two-sided p < 0.002 (5 + 5 cannot reach it), else disjoint intervals."""
    if not base.mean() / head.mean() > 1.1:
        return False
    if stats.mannwhitneyu(base, head).pvalue < 0.002:
        return True
    half = [stats.t.ppf(0.995, len(x) - 1) * stats.sem(x) for x in (base, head)]
    return bool(base.mean() - half[0] > head.mean() + half[1])


def postgrest(base: Values, head: Values) -> bool:
    """PostgREST's workflow: one run each, more than 5 % worse fails."""
    return bool(base[-1] / head[-1] - 1 >= 0.05)


def autocannon_compare(base: Values, head: Values) -> bool:
    """autocannon-compare: Welch's t at 0.10, and more than 5 %."""
    worse = head.mean() < base.mean()
    return bool(worse and base.mean() / head.mean() > 1.05 and _welch(base, head) < 0.10)


def node(base: Values, head: Values) -> bool:
    """Node.js' benchmark comparison: Welch's t at 0.05."""
    return bool(head.mean() < base.mean() and _welch(base, head) < 0.05)


def react_on_rails(base: Values, head: Values) -> bool:
    """react_on_rails' workflow: −25 % requests/s and disjoint ranges of three samples."""
    return bool(head[:3].mean() < 0.75 * base[:3].mean() and head[:3].max() < base[:3].min())


def bencher_t_test(history: Values, head: Values) -> bool:
    """Bencher's `t_test` with boundary 0.99 on the last ten runs: below mean − t · s · √(1 + 1/n)."""
    n = len(history)
    limit = history.mean() - stats.t.ppf(0.99, n - 1) * history.std(ddof=1) * np.sqrt(1 + 1 / n)
    return bool(head.mean() < limit)


def _welch(base: Values, head: Values) -> float:
    return float(stats.ttest_ind(base, head, equal_var=False).pvalue)
