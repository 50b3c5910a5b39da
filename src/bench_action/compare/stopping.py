"""Decide when a pair has been measured enough. Pure: times and trials come from the measurer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

from bench_action.compare.alphas import Alphas
from bench_action.compare.counting import find_unused_services, is_settled
from bench_action.compare.evidence import build_evidence, build_paired_evidence, check_duets, pair_blocks
from bench_action.compare.explain import errs_enough
from bench_action.compare.gating import UNCONFIRMED, confirms, judge_losses
from bench_action.compare.rates import find_missed_rates
from bench_action.compare.slicing import SlicingChoice, choose, describe_noise
from bench_action.config.gates import AT_RATE, COST, PAIRED, RATE, Gates, lacks_blocks
from bench_action.model.result import NoiseSource, PhaseName, Trial, Verdict, split_route
from bench_action.plan.blocks import PAIRED_PHASES, Block, ElapsedTime, Pair, fit_slices
from bench_action.plan.timetable import ENOUGH_REQUESTS, LEAST_BLOCKS, Timetable
from bench_action.stats.sequential import Course

_TIMED = 3  # blocks whose time decides how many there will be
_COUNTED = 2  # how often every cell is counted
Ended = Literal["time", "decided", "unfit"]
Key = tuple[str, PhaseName]


@dataclass(slots=True)
class Decider:
    """Decides for each block whether it is still needed.

    `alphas`: that of each comparison. `seconds`: the time that a pair may take for all blocks of one phase, and
    `minutes` the limit of the whole run. `to_the_end`: no pair stops early, so that the smallest detectable change is
    known as well as time allows. `timetable` reserves time for pairs, which other phases must not use up. Blocks of
    phase `interleaved` that follow a pair's duets are needed only if the duets cannot compare rates. `rate_blocks`: the
    most blocks of phase `rate`.
    """

    gates: Gates
    alphas: Alphas
    pairs: int
    seconds: float
    minutes: float | None = None
    to_the_end: bool = False
    timetable: Timetable | None = None
    rate_blocks: int = 0
    _budgets_s: dict[PhaseName, float] = field(default_factory=dict)
    _caps: dict[Key, int] = field(default_factory=dict)
    _choices: dict[str, SlicingChoice] = field(default_factory=dict)
    _over: dict[Key, Ended] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _looked: dict[Key, int] = field(default_factory=dict)  # how many blocks counted at the last look

    def enough(self, block: Block, trials: Sequence[Trial], spent: ElapsedTime) -> bool:
        """Whether this block need not be measured."""
        out_of_time = self.minutes is not None and spent.total_s >= self.minutes * 60
        if block.phase == "count":
            return block.number >= _COUNTED and all(
                is_settled([trial for trial in trials if trial.phase == "count" and trial.whole_cell == str(cell)])
                for step in block.steps
                for cell in step.cells
            )
        if block.pair is not None and self._is_answered(block, block.pair, trials):
            return True
        if block.phase not in PAIRED_PHASES or block.pair is None:
            if (block.phase, block.number) == ("capacity", 1):
                return False  # head's own figures are always measured
            return out_of_time or (
                self.timetable is not None and _time_requests(self.timetable, trials).must_yield(block, spent)
            )
        key: Key = (str(block.pair), block.phase)
        if key in self._over:
            return True
        ended = "time" if out_of_time else self._why_ended(block, key, trials, spent)
        if ended is not None:
            self._over[key] = ended
        return ended is not None

    def _is_answered(self, block: Block, pair: Pair, trials: Sequence[Trial]) -> bool:
        """Whether errors of head, or turns at a fixed rate, leave nothing open."""
        return _errs_enough(pair, trials) or (block.phase == "rate" and self._is_rate_decided(pair, trials))

    def _is_rate_decided(self, pair: Pair, trials: Sequence[Trial]) -> bool:
        """Whether a look at the blocks of a pair at a fixed rate answers everything, findings included."""
        key: Key = (str(pair), "rate")
        if key not in self._caps:
            self._caps[key] = self.rate_blocks
        if key in self._over or self.to_the_end:
            return key in self._over
        blocks, course = pair_blocks(trials, str(pair), "rate"), Course(self._caps[key], ended=False)
        if not blocks or course.reached(len(blocks)) != len(blocks):
            return False
        findings = list(find_missed_rates(trials, [pair]))
        gated = [metric for metric in AT_RATE if metric in self.gates]
        judged = {
            metric: judge_losses(found, course, self.alphas.gated[metric], self.gates[metric]).verdict
            for metric in gated
            if (found := build_evidence(blocks, metric)) is not None
        }
        judged |= {metric: "inconclusive" for metric in judged if lacks_blocks(metric, len(blocks))}
        broken = any(finding.fails for finding in findings) or self._breaks(judged)
        undecided = any(not finding.fails for finding in findings) or "inconclusive" in judged.values()
        if broken or (judged and not undecided):
            self._over[key] = "decided"
        return key in self._over

    def _breaks(self, verdicts: Mapping[str, Verdict]) -> bool:
        """Whether a gate is broken that fails the run."""
        return any(
            verdict == "regressed" and self.gates[metric].level == "fail" for metric, verdict in verdicts.items()
        )

    def courses(self) -> Mapping[Key, Course]:
        """Get the course of each pair and phase, to judge its blocks at the end."""
        return {key: Course(cap, ended=self._over.get(key) != "decided") for key, cap in self._caps.items()}

    def fit(self, block: Block) -> Block:
        """Give a duet slices of the length that its pair's first blocks have shown to be best."""
        choice = self._choices.get(str(block.pair)) if block.phase == "duet" else None
        return fit_slices(block, choice.slice_s) if choice is not None else block

    def list_noise(self, trials: Sequence[Trial]) -> tuple[NoiseSource, ...]:
        """List where the noise of the duets of each pair came from."""
        return tuple(
            describe_noise(pair, choice, pair_blocks(trials, pair, "duet")) for pair, choice in self._choices.items()
        )

    def _why_ended(self, block: Block, key: Key, trials: Sequence[Trial], spent: ElapsedTime) -> Ended | None:
        if block.phase == "interleaved" and not self._needs_turns(block, trials):
            return "decided"
        blocks_s = spent.blocks_s
        if block.phase not in self._budgets_s:
            self._budgets_s[block.phase] = self._budget_s(block, trials, spent)
        if len(blocks_s) < _TIMED:
            return None
        if key not in self._caps:
            self._caps[key] = self._plan_blocks(key, trials, blocks_s)
        if len(blocks_s) >= self._caps[key]:
            if not self.to_the_end:
                self._decide(block.pair, key, trials)  # if a gate is broken, no slices in turn are needed
            return "time"
        return None if self.to_the_end else self._decide(block.pair, key, trials)

    def _plan_blocks(self, key: Key, trials: Sequence[Trial], blocks_s: Sequence[float]) -> int:
        """Compute how many blocks fit in the time, and choose the length of the later duets' slices.

        By times and variances alone: the difference of base and head may influence neither.
        """
        pair, phase = key
        budget_s = self._budgets_s[phase]
        left_s = budget_s - sum(blocks_s)
        # blocks that a busy machine made slow may be as quick as the quickest from now on; no look comes before five
        least = min(LEAST_BLOCKS, len(blocks_s) + int(max(0.0, left_s) / min(blocks_s)))
        if phase != "duet" or self.timetable is None:
            return max(least, int(budget_s / fmean(blocks_s)))
        choice = choose(pair_blocks(trials, pair, phase), blocks_s, self.timetable.duet, left_s)
        self._choices[pair] = choice
        return max(least, choice.count_blocks(left_s))

    def _budget_s(self, block: Block, trials: Sequence[Trial], spent: ElapsedTime) -> float:
        """Compute how long one pair may take in this block's phase: its part of the time left, at most `seconds`."""
        if self.minutes is None:
            return self.seconds
        left_s, sharing = self.minutes * 60 - spent.total_s, self.pairs
        if self.timetable is not None:
            left_s -= _time_requests(self.timetable, trials).reserve_s(block, spent)
        if block.phase == "interleaved" and any(trial.phase == "duet" for trial in trials):
            # those of revisions only have gates that slices in turn may decide
            duets = {trial.pair for trial in trials if trial.phase == "duet" and trial.revision == "base"}
            sharing = sum(self._is_unfit(pair, trials) for pair in duets - self._broken)
        return max(0.0, min(self.seconds, left_s / max(1, sharing)))

    def _needs_turns(self, block: Block, trials: Sequence[Trial]) -> bool:
        """Whether slices in turn have to decide: always without duets, else if the duets cannot compare rates.

        Never if a gate that fails the run is broken already, nor for variants, which have no gate.
        """
        pair = str(block.pair)
        if not any(trial.pair == pair and trial.phase == "duet" for trial in trials):
            return not any(phase == "duet" for _, phase in (*self._over, *self._caps))
        gated = RATE in self.gates and block.pair is not None and block.pair.kind == "revision"
        return gated and pair not in self._broken and self._is_unfit(pair, trials)

    def _is_unfit(self, pair: str, trials: Sequence[Trial]) -> bool:
        return bool(check_duets(pair_blocks(trials, pair, "duet")).faults)

    def _decide(self, cells: Pair | None, key: Key, trials: Sequence[Trial]) -> Ended | None:
        """Look at the blocks: `decided` if every gate is, or one that fails the run is broken; else None.

        While duets cannot compare rates, requests/s is not decided. `unfit` if they still cannot halfway through: the
        time left goes to slices in turn.
        """
        pair, phase = key
        blocks = pair_blocks(trials, pair, phase)
        course = Course(self._caps[key], ended=False)
        if course.reached(len(blocks)) != len(blocks) or len(blocks) <= self._looked.get(key, 0):
            return None
        self._looked[key] = len(blocks)
        after_duets = phase == "interleaved" and any(trial.pair == pair and trial.phase == "duet" for trial in trials)
        unused = find_unused_services(trials, cells) if cells is not None else set()
        gated = [name for name in ((RATE,) if after_duets else PAIRED) if name in self.gates and name not in unused]
        judged = {
            metric: judge_losses(
                evidence, course, self.alphas.choose(metric, in_turn=phase == "interleaved"), self.gates[metric]
            )
            for metric in gated
            if (evidence := build_paired_evidence(blocks, metric)) is not None
        }
        verdicts = {metric: judgement.verdict for metric, judgement in judged.items()}
        if phase == "duet" and {RATE, COST} <= judged.keys() and not confirms(judged[COST], judged[RATE]):
            verdicts[RATE] = "inconclusive" if verdicts[RATE] in UNCONFIRMED else verdicts[RATE]
        is_unfit = phase == "duet" and RATE in gated and self._is_unfit(pair, trials)
        if is_unfit:
            verdicts[RATE] = "inconclusive"
        if self._breaks(verdicts):
            self._broken.add(pair)
            return "decided"
        if verdicts and "inconclusive" not in verdicts.values():
            return "decided"
        return "unfit" if is_unfit and 2 * len(blocks) >= course.cap else None


