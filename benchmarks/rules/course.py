"""Replay our rule look by look, with the product's own code."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.rules.rules import Values

from bench_action.compare.alphas import split_alpha
from bench_action.compare.evidence import Evidence
from bench_action.compare.gating import UNCONFIRMED, confirms, judge_losses
from bench_action.config.gates import COST, RATE, default_gates
from bench_action.model.result import Verdict
from bench_action.stats.sequential import Course

_METRICS = (RATE, COST)
_GATES = default_gates()
_ALPHAS = split_alpha(_GATES, pairs=1).gated


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended, and after how many blocks."""

    verdict: Verdict
    blocks: int


def ends(runs: Values) -> Iterator[End]:
    """Yield how each run ends.

    `runs` are losses, above 0 if head is worse: run × block × metric. The last block is the cap.
    """
    course = Course(runs.shape[1], ended=False)
    for losses in runs:
        yield _end(losses, course)


def windows_as_recorded(blocks: Values, cap: int) -> tuple[int, int]:
    """Count windows of blocks in their own order that end as `regressed`, with either side as head, and all windows."""
    windows = len(blocks) - cap + 1
    course = Course(cap, ended=False)
    wrong = sum(
        _end(sign * blocks[start : start + cap], course).verdict == "regressed"
        for start in range(windows)
        for sign in (1.0, -1.0)
    )
    return wrong, windows


def _end(losses: Values, course: Course) -> End:
    """End a run as `stopping.Decider` ends a pair: a gate is broken, or all are decided, or no blocks are left."""
    verdict: Verdict = "inconclusive"
    due = course.cap
    for due in course.looks:
        verdict = _verdict(losses[:due], course)
        if verdict != "inconclusive":
            break
    return End(verdict, due)


def _verdict(losses: Values, course: Course) -> Verdict:
    """Combine both metrics, in the order of `verdict.decide_verdict`."""
    judged = {
        metric: judge_losses(
            Evidence(metric, tuple(map(float, losses[:, column])), 1.0, 1.0), course, _ALPHAS[metric], _GATES[metric]
        )
        for column, metric in enumerate(_METRICS)
    }
    verdicts = [judgement.verdict for judgement in judged.values()]
    if not confirms(judged[COST], judged[RATE]):
        verdicts[0] = "inconclusive" if verdicts[0] in UNCONFIRMED else verdicts[0]
    order: tuple[Verdict, ...] = ("regressed", "inconclusive", "improved", "unchanged", "measured")
    return next(verdict for verdict in order if verdict in verdicts)
