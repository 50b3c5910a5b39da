"""Which p-value a look may take for an alarm, so that all looks together spend what they may.

Armitage, McPherson and Rowe's recursion (1969, J. R. Stat. Soc. A 132) over the densities of a Brownian motion that has
not been stopped yet.
"""

import math
from functools import lru_cache

import numpy as np

from bench_action.stats.distributions import normal_below

_GRID, _REACH = 601, 8.0


@lru_cache(maxsize=256)
def nominal_levels(fractions: tuple[float, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    """One-sided p-values of looks at these information fractions, so that each has spent so much of alpha in all.

    `fractions` grow to 1; only their ratios matter. Densities are kept on a grid of 601 points over ±8 standard
    deviations; against simulation the total is right to 1 % of alpha.
    """
    grid = np.linspace(-_REACH, _REACH, _GRID)
    step = grid[1] - grid[0]
    levels: list[float] = []
    density = np.zeros(0)
    before = spent_before = 0.0
    for fraction, so_far in zip(fractions, spent, strict=True):
        root = math.sqrt(fraction)
        if not levels:
            density = np.exp(-0.5 * (grid / root) ** 2) / (root * math.sqrt(2 * math.pi))
        else:
            width = math.sqrt(fraction - before)
            kernel = np.exp(-0.5 * ((grid[:, None] - grid[None, :]) / width) ** 2)
            density = (kernel @ density) * step / (width * math.sqrt(2 * math.pi))
        bound = _bound(grid, density, so_far - spent_before)
        levels.append(normal_below(-bound / root))
        density = _stopped(grid, density, bound)
        before, spent_before = fraction, so_far
    return tuple(levels)


def _bound(grid: "np.ndarray[tuple[int], np.dtype[np.float64]]", density: np.ndarray, mass: float) -> float:
    """Above which value of the grid so much of the density lies."""
    step = grid[1] - grid[0]
    above = np.concatenate(([0.0], np.cumsum((density[::-1][1:] + density[::-1][:-1]) * step / 2)))
    # between two points the tail falls about exponentially: interpolate its logarithm
    return float(np.interp(math.log(max(mass, 1e-300)), np.log(np.maximum(above, 1e-300)), grid[::-1]))


def _stopped(grid: np.ndarray, density: np.ndarray, bound: float) -> np.ndarray:
    """What has not crossed the bound; the point at the bound counts by the share of its cell below it."""
    step = grid[1] - grid[0]
    weight = np.clip((bound - grid) / step + 0.5, 0.0, 1.0)
    return np.asarray(density * weight)
