"""Has the level of a growing series shifted? A sequential change-point test on ranks, with a stated false-alarm rate.

After each record the latest ones (`WINDOW` at most, and none before the last shift) are split at every place, and the
two parts are compared; the largest statistic is held against a threshold that noise crosses once in so many records. So
a check may look after every record, which a test for a finished series may not: the change-point model of Hawkins,
Qiu and Kang (2003, "The changepoint model for statistical process control", J. Quality Technology 35), with ranks
instead of values as in Hawkins and Deng (2010, "A nonparametric change-point control chart", J. Quality Technology 42)
and Ross, Tasoulis and Adams (2011, "Nonparametric monitoring of data streams for changes in location and scale",
Technometrics 53).

Ranks become normal scores (van der Waerden 1952), so that one record, however bad, counts for no more than any other
highest one, and the thresholds hold for independent noise of any distribution. The variance is the larger of what equal
noise on both sides would have and what each side shows by itself (Welch 1947, Biometrika 34): a noisier time is no
shift. Where neighbours resemble one another, it is multiplied by (1 + r) / (1 − r), r being their correlation within
the parts. A large shift is told after 4 to 5 records; one that comes within 20 records of another is told late, as so
few ranks cannot be so rare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.special
from numpy.typing import NDArray

Values = NDArray[np.float64]

WINDOW = 200  # records that a look goes back
SHORTEST = 4  # records on either side of a shift: one, two or three bad days are none
RATES = (1_000, 10_000, 100_000)  # records for one false alarm, for which thresholds are known
# simulated by `python -m benchmarks.trend.thresholds`; tests/unit/trend counts what they promise
_THRESHOLDS = {1_000: 3.62, 10_000: 4.21, 100_000: 4.79}
_BATCH = 64
_MOST_CORRELATION = 0.8


@dataclass(frozen=True, slots=True)
class Shift:
    """The level changed before record `index`; `raised` is the record after which it was sure, `score` how sure."""

    index: int
    raised: int
    score: float


def find_shifts(ranks: Sequence[int], once_in: int = 10_000) -> tuple[Shift, ...]:
    """The shifts in a series of distinct ranks, as a check after each record would have raised them.

    `once_in` is the rate of false alarms: one in so many records of independent noise. What was raised after a record
    stays the same whatever comes later. Errors: KeyError for a rate that is not among `RATES`.
    """
    threshold = _THRESHOLDS[once_in]
    values = np.asarray(ranks, dtype=np.float64)
    found: list[Shift] = []
    start, at = 0, 2 * SHORTEST - 1
    while at < len(values):
        ends = np.arange(at, min(at + _BATCH, len(values)))
        scores = scores_of(values, start, ends)
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


def scores_of(values: Values, start: int, ends: NDArray[np.intp]) -> Values:
    """For the windows that end with `ends`: how different the records from each column on are from those before them.

    Nothing before `start` is looked at. A column is a place in the window, of which the last is the record `ends`;
    places at which no shift can be are 0.
    """
    places = ends[:, None] - WINDOW + 1 + np.arange(WINDOW)
    inside = places >= start
    window = np.where(inside, values[np.maximum(places, 0)], np.inf)
    order = np.argsort(window, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(WINDOW)[None, :], axis=1)
    sizes = inside.sum(axis=1)
    return _standardised(np.where(inside, _normal_scores()[sizes[:, None], ranks], 0.0), sizes)


def locate_shift(ranks: Sequence[int]) -> int:
    """Where in a series with one shift it most likely is: the index of the first record after it."""
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
    """Row m, column r: the normal score of the r-th smallest (from 0) of m."""
    sizes, ranks = np.arange(WINDOW + 1)[:, None], np.arange(WINDOW)[None, :]
    return np.asarray(scipy.special.ndtri(np.minimum((ranks + 1) / (sizes + 1), 0.999999)))


def _standardised(scores: Values, sizes: NDArray[np.intp]) -> Values:
    """Differences of means at each place in their standard errors; `scores` is 0 before a window's first record."""
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
    alike = np.cumsum(products, axis=1)
    pairs_before = np.concatenate((np.zeros_like(size), alike[:, :-1]), axis=1)  # both of a pair before the place
    pairs_after = alike[:, -1:] - alike
    # the ends of each part are left out of this: they matter little, and would cost as much again
    covariance = pairs_before - sums * mean_before + pairs_after + sums * mean_after
    correlation = np.clip(covariance / np.maximum(within_before + within_after, 1e-9), 0, _MOST_CORRELATION)
    variance = np.maximum(own, equal) * (1 + correlation) / (1 - correlation)
    return np.where(allowed, np.abs(mean_after - mean_before) / np.sqrt(np.maximum(variance, 1e-12)), 0.0)


def _sums_before(values: Values) -> Values:
    """The sum of all columns before each."""
    sums = np.cumsum(values, axis=1)
    return np.asarray(sums - values)
