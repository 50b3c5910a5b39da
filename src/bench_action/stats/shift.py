"""Find shifts in the level of a growing series: a sequential change-point test on ranks with a known false-alarm rate.

After each record, the latest ones (at most `WINDOW`, and none before the last shift) are split at every place, and the
two parts are compared; the largest statistic is compared with a threshold that noise exceeds once in so many records.
So it is valid to check after every record, unlike with a test for a finished series: the change-point model of Hawkins,
Qiu and Kang (2003, "The changepoint model for statistical process control", J. Quality Technology 35), with ranks
instead of values as in Hawkins and Deng (2010, "A nonparametric change-point control chart", J. Quality Technology 42)
and Ross, Tasoulis and Adams (2011, "Nonparametric monitoring of data streams for changes in location and scale",
Technometrics 53).

Ranks are converted to normal scores Φ⁻¹(rank ÷ (n + 1)) (van der Waerden 1952), so that one record counts for no more
than the highest rank however bad it is, and the thresholds hold for independent noise of any distribution. The
statistic is |difference of the two means| ÷ √variance. The variance is the larger of the pooled one, which assumes
equal noise in both parts, and Welch's (1947, Biometrika 34), so that a noisier time is not a shift. If neighbouring
records are correlated, it is multiplied by (1 + r) / (1 − r), with r their correlation within the parts, at least 0 and
at most 0.8. A large shift is reported after 4 to 5 records; one that follows another within 20 records is reported
late, as so few ranks cannot be that improbable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.special
from numpy.typing import NDArray

Values = NDArray[np.float64]

WINDOW = 200  # records that a check looks back
SHORTEST = 4  # records on either side of a shift: one, two or three bad days are not a shift
RATES = (1_000, 10_000, 100_000)  # records for each false alarm; thresholds are known for these rates only
# simulated by `python -m benchmarks.trend.thresholds`; tests/unit/trend holds the rates
_THRESHOLDS = {1_000: 3.62, 10_000: 4.21, 100_000: 4.79}
_BATCH = 64
_MOST_CORRELATION = 0.8


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of the level before record `index`, found after record `raised` with the statistic `score`."""

    index: int
    raised: int
    score: float


def find_shifts(ranks: Sequence[int], once_in: int = 10_000) -> tuple[Shift, ...]:
    """Find the shifts in a series of distinct ranks, as a check after each record would have found them.

    `once_in` is the rate of false alarms: one in so many records of independent noise. Later records never change a
    shift that was found earlier. Errors: KeyError for a rate that is not among `RATES`.
    """
    threshold = _THRESHOLDS[once_in]
    values = np.asarray(ranks, dtype=np.float64)
    found: list[Shift] = []
    start, at = 0, 2 * SHORTEST - 1
    while at < len(values):
        ends = np.arange(at, min(at + _BATCH, len(values)))
        scores = score_windows(values, start, ends)
        best = scores.max(axis=1)
        over = np.flatnonzero(best > threshold)
        if not over.size:
            at = int(ends[-1]) + 1
            continue
        row = int(over[0])
        raised = int(ends[row])
        start = raised - WINDOW + 1 + int(scores[row].argmax())
        found.append(Shift(start, raised, float(best[row])))
        at = max(raised + 1, start + 2 * SHORTEST - 1)
    return tuple(found)


def score_windows(values: Values, start: int, ends: NDArray[np.intp]) -> Values:
    """Score every place of the windows that end with the records `ends`: one row for each window.

    A column is a place in the window, the last being the record in `ends`; its score says how much the records from
    there on differ from those before. Records before `start` do not count. Places that cannot be a shift have 0.
    """
    places = ends[:, None] - WINDOW + 1 + np.arange(WINDOW)
    inside = places >= start
    window = np.where(inside, values[np.maximum(places, 0)], np.inf)
    order = np.argsort(window, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(WINDOW)[None, :], axis=1)
    sizes = inside.sum(axis=1)
    return _standardise(np.where(inside, _normal_scores()[sizes[:, None], ranks], 0.0), sizes)


def locate_shift(ranks: Sequence[int]) -> int:
    """Locate the shift in a series that has one: the index of the first record after it."""
    size = len(ranks)
    order = np.empty(size)
    order[np.argsort(np.asarray(ranks))] = np.arange(1, size + 1)
    sums = np.cumsum(scipy.special.ndtri(order / (size + 1)))[:-1]
    before = np.arange(1, size)
    score = np.abs(sums) / np.sqrt(before * (size - before) / size)
    score[: SHORTEST - 1] = score[size - SHORTEST :] = 0
    return int(score.argmax()) + 1


@lru_cache(maxsize=1)
def _normal_scores() -> Values:
    """Compute a table of normal scores: row m, column r is that of the r-th smallest (from 0) of m."""
    sizes, ranks = np.arange(WINDOW + 1)[:, None], np.arange(WINDOW)[None, :]
    return np.asarray(scipy.special.ndtri(np.minimum((ranks + 1) / (sizes + 1), 0.999999)))


def _standardise(scores: Values, sizes: NDArray[np.intp]) -> Values:
    """Divide the difference of means at each place by its standard error.

    `scores` are normal scores, 0 before a window's first record.
    """
    size = sizes[:, None].astype(np.float64)
    after = np.arange(WINDOW, 0, -1, dtype=np.float64)[None, :]
    before = size - after
    allowed = (before >= SHORTEST) & (after >= SHORTEST)
    before, after = np.where(allowed, before, size / 2), np.where(allowed, after, size / 2)
    sums, squares = _sums_before(scores), _sums_before(scores**2)
    total = squares[:, -1:] + scores[:, -1:] ** 2  # the sum of all scores is 0
    mean_before, mean_after = sums / before, -sums / after
    within_before = squares - sums * mean_before
    within_after = total - squares + sums * mean_after
    own = within_before / (before * (before - 1)) + within_after / (after * (after - 1))
    equal = total / (size - 1) * (1 / before + 1 / after)
    products = np.zeros_like(scores)
    products[:, 1:] = scores[:, :-1] * scores[:, 1:]
    cumulative = np.cumsum(products, axis=1)
    pairs_before = np.concatenate((np.zeros_like(size), cumulative[:, :-1]), axis=1)  # both of a pair before the place
    pairs_after = cumulative[:, -1:] - cumulative
    # this leaves out the ends of each part: they matter little, and would double the cost
    covariance = pairs_before - sums * mean_before + pairs_after + sums * mean_after
    correlation = np.clip(covariance / np.maximum(within_before + within_after, 1e-9), 0, _MOST_CORRELATION)
    variance = np.maximum(own, equal) * (1 + correlation) / (1 - correlation)
    return np.where(allowed, np.abs(mean_after - mean_before) / np.sqrt(np.maximum(variance, 1e-12)), 0.0)


def _sums_before(values: Values) -> Values:
    """Sum all columns before each column."""
    sums = np.cumsum(values, axis=1)
    return np.asarray(sums - values)
