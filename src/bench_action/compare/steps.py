"""Judge the steps in which the highest rate is looked for that holds an objective. Pure."""

import math
from collections.abc import Sequence

from bench_action.config.schema import Objective
from bench_action.load.rates import is_missed
from bench_action.load.validity import SATURATED
from bench_action.model.result import Trial
from bench_action.stats.objective import Attempt, estimate_rate

SLO_RATE = "slo_rate"


def is_usable(trial: Trial) -> bool:
    """Whether a step shows what the service does, and not what k6 could not."""
    return trial.generator_busy <= SATURATED


def judge_step(trial: Trial, objective: Objective) -> Attempt:
    """Judge one step. Late replies count as errors, and so does a rate that the service did not keep up with."""
    at_rate, latency = trial.at_rate, trial.latency
    rate = at_rate.rate or 0.0 if at_rate is not None else 0.0
    if at_rate is None or latency is None or is_missed(at_rate, trial.duration_s):
        return Attempt(rate, math.inf)
    if trial.errors.total > objective.errors * trial.requests:
        return Attempt(rate, math.inf)
    return Attempt(rate, getattr(latency, f"{objective.percentile}_us") / (1e6 * objective.limit_s))


def list_rates(trials: Sequence[Trial], objective: Objective) -> dict[int, float]:
    """List the highest rate of one subject in each block in which it is known."""
    found = {block: estimate_rate(attempts) for block, attempts in _list_attempts(trials, objective).items()}
    return {block: rate for block, rate in found.items() if rate is not None}


def list_bounds(trials: Sequence[Trial], objective: Objective) -> dict[int, float]:
    """List the lowest rate that was tried in each block of one subject in which no rate held the objective."""
    blocks = _list_attempts(trials, objective)
    return {
        block: min(each.rate for each in attempts)
        for block, attempts in blocks.items()
        if not any(each.holds for each in attempts)
    }


def _list_attempts(trials: Sequence[Trial], objective: Objective) -> dict[int, list[Attempt]]:
    blocks: dict[int, list[Attempt]] = {}
    for trial in trials:
        if trial.phase == "slo" and trial.valid and is_usable(trial):
            blocks.setdefault(trial.block, []).append(judge_step(trial, objective))
    return blocks
