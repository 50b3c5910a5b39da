"""Turn the blocks of a pair into evidence: the loss of head in each, and whether duets can compare rates. Pure.

In a duet both subjects share one CPU, so the ratio of their rates is the ratio of their costs, but only while that CPU
is busy and shared equally: ln(rate_base ÷ rate_head) − ln(cpu_head ÷ cpu_base) = ln(share_base ÷ share_head).
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from statistics import fmean, median

from bench_action.compare.memory import find_memory
from bench_action.compare.parts import METRICS as MARKED
from bench_action.compare.parts import average_seconds, cut, list_losses
from bench_action.compare.summary import trial_values
from bench_action.compare.warmth import find_cold_blocks
from bench_action.model.metric import METRICS
from bench_action.model.result import PhaseName, Trial
from bench_action.model.warning import Code
from bench_action.model.wording import percent
from bench_action.stats.nested import bound_sd

# limits and their evidence: docs/how-it-decides.md, "When a duet is no duet"
_SHARE = 0.01
_IDENTITY = 0.015
_DURATIONS = 0.02
_IDLE = 0.03
_SERVICES_IDLE = 0.20
_FLAWED = 0.25
_OTHERS = 0.90
SHARE_FAULTS = frozenset({Code.UNEQUAL_SHARES, Code.SLICES_DIFFER})  # costs can still be compared
FAULTS = SHARE_FAULTS | {Code.NOT_SATURATED, Code.SERVICES_SATURATED}  # why duets cannot compare rates


@dataclass(frozen=True, slots=True)
class PairedBlock:
    """One block: the trials of base and of head, equally many of each; those of duets in the order of their tracks."""

    number: int
    base: tuple[Trial, ...]
    head: tuple[Trial, ...]

    @property
    def tracks(self) -> tuple[tuple[Trial, Trial], ...]:
        """The two trials of each duet that ran at the same time."""
        return tuple(zip(self.base, self.head, strict=True))

    def without(self, places: Collection[tuple[int, int]]) -> "PairedBlock | None":
        """Leave out the duets in these places, by block and track; None if no duet is left."""
        kept = [(base, head) for base, head in self.tracks if (self.number, base.track) not in places]
        if not kept:
            return None
        return PairedBlock(self.number, tuple(base for base, _ in kept), tuple(head for _, head in kept))


@dataclass(frozen=True, slots=True)
class Evidence:
    """The losses of head against base in one metric, one for each block: logarithms, above 0 if head is worse.

    `base` and `head` are geometric means of the metric. `least_sd`: the standard deviation of the noise within
    slices, so that a smaller one of few losses is chance; 0 if slices have no marks.
    """

    metric: str
    losses: tuple[float, ...]
    base: float
    head: float
    least_sd: float = 0.0


@dataclass(frozen=True, slots=True)
class DuetCheck:
    """Whether the duets of a pair can compare rates.

    `faults` say why they cannot, `doubts` what to know if they can, each as a clause. `left_out`: the duets that
    do not count, by block and track.
    """

    faults: dict[Code, str] = field(default_factory=dict)
    doubts: dict[Code, str] = field(default_factory=dict)
    left_out: frozenset[tuple[int, int]] = frozenset()


def pair_blocks(trials: Sequence[Trial], pair: str, phase: PhaseName) -> list[PairedBlock]:
    """Pair the trials of base and head by block, in the order of measuring.

    Only what is complete, valid and warm: of blocks of duets at the same time, those that are.
    """
    cold = find_cold_blocks(trials, pair, phase)
    own = [trial for trial in trials if trial.pair == pair and trial.phase == phase]
    found = []
    for number in dict.fromkeys(trial.block for trial in own if trial.block not in cold):
        block = sorted((trial for trial in own if trial.block == number), key=lambda trial: trial.track)
        if phase == "duet":
            block = [trial for duet in _split_by_track(block) if _is_complete_and_valid(duet) for trial in duet]
        base, head = (tuple(trial for trial in block if trial.side == side) for side in ("base", "head"))
        if base and len(base) == len(head) and all(trial.valid for trial in block):
            found.append(PairedBlock(number, base, head))
    return found


def _split_by_track(block: Sequence[Trial]) -> list[list[Trial]]:
    """Split trials that are in the order of their tracks."""
    return [list(duet) for _, duet in groupby(block, key=lambda trial: trial.track)]


def _is_complete_and_valid(duet: Sequence[Trial]) -> bool:
    """Return whether a duet has both of its trials, and both are valid."""
    return len(duet) == 2 and all(trial.valid for trial in duet)


def build_evidence(blocks: Sequence[PairedBlock], metric: str) -> Evidence | None:
    """Compute the loss of each block that has the metric on both sides, above zero; None if no block has."""
    means = [_average_sides(block, metric) for block in blocks]
    pairs = [(base, head) for base, head in means if base and head]
    if not pairs:
        return None
    sign = 1.0 if METRICS[metric].better == "lower" else -1.0
    losses = tuple(sign * math.log(head / base) for base, head in pairs)
    return Evidence(metric, losses, *(math.exp(fmean(math.log(pair[side]) for pair in pairs)) for side in (0, 1)))


def build_paired_evidence(blocks: Sequence[PairedBlock], metric: str) -> Evidence | None:
    """Build the evidence of a metric that is compared in pairs.

    Requests/s counts only blocks that can compare rates; None if too many duets cannot.
    """
    if metric == "requests_per_second":
        check = check_duets(blocks)
        if check.faults:
            return None
        blocks = [kept for block in blocks if (kept := block.without(check.left_out)) is not None]
    evidence = build_evidence(blocks, metric)
    if evidence is None or metric not in MARKED:
        return evidence
    return replace(evidence, least_sd=_bound_sd(blocks, metric))


def _bound_sd(blocks: Sequence[PairedBlock], metric: str) -> float:
    """Compute the standard deviation of the noise within slices, by the parts between their marks, if they have any."""
    parts = [cut(block.tracks) for block in blocks]
    slice_s = fmean(block.base[0].duration_s for block in blocks)
    return bound_sd(list_losses(parts, metric), average_seconds(parts), slice_s)


def check_duets(blocks: Sequence[PairedBlock]) -> DuetCheck:
    """Check whether these blocks can compare rates; blocks of any phase other than `duet` always can."""
    duets = [block for block in blocks if block.base[0].phase == "duet"]
    if not duets:
        return DuetCheck()
    flaws = {(block.number, base.track): _find_flaws(base, head) for block in duets for base, head in block.tracks}
    left_out = frozenset(place for place, found in flaws.items() if found)
    return DuetCheck(dict(_find_faults(duets, flaws)), dict(_find_doubts(duets)), left_out)


def _find_flaws(base: Trial, head: Trial) -> tuple[Code, ...]:
    """Find why a duet cannot compare rates; empty if it can."""
    found = []
    if _has_unequal_shares(base, head):
        found.append(Code.UNEQUAL_SHARES)
    if abs(base.duration_s - head.duration_s) > _DURATIONS * base.duration_s:
        found.append(Code.SLICES_DIFFER)
    return tuple(found)


def _find_faults(
    duets: Sequence[PairedBlock], flaws: Mapping[tuple[int, int], tuple[Code, ...]]
) -> Iterator[tuple[Code, str]]:
    flawed = sum(1 for found in flaws.values() if found)
    if flawed > _FLAWED * len(flaws):
        codes = [code for found in flaws.values() for code in found]
        code = max(dict.fromkeys(codes), key=codes.count)
        what = "blocks" if len(flaws) == len(duets) else "duets"
        yield code, f"in {flawed} of {len(flaws)} {what} {_describe_flaw(code, duets)}"
    idle = _median_idle(duets, "application_idle")
    if idle is not None and idle > _IDLE:
        yield Code.NOT_SATURATED, f"their CPU was idle for {percent(idle)} of the time, although both were under load"
    services = _median_idle(duets, "services_idle")
    if services is not None and services < _SERVICES_IDLE:
        yield Code.SERVICES_SATURATED, f"the CPU of the services was idle for only {percent(services)} of the time"


def _find_doubts(duets: Sequence[PairedBlock]) -> Iterator[tuple[Code, str]]:
    tracks = [duet for block in duets for duet in block.tracks]
    shares = [share for duet in tracks if (share := _share_of_both(*duet)) is not None]
    idle = _median_idle(duets, "application_idle")
    if shares and idle is not None and idle <= _IDLE and median(shares) < _OTHERS:
        yield Code.OTHERS_ON_CPU, f"the two got only {percent(median(shares))} of their CPU"


def _describe_flaw(code: Code, duets: Sequence[PairedBlock]) -> str:
    if code is Code.SLICES_DIFFER:
        return f"the two were loaded for times that differ by more than {percent(_DURATIONS, exact=True)}"
    tracks = [duet for block in duets for duet in block.tracks]
    shares = [share for duet in tracks if (share := _share_of_head(*duet)) is not None]
    if shares and abs(median(shares) - 0.5) <= _SHARE:
        return f"requests/s and CPU/request of the two disagree by more than {percent(_IDENTITY, exact=True)}"
    head = f" (head had {percent(median(shares))})" if shares else ""
    return f"the two did not get equal shares of their CPU{head}"


def _has_unequal_shares(base: Trial, head: Trial) -> bool:
    share = _share_of_head(base, head)
    if share is None:
        return False
    if abs(share - 0.5) > _SHARE:
        return True
    rates = [trial.requests_per_second for trial in (base, head)]
    costs = [_average_side((trial,), "cpu_ms_per_request") for trial in (base, head)]
    if min(rates) <= 0 or not all(costs):
        return False
    return abs(math.log(rates[0] / rates[1]) - math.log((costs[1] or 1) / (costs[0] or 1))) > _IDENTITY


def _share_of_head(base: Trial, head: Trial) -> float | None:
    """Compute head's part of the CPU that both used, each over its own time: wrk's two runs never last equally long."""
    used = [t.cpu_ms["application"] / t.duration_s for t in (base, head) if "application" in t.cpu_ms]
    return used[1] / sum(used) if len(used) == 2 and sum(used) > 0 else None


def _share_of_both(base: Trial, head: Trial) -> float | None:
    """Compute which part of their one CPU the two used together."""
    cpu_ms = [trial.cpu_ms.get("application") for trial in (base, head)]
    if cpu_ms[0] is None or cpu_ms[1] is None:
        return None
    return (cpu_ms[0] + cpu_ms[1]) / 1000 / fmean((base.duration_s, head.duration_s))


def _median_idle(duets: Sequence[PairedBlock], name: str) -> float | None:
    values = [value for block in duets for base in block.base if (value := getattr(base, name)) is not None]
    return median(values) if values else None


def _average_sides(block: PairedBlock, metric: str) -> tuple[float | None, float | None]:
    if metric == "memory_mib":
        found = [memory for duet in block.tracks if (memory := find_memory(*duet)) is not None]
        return (fmean(base for base, _ in found), fmean(head for _, head in found)) if found else (None, None)
    return _average_side(block.base, metric), _average_side(block.head, metric)


def _average_side(trials: Sequence[Trial], metric: str) -> float | None:
    """Compute the geometric mean over the trials of one side; None if one of them is missing or not above zero."""
    values = [trial_values(trial).get(metric) for trial in trials]
    if not all(value is not None and value > 0 for value in values):
        return None
    return math.exp(fmean(math.log(value) for value in values if value is not None))
