"""Find the highest rate at which a service holds an objective, by steps: each is measured apart, never a ramp. Pure.

Above its capacity a service only shows how long its queue has become, and after a ramp the queue of lower rates is
still there. So each step begins with an empty queue, and either holds the objective or does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

RESOLUTION = 1.08  # between a rate that holds and the next that does not: the estimate lies in between
_LOWEST, _HIGHEST = 1.0, 100_000.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One step: `over` is what was measured ÷ the limit, above 1 if the objective was not held (infinite: by far)."""

    rate: float
    over: float

    @property
    def holds(self) -> bool:
        """Whether the objective was held."""
        return self.over <= 1


def find_bracket(attempts: Sequence[Attempt]) -> tuple[Attempt | None, Attempt | None]:
    """Find the lowest rate that did not hold, and the highest below it that did; None if there is no such rate."""
    failed = min((each for each in attempts if not each.holds), key=lambda each: each.rate, default=None)
    held = [each for each in attempts if each.holds and (failed is None or each.rate < failed.rate)]
    return max(held, key=lambda each: each.rate, default=None), failed


def choose_rate(
    attempts: Sequence[Attempt], start: float, factor: float, most: int, *, faster: bool = False
) -> float | None:
    """Choose the rate of the next step; None if the highest rate is known, or after `most` steps.

    From `start`, the rate goes up or down by `factor` until one step holds and one does not; then between these two.
    `faster`: each step up or down is twice as large as the one before, to get far in few steps.
    """
    if not attempts:
        return start
    held, failed = find_bracket(attempts)
    if len(attempts) >= most:
        return None
    far = factor ** (2 ** (len(attempts) - 1) if faster else 1)
    if failed is None:
        rate = max(each.rate for each in attempts) * far
    elif held is None:
        rate = failed.rate / far
    elif failed.rate <= RESOLUTION * held.rate:
        return None
    else:
        rate = math.sqrt(held.rate * failed.rate)
    return rate if _LOWEST <= rate <= _HIGHEST else None


def estimate_rate(attempts: Sequence[Attempt]) -> float | None:
    """Estimate the highest rate that holds, between the two that enclose it; None if they are not known.

    Where the straight line through both, on logarithmic scales, meets the limit; the middle if one is infinitely over.
    """
    held, failed = find_bracket(attempts)
    if held is None or failed is None:
        return None
    share = 0.5
    if math.isfinite(failed.over) and held.over > 0:
        share = math.log(1 / held.over) / math.log(failed.over / held.over)
    return float(held.rate * (failed.rate / held.rate) ** share)
