"""Simulate how high a threshold must be for one false alarm in N records: the numbers in `stats/shift.py`.

    python -m benchmarks.trend.thresholds [RECORDS]

Prints, for each rate, the statistic that independent noise exceeds at that rate. Alarms within 50 records of each other
count as one, as a reported shift restarts the search. Ranks of noise do not depend on its distribution, so one table is
enough. 2,000,000 records (the default) need about 3 minutes; the rate of 1 in 100,000 is then based on 20 alarms.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from bench_action.stats import shift

_LENGTH = 4_000  # records of one simulated series
_GAP = 50
_BATCH = 200


def peaks(records: int, seed: int = 1) -> list[float]:
    """Return the heights of all clusters of alarms above 3 in `records` records of noise."""
    random = np.random.default_rng(seed)
    found: list[float] = []
    for _ in range(records // _LENGTH):
        found += _clusters(_heights(random.permutation(_LENGTH + shift.WINDOW).astype(np.float64)))
    return found


def _heights(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ends = np.arange(shift.WINDOW, len(values))
    batches = [ends[first : first + _BATCH] for first in range(0, len(ends), _BATCH)]
    return np.concatenate([shift.score_windows(values, 0, batch).max(axis=1) for batch in batches])


def _clusters(heights: NDArray[np.float64]) -> list[float]:
    """Return the highest of each cluster of alarms."""
    found: list[float] = []
    last = -_GAP
    for at in map(int, np.flatnonzero(heights > 3.0)):
        if at - last >= _GAP:
            found.append(0.0)
        found[-1] = max(found[-1], float(heights[at]))
        last = at
    return found


def main() -> None:
    """Simulate, and print the table."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    heights = np.sort(peaks(records))[::-1]
    for rate in shift.RATES:
        alarms = records // rate
        print(f"1 in {rate:,}: {heights[alarms - 1]:.3f}  ({alarms} alarms)")


if __name__ == "__main__":
    main()
