"""The distributions that the other modules need.

scipy is loaded at the first call, so that a run starts without waiting for it.
"""

import math
from functools import cache
from typing import Any

POWER = 0.95
LARGEST_LOG = 700.0  # an upper bound for logarithms before exp: e^710 exceeds a double


def normal_cdf(value: float) -> float:
    """Compute Φ(value), the standard normal distribution function."""
    return float(_special().ndtr(value))


def normal_quantile(share: float) -> float:
    """Compute Φ⁻¹(share), the quantile of the standard normal distribution."""
    return float(_special().ndtri(share))


def t_cdf(value: float, degrees: float) -> float:
    """Compute the distribution function of Student's t at `value`."""
    return float(_special().stdtr(degrees, value))


def t_quantile(share: float, degrees: float) -> float:
    """Compute the quantile of Student's t at `share`."""
    return float(_special().stdtrit(degrees, share))


def f_survival(value: float, between: float, within: float) -> float:
    """Compute how likely F exceeds `value`, with so many degrees of freedom between groups and within them."""
    return float(_special().fdtrc(between, within, value))


def beta_quantile(share: float, a: float, b: float) -> float:
    """Compute the quantile of the beta distribution with the parameters a and b at `share`."""
    return float(_special().betaincinv(a, b, share))


def log_mean_square(degrees: float) -> float:
    """Compute the expected value of log(χ² ÷ n), the logarithm of a mean square with n degrees of freedom."""
    return float(_special().digamma(degrees / 2)) - math.log(degrees / 2)


def log_mean_square_variance(degrees: float) -> float:
    """Compute the variance of log(χ² ÷ n): the trigamma function of n ÷ 2."""
    return float(_special().polygamma(1, degrees / 2))


def find_detectable_change(error: float, degrees: float, critical: float) -> float:
    """Compute the change, as a fraction, that a t-test finds in 95 of 100 runs: exp(δ · error) − 1.

    δ is the noncentrality with which a noncentral t of `degrees` degrees of freedom exceeds `critical` with a
    probability of 0.95. `error` is the standard error of the mean of logarithms, `critical` the value that the test's t
    must exceed. The sum of two quantiles of the central t would promise too much: with 5 blocks, such a change is found
    in only 90 of 100 runs.
    """
    shift = float(_special().nctdtrinc(degrees, 1 - POWER, critical))
    return math.expm1(min(shift * error, LARGEST_LOG))


@cache
def _special() -> Any:
    import scipy.special  # noqa: PLC0415

    return scipy.special
