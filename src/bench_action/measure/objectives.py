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
_MOST = 9
_SHARE, _FIRST_RATE = 0.75, 1000.0  # of the capacity at full load, where the first step begins; and the most there
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples, less their whole part, fill the interval from 0 to 1 evenly
_REQUESTS = 500  # at least, for a percentile
_SHORTEST_S, _LONGEST_S = 3, 10

# run one step of the subject with this number: rate in 1/s, seconds → the trial
RunStep = Callable[[int, float, int], Trial]


@dataclass(frozen=True, slots=True)
class Search:
    """A search in one block. `start`: the rate with which all subjects begin; `first`: nothing is known of them."""

    objective: Objective
    subjects: int
    start: float
    first: bool

    def run(self, step: RunStep) -> list[Trial]:
        """Take steps of the subjects in turn until the highest rate of each is known."""
        trials: list[Trial] = []
        attempts: list[list[Attempt]] = [[] for _ in range(self.subjects)]
        while True:
            rates = [self._choose(own) for own in attempts]
            if not any(rates):
                return trials
            for number, rate in enumerate(rates):
                if rate is not None:
                    trial = step(number, rate, choose_seconds(rate)).model_copy(update={"position": len(trials)})
                    trials.append(trial)
                    # what k6 could not send is no rate of the subject's, but lower ones are left to try
                    known = judge_step(trial, self.objective) if is_usable(trial) else Attempt(rate, math.inf)
                    attempts[number].append(known)

    def _choose(self, attempts: Sequence[Attempt]) -> float | None:
        if self.first:
            return choose_rate(attempts, self.start, _FIRST_FACTOR, _MOST)
        return choose_rate(attempts, self.start, _FACTOR, _MOST, faster=True)  # sides may be far from their mean


def choose_seconds(rate: float) -> int:
    """Choose how long a step lasts, so that there are enough requests for a percentile."""
    return min(_LONGEST_S, max(_SHORTEST_S, math.ceil(_REQUESTS / rate)))


def plan_search(sides: Sequence[Sequence[Trial]], objective: Objective, capacity: float, block: int) -> Search:
    """Plan the search of one block from what earlier blocks have shown of each subject.

    As long as one of them is unknown, the search begins below the `capacity` of base, in 1/s.
    """
    known = [tuple(list_rates(own, objective).values()) for own in sides]
    if not all(known):
        return Search(objective, len(sides), max(1.0, min(_FIRST_RATE, _SHARE * capacity)), first=True)
    return Search(objective, len(sides), choose_start(known, block), first=False)


def choose_start(known: Sequence[Sequence[float]], block: int) -> float:
    """Choose the rate with which the search of a block begins. `known`: the earlier rates of each subject.

    All subjects begin at one rate. If each began at what it had shown itself, what chance gave it in the first block
    would stay with it, and blocks would agree more than they should. It is the mean of all sides, moved by up to 4 % in
    each block, so that no side always begins at the same distance from its own.
    """
    middle = math.exp(fmean(fmean(math.log(rate) for rate in rates) for rates in known))
    return middle * math.pow(RESOLUTION, block * _GOLDEN % 1 - 0.5)
