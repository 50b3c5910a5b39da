"""Choose how long a pair's later blocks are measured, by what the first ones cost and how they vary. Pure.

Only times and variances count, never the difference of base and head: see `stats/nested.py`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from bench_action.compare.evidence import PairedBlock, build_evidence
from bench_action.config.schema import PairPhase
from bench_action.model.result import Mark, NoiseSource, Trial
from bench_action.stats.nested import Noise, Spread, choose_slice, estimate_noise, measure_spread

_METRICS = ("requests_per_second", "cpu_ms_per_request")  # both have a gate of 1 %


@dataclass(frozen=True, slots=True)
class Choice:
    """The length of the slices after the first blocks, and what it is based on.

    `blocks`: how many were measured before, with slices of `first_s`. `cost_s`: what a block takes beyond its slice.
    """

    slice_s: int
    first_s: int
    blocks: int
    cost_s: float

    def count_blocks(self, seconds: float) -> int:
        """Count the blocks in all, if the later ones may take so long."""
        return self.blocks + int(max(0.0, seconds) / (self.cost_s + self.slice_s))


def choose(blocks: Sequence[PairedBlock], blocks_s: Sequence[float], phase: PairPhase, seconds: float) -> Choice:
    """Choose the length of the later slices of a pair, which has `seconds` left.

    `blocks` are those measured so far, and `blocks_s` what they took; a block that was dropped is only in the latter.
    """
    cost_s = max(0.0, fmean(blocks_s) - phase.slice)
    noise = estimate_block_noise(blocks, phase.slice)[0]
    length = choose_slice(noise, cost_s, phase.lengths, seconds, [phase.slice] * len(blocks_s))
    return Choice(length, phase.slice, len(blocks_s), cost_s)


def describe_noise(pair: str, choice: Choice, blocks: Sequence[PairedBlock]) -> NoiseSource:
    """Describe where the noise of a pair's blocks came from, for the result."""
    groups = {s: [b for b in blocks if int(b.base[0].duration_s) == s] for s in (choice.slice_s, choice.first_s)}
    slice_s = max(groups, key=lambda length: len(groups[length]))
    noise, measured = estimate_block_noise(groups[slice_s], slice_s)
    return NoiseSource(
        pair=pair,
        blocks=len(blocks),
        tracks=max((len(block.tracks) for block in blocks), default=1),
        first_blocks=min(choice.blocks, len(blocks)),
        first_slice_s=choice.first_s,
        slice_s=choice.slice_s,
        cost_s=choice.cost_s,
        restart_sd=math.sqrt(noise.restart),
        second_sd=math.sqrt(noise.second),
        restart_share=noise.restart_share(choice.slice_s),
        measured=measured,
    )


def estimate_block_noise(blocks: Sequence[PairedBlock], slice_s: float) -> tuple[Noise, bool]:
    """Estimate the noise of blocks with slices of this length, and whether their marks tell."""
    parts = [list(_cut(block)) for block in blocks]
    spreads = [spread for metric in _METRICS if (spread := _measure_spread(blocks, parts, metric)) is not None]
    part_s = fmean([part.seconds for block in parts for part in block] or [1.0])
    return estimate_noise(spreads, slice_s, part_s), bool(spreads)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a slice, of either side: its length, and the losses in it by metric."""

    seconds: float
    losses: dict[str, float]


def _measure_spread(blocks: Sequence[PairedBlock], parts: Sequence[Sequence[_Part]], metric: str) -> Spread | None:
    evidence = build_evidence(blocks, metric)
    if evidence is None:
        return None
    return measure_spread(evidence.losses, [[part.losses[metric] for part in block] for block in parts])


def _cut(block: PairedBlock) -> Iterator[_Part]:
    """Cut a block's slice into parts at its marks; none if it has too few of them. The tracks are averaged."""
    tracks = [list(_cut_track(*duet)) for duet in block.tracks]
    for parts in zip(*tracks, strict=False):
        losses = {metric: fmean(part.losses[metric] for part in parts) for metric in _METRICS}
        yield _Part(fmean(part.seconds for part in parts), losses)


def _cut_track(base: Trial, head: Trial) -> Iterator[_Part]:
    """Cut one duet at its marks.

    Bytes stand for replies: all are equally long, and a constant factor does not change how losses vary.
    """
    for base_marks, head_marks in zip(pairwise(base.marks), pairwise(head.marks), strict=False):
        steps = [_subtract(*marks) for marks in (base_marks, head_marks)]
        if all(min(step.s, step.bytes_read, step.cpu_ms) > 0 for step in steps):
            rates = [step.bytes_read / step.s for step in steps]
            costs = [step.cpu_ms / step.bytes_read for step in steps]
            losses = {_METRICS[0]: math.log(rates[0] / rates[1]), _METRICS[1]: math.log(costs[1] / costs[0])}
            yield _Part(fmean(step.s for step in steps), losses)


def _subtract(earlier: Mark, later: Mark) -> Mark:
    return Mark(
        s=later.s - earlier.s,
        bytes_read=later.bytes_read - earlier.bytes_read,
        cpu_ms=later.cpu_ms - earlier.cpu_ms,
    )