def _time_requests(timetable: Timetable, trials: Sequence[Trial]) -> Timetable:
    """Time requests with one connection by the counts, in which they are sent one by one as well."""
    request_s: dict[tuple[str, str], dict[str, dict[str, list[float]]]] = {}
    for trial in trials:
        if trial.phase == "count" and trial.requests and trial.at_rate is None:
            pair, route = (trial.variant, split_route(trial.profile)[0]), trial.route
            routes = request_s.setdefault(pair, {}).setdefault(trial.revision, {})
            routes.setdefault(route, []).append(trial.duration_s / trial.requests)
    enough_s = []
    for sides in request_s.values():
        if len(sides) == 2:  # of a mix, its requests, without their sum
            means = [
                fmean(own) for routes in sides.values() for name, own in routes.items() if name or len(routes) == 1
            ]
            enough_s.append(ENOUGH_REQUESTS * sum(means))
    return replace(timetable, enough_s=tuple(enough_s))


def _errs_enough(pair: Pair, trials: Sequence[Trial]) -> bool:
    """Whether head answers most requests wrongly, and has done so often enough to say whether that is chance."""
    wrong = any(trial.answers_wrongly for trial in trials if trial.whole_cell == str(pair.head))
    return wrong and pair.kind == "revision" and errs_enough(trials, pair)
