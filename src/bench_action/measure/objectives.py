"""Find the highest rates at which subjects hold an objective: steps of one subject after the other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench_action.compare.steps import is_usable, judge_step, list_rates
from bench_action.config.schema import Objective
from bench_action.model.result import Trial
from bench_action.stats.objective import RESOLUTION, Attempt, choose_rate

_FIRST_FACTOR, _FACTOR = 1.3, RESOLUTION  # of the steps: in the first block nothing is known
_FIRST_MOST, _MOST = 9, 6
_SHARE, _FIRST_RATE = 0.75, 1000.0  # of the capacity at full load, where the first step begins; and the most there
_REQUESTS = 500  # at least, for a percentile
_SHORTEST_S, _LONGEST_S = 3, 10

# run one step of the subject with this number: rate in 1/s, seconds → the trial
RunStep = Callable[[int, float, int], Trial]


@dataclass(frozen=True, slots=True)
class Search:
    """A search in one block. `starts`: for each subject, the rate to begin with, and whether nothing else is known."""

    objective: Objective
    starts: tuple[tuple[float, bool], ...]

    def run(self, step: RunStep) -> list[Trial]:
        """Take steps of the subjects in turn until the highest rate of each is known."""
        trials: list[Trial] = []
        attempts: list[list[Attempt]] = [[] for _ in self.starts]
        ended = set[int]()
        while True:
            rates = [None if number in ended else self._choose(number, own) for number, own in enumerate(attempts)]
            if not any(rates):
                return trials
            for number, rate in enumerate(rates):
                if rate is not None:
                    trial = step(number, rate, choose_seconds(rate)).model_copy(update={"position": len(trials)})
                    trials.append(trial)
                    attempts[number].append(judge_step(trial, self.objective))
                    if not is_usable(trial):
                        ended.add(number)  # higher rates are beyond k6, and only those are left to try

    def _choose(self, number: int, attempts: Sequence[Attempt]) -> float | None:
        start, first = self.starts[number]
        factor, most = (_FIRST_FACTOR, _FIRST_MOST) if first else (_FACTOR, _MOST)
        return choose_rate(attempts, start, factor, most)


def choose_seconds(rate: float) -> int:
    """Choose how long a step lasts, so that there are enough requests for a percentile."""
    return min(_LONGEST_S, max(_SHORTEST_S, math.ceil(_REQUESTS / rate)))


def find_start(own: Sequence[Trial], objective: Objective, capacity: float) -> tuple[float, bool]:
    """Find where a subject's search begins: at what its earlier blocks show, else below the capacity of base.

    Also return whether nothing is known of it.
    """
    known = list_rates(own, objective).values()
    if known:
        return math.exp(fmean(math.log(rate) for rate in known)), False
    return max(1.0, min(_FIRST_RATE, _SHARE * capacity)), True
