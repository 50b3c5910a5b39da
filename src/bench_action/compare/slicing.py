"""Choose how long a pair's later blocks are measured, by what the first ones cost and how they vary. Pure.

Only times and variances count, never the difference of base and head: see `stats/nested.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench_action.compare.evidence import PairedBlock, build_evidence
from bench_action.compare.parts import METRICS, Part, average_seconds, cut, list_losses
from bench_action.config.schema import PairPhase
from bench_action.model.result import NoiseSource
from bench_action.stats.nested import Noise, Spread, choose_slice, estimate_noise, measure_spread


@dataclass(frozen=True, slots=True)
class SlicingChoice:
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


def choose(blocks: Sequence[PairedBlock], blocks_s: Sequence[float], phase: PairPhase, seconds: float) -> SlicingChoice:
    """Choose the length of the later slices of a pair, which has `seconds` left.

    `blocks` are those measured so far, and `blocks_s` what they took; a block that was dropped is only in the latter.
    """
    cost_s = max(0.0, fmean(blocks_s) - phase.slice)
    noise = estimate_block_noise(blocks, phase.slice)[0]
    length = choose_slice(noise, cost_s, phase.lengths, seconds, [phase.slice] * len(blocks_s))
    return SlicingChoice(length, phase.slice, len(blocks_s), cost_s)


def describe_noise(pair: str, choice: SlicingChoice, blocks: Sequence[PairedBlock]) -> NoiseSource:
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
    parts = [cut(block.tracks) for block in blocks]
    spreads = [spread for metric in METRICS if (spread := _measure_spread(blocks, parts, metric)) is not None]
    return estimate_noise(spreads, slice_s, average_seconds(parts)), bool(spreads)


def _measure_spread(blocks: Sequence[PairedBlock], parts: Sequence[Sequence[Part]], metric: str) -> Spread | None:
    evidence = build_evidence(blocks, metric)
    if evidence is None:
        return None
    return measure_spread(evidence.losses, list_losses(parts, metric))
