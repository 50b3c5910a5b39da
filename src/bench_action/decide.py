"""When a pair has been measured enough. Pure: times and trials come from whoever measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from bench_action.config.gates import PAIRED, Gates
from bench_action.gating import judge_losses
from bench_action.model.result import Trial
from bench_action.paired import paired_evidence, sides_of
from bench_action.plan import Block, Spent
from bench_action.stats.sequential import Course
from bench_action.timetable import Timetable

_TIMED = 3  # blocks whose time tells how many there will be
_COMPARING = ("duet", "interleaved")
Ended = Literal["time", "decided"]


@dataclass(slots=True)
class Decider:
    """Says of each block whether it is still needed.

    `alpha` is that of one comparison, `seconds` what a pair may take in all its duets, `minutes` the whole run's end.
    `to_the_end`: no pair is left off early, so that what the instrument can see is known as well as time allows.
    `timetable`: keeps time for pairs, which the other phases must not use up.
    """

    gates: Gates
    alpha: float
    pairs: int
    seconds: float
    minutes: float | None = None
    to_the_end: bool = False
    timetable: Timetable | None = None
    _budget_s: float | None = None
    _caps: dict[str, int] = field(default_factory=dict)
    _over: dict[str, Ended] = field(default_factory=dict)

    def enough(self, block: Block, trials: Sequence[Trial], spent: Spent) -> bool:
        """Whether this block need not be measured."""
        out_of_time = self.minutes is not None and spent.total_s >= self.minutes * 60
        if block.phase not in _COMPARING or block.pair is None:
            short = self.timetable is not None and self.timetable.must_yield(block, spent)
            return block.phase != "count" and (out_of_time or short)
        pair = str(block.pair)
        if pair in self._over:
            return True
        ended = "time" if out_of_time else self._ended(block, pair, trials, spent)
        if ended is not None:
            self._over[pair] = ended
        return ended is not None

    def courses(self) -> Mapping[str, Course]:
        """How each pair's blocks were planned, for whoever judges them at the end."""
        return {pair: Course(cap, ended=self._over.get(pair) != "decided") for pair, cap in self._caps.items()}

    def _ended(self, block: Block, pair: str, trials: Sequence[Trial], spent: Spent) -> Ended | None:
        blocks_s = spent.blocks_s
        if self._budget_s is None:
            left_s = self.minutes * 60 - spent.total_s if self.minutes is not None else self.seconds * self.pairs
            self._budget_s = max(0.0, min(self.seconds, left_s / self.pairs))
        if len(blocks_s) < _TIMED:
            return None
        if pair not in self._caps:  # from times alone: nothing that was measured may choose the looks
            self._caps[pair] = max(_TIMED, int(self._budget_s / fmean(blocks_s[:_TIMED])))
        if len(blocks_s) >= self._caps[pair]:
            return "time"
        return "decided" if not self.to_the_end and self._decided(block, pair, trials) else None

    def _decided(self, block: Block, pair: str, trials: Sequence[Trial]) -> bool:
        """Whether a look says all that will be asked: every gate decided, or one that fails the run is broken."""
        blocks = sides_of(trials, pair, block.phase)
        course = Course(self._caps[pair], ended=False)
        if course.reached(len(blocks)) != len(blocks):
            return False
        verdicts = []
        for metric in (name for name in PAIRED if name in self.gates):
            found = paired_evidence(blocks, metric)
            if found is None:
                continue
            gate = self.gates[metric]
            verdict = judge_losses(found, course, self.alpha, gate).verdict
            if verdict == "regressed" and gate.level == "fail":
                return True
            verdicts.append(verdict)
        return bool(verdicts) and "inconclusive" not in verdicts
