"""The distributions that the rest asks for, under their names in statistics.

scipy is loaded at the first question: a run's start need not wait for it.
"""

import math
from functools import cache
from typing import Any

POWER = 0.95
LARGEST_LOG = 700.0  # blocks that differ by orders of magnitude leave everything open; e^710 is no number any more


def normal_below(value: float) -> float:
    """The share of the standard normal distribution below a value."""
    return float(_special().ndtr(value))


def normal_quantile(share: float) -> float:
    """The value below which so much of the standard normal distribution lies."""
    return float(_special().ndtri(share))


def t_below(value: float, degrees: float) -> float:
    """The share of Student's t below a value."""
    return float(_special().stdtr(degrees, value))


def t_quantile(share: float, degrees: float) -> float:
    """The value below which so much of Student's t lies."""
    return float(_special().stdtrit(degrees, share))


def detectable(error: float, degrees: float, critical: float) -> float:
    """The change, as a fraction, that a t-test finds in 95 of 100 runs.

    `error` is the standard error of the mean of logarithms, `critical` what the test's t must exceed. The logarithm is
    the shift that puts 95 % of a noncentral t beyond it: adding two quantiles of the central one would promise too
    much (with 5 blocks, such a shift is found in 90 of 100 runs).
    """
    shift = float(_special().nctdtrinc(degrees, 1 - POWER, critical))
    return math.expm1(min(shift * error, LARGEST_LOG))


@cache
def _special() -> Any:
    import scipy.special  # noqa: PLC0415

    return scipy.special
