"""Simulate series of a history: plain requests/s under the CPU lottery, and their ratio to a control.

The sizes were measured: CPU models of a hosted fleet are 13 % to 52 % apart, two sequential runs of the same code 6 %
to 13 %; the ratio to a control in the same blocks varies by 1.3 % between blocks and by 0.5 % between runs. Two sizes
are assumptions: models treat the two applications a little differently (1 %), and one day in a hundred is bad (15 %).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

MODELS = (1.0, 1.13, 1.35, 1.52)  # speed of the fleet's CPU models
SHARES = (0.4, 0.3, 0.2, 0.1)
_MOOD = 0.06  # of a machine on the day, as a standard deviation of the logarithm
_RATIO = 0.014
_MODEL_EFFECT = 0.01
_OUTLIERS, _OUTLIER_SIZE = 0.01, 0.15  # one day in a hundred is bad


@dataclass(frozen=True, slots=True)
class Histories:
    """Series × records: requests/s as measured, and their ratio to the control."""

    plain: Values
    ratio: Values


def histories(random: np.random.Generator, series: int, records: int, step: float = 0.0, at: int = 0) -> Histories:
    """Simulate `series` histories; from record `at` on, requests/s are lower by the fraction `step`."""
    shape = (series, records)
    model = random.choice(len(MODELS), p=SHARES, size=shape)
    level = np.where(np.arange(records) >= at, np.log1p(-step), 0.0)
    plain = np.log(np.array(MODELS))[model] + random.normal(0, _MOOD, shape)
    own_model = random.normal(0, _MODEL_EFFECT, (series, len(MODELS)))
    ratio = np.take_along_axis(own_model, model, axis=1) + random.normal(0, _RATIO, shape)
    ratio -= (random.random(shape) < _OUTLIERS) * _OUTLIER_SIZE
    return Histories(np.exp(plain + level) * 1000, np.exp(ratio + level))
