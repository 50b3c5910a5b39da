"""Cut the slices of duets into parts of about a second, at the marks that the agent made while wrk ran. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from bench_action.model.result import Mark, Trial

METRICS = ("requests_per_second", "cpu_ms_per_request")  # both have a gate of 1 %


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a slice, of either side: its length, and the losses in it by metric."""

    seconds: float
    losses: dict[str, float]


def cut(duets: Sequence[tuple[Trial, Trial]]) -> list[Part]:
    """Cut the slice of a block at its marks, and average its duets; no parts if it has too few marks."""
    tracks = [list(_cut_duet(*duet)) for duet in duets]
    return [
        Part(
            fmean(part.seconds for part in parts),
            {metric: fmean(part.losses[metric] for part in parts) for metric in METRICS},
        )
        for parts in zip(*tracks, strict=False)
    ]


def average_seconds(blocks: Sequence[Sequence[Part]]) -> float:
    """Compute how many seconds a part of these blocks lasts on average; 1.0 without any."""
    return fmean([part.seconds for block in blocks for part in block] or [1.0])


def list_losses(blocks: Sequence[Sequence[Part]], metric: str) -> list[list[float]]:
    """List the losses of the parts of each block in one metric."""
    return [[part.losses[metric] for part in block] for block in blocks]


def _cut_duet(base: Trial, head: Trial) -> Iterator[Part]:
    """Cut one duet at its marks.

    Bytes stand for replies: all are equally long, and a constant factor does not change how losses vary.
    """
    for base_marks, head_marks in zip(pairwise(base.marks), pairwise(head.marks), strict=False):
        steps = [_subtract(*marks) for marks in (base_marks, head_marks)]
        if all(min(step.s, step.bytes_read, step.cpu_ms) > 0 for step in steps):
            rates = [step.bytes_read / step.s for step in steps]
            costs = [step.cpu_ms / step.bytes_read for step in steps]
            losses = {METRICS[0]: math.log(rates[0] / rates[1]), METRICS[1]: math.log(costs[1] / costs[0])}
            yield Part(fmean(step.s for step in steps), losses)


def _subtract(earlier: Mark, later: Mark) -> Mark:
    return Mark(
        s=later.s - earlier.s,
        bytes_read=later.bytes_read - earlier.bytes_read,
        cpu_ms=later.cpu_ms - earlier.cpu_ms,
    )
