"""Compare the highest rates at which base and head hold their objective. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from bench_action.compare.evidence import Evidence
from bench_action.compare.steps import SLO_RATE, is_usable, judge_step, list_bounds, list_rates
from bench_action.config.schema import Objective
from bench_action.model.result import Finding, Trial
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Pair
from bench_action.stats.objective import Attempt

_NO_MEASURE = "So nothing says how far head has to hold it."


def build_rate_evidence(trials: Sequence[Trial], pair: Pair, objective: Objective) -> Evidence | None:
    """Compute by how much head's highest rate is lower, in each block that has both; None without such a block.

    In a block in which a side holds its objective at no rate, its rate is the lowest that was tried, or less: so it
    counts with that. A side that never holds it has no rates (`find_lost_objectives`).
    """
    base, head = (_list_all_rates(_select(trials, pair, side), objective) for side in ("base", "head"))
    both = [(base[block], head[block]) for block in sorted(base.keys() & head.keys())]
    if not both:
        return None
    losses = tuple(math.log(before / after) for before, after in both)
    return Evidence(SLO_RATE, losses, *(math.exp(fmean(math.log(each[side]) for each in both)) for side in (0, 1)))


def _list_all_rates(own: Sequence[Trial], objective: Objective) -> Mapping[int, float]:
    known = list_rates(own, objective)
    return known and {**list_bounds(own, objective), **known}


def warn_of_objectives(
    trials: Sequence[Trial], pairs: Sequence[Pair], objectives: Mapping[str, Objective]
) -> Iterator[RunWarning]:
    """Warn of a base that holds its objective at no rate that was tried: it is no measure for head."""
    for pair in pairs:
        objective = objectives.get(pair.head.profile)
        if objective is not None and (steps := _fails_everywhere(trials, pair, "base", objective)):
            message = f"base does not hold {objective} at {min(step.rate for step in steps):.3g}/s"
            if _fails_everywhere(trials, pair, "head", objective):
                yield Code.SLO_NOT_HELD.warn(f"{message}, and head does not either", str(pair))
            else:
                yield Code.SLO_NOT_HELD.warn(f"{message}, the lowest rate tried", str(pair), _NO_MEASURE)


def find_lost_objectives(
    trials: Sequence[Trial], pairs: Sequence[Pair], objectives: Mapping[str, Objective]
) -> Iterator[Finding]:
    """Find a head that holds its objective at no rate that was tried, where base does."""
    for pair in pairs:
        objective = objectives.get(pair.head.profile)
        if objective is None or pair.kind != "revision":
            continue
        if not any(step.holds for step in _list_attempts(trials, pair, "base", objective)):
            continue
        if steps := _fails_everywhere(trials, pair, "head", objective):
            message = f"it holds {objective} at no rate from {min(step.rate for step in steps):.3g}/s on, and base does"
            yield Finding(
                code="objective-lost", message=message, cell=str(pair.head), before=None, after=None, fails=True
            )


def _fails_everywhere(trials: Sequence[Trial], pair: Pair, side: str, objective: Objective) -> list[Attempt]:
    """List the steps of a side if none of them holds; empty if one does, or without steps."""
    steps = _list_attempts(trials, pair, side, objective)
    return steps if not any(step.holds for step in steps) else []


def _list_attempts(trials: Sequence[Trial], pair: Pair, side: str, objective: Objective) -> list[Attempt]:
    """List the steps of a side that count."""
    own = _select(trials, pair, side)
    return [judge_step(t, objective) for t in own if t.phase == "slo" and t.valid and is_usable(t)]


def _select(trials: Sequence[Trial], pair: Pair, side: str) -> list[Trial]:
    return [trial for trial in trials if trial.pair == str(pair) and trial.side == side]
