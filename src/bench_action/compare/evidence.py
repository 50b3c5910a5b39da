"""What the blocks of a pair say: the loss of head against base in each, and whether they are what they should be. Pure.

In a duet both subjects share one CPU, so the ratio of their rates is the ratio of their costs, but only while that CPU
is busy and shared equally: ln(rate_base ÷ rate_head) − ln(cpu_head ÷ cpu_base) = ln(share_base ÷ share_head).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from bench_action.compare.summary import trial_values
from bench_action.model.metric import METRICS
from bench_action.model.result import PhaseName, Trial
from bench_action.model.warning import Code

# limits and what they rest on: docs/how-it-decides.md, "When a duet is no duet"
_SHARE = 0.01
_IDENTITY = 0.015
_DURATIONS = 0.02
_IDLE = 0.03
_SERVICES_IDLE = 0.20
_FLAWED = 0.25
_OTHERS = 0.90
# what keeps duets from comparing rates
FAULTS_OF_SHARES = frozenset({Code.UNEQUAL_SHARES, Code.SLICES_DIFFER})  # costs can be compared all the same
FAULTS = FAULTS_OF_SHARES | {Code.NOT_SATURATED, Code.SERVICES_SATURATED}


@dataclass(frozen=True, slots=True)
class PairedBlock:
    """One block: the trials of base and of head, as many of the one as of the other."""

    number: int
    base: tuple[Trial, ...]
    head: tuple[Trial, ...]

    @property
    def flaws(self) -> tuple[Code, ...]:
        """What makes this block no duet."""
        if self.base[0].phase != "duet":
            return ()
        base, head = self.base[0], self.head[0]
        found = []
        if _unequal(base, head):
            found.append(Code.UNEQUAL_SHARES)
        if abs(base.duration_s - head.duration_s) > _DURATIONS * base.duration_s:
            found.append(Code.SLICES_DIFFER)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The losses of head against base in one metric: logarithms, above 0 where head is worse; one a block.

    `base` and `head`: geometric means of the metric.
    """

    metric: str
    losses: tuple[float, ...]
    base: float
    head: float


@dataclass(frozen=True, slots=True)
class Soundness:
    """Whether the rates of a pair's duets may be compared: why not, and which blocks were left out."""

    faults: dict[Code, str] = field(default_factory=dict)
    doubts: dict[Code, str] = field(default_factory=dict)
    left_out: frozenset[int] = frozenset()


def pair_blocks(trials: Sequence[Trial], pair: str, phase: PhaseName) -> list[PairedBlock]:
    """The blocks of a pair in a phase that are whole and valid, in the order in which they were measured."""
    own = [trial for trial in trials if trial.pair == pair and trial.phase == phase]
    found = []
    for number in dict.fromkeys(trial.block for trial in own):
        block = [trial for trial in own if trial.block == number]
        base, head = (tuple(trial for trial in block if trial.side == side) for side in ("base", "head"))
        if base and len(base) == len(head) and all(trial.valid for trial in block):
            found.append(PairedBlock(number, base, head))
    return found


def build_evidence(blocks: Sequence[PairedBlock], metric: str) -> Evidence | None:
    """What blocks say of a metric; None where none has it on both sides, above zero."""
    pairs = [(b, h) for sides in blocks if (b := _value(sides.base, metric)) and (h := _value(sides.head, metric))]
    if not pairs:
        return None
    sign = 1.0 if METRICS[metric].better == "lower" else -1.0
    losses = tuple(sign * math.log(h / b) for b, h in pairs)
    return Evidence(metric, losses, *(math.exp(fmean(math.log(one[side]) for one in pairs)) for side in (0, 1)))


def paired_evidence(blocks: Sequence[PairedBlock], metric: str) -> Evidence | None:
    """As `build_evidence`; of requests/s only from blocks that are sound, and nothing where the pair's duets are not."""
    if metric != "requests_per_second":
        return build_evidence(blocks, metric)
    sound = soundness_of(blocks)
    return None if sound.faults else build_evidence([one for one in blocks if one.number not in sound.left_out], metric)


def soundness_of(blocks: Sequence[PairedBlock]) -> Soundness:
    """What is wrong with these duets, in words."""
    left_out = frozenset(sides.number for sides in blocks if sides.flaws)
    duets = [sides for sides in blocks if sides.base[0].phase == "duet"]
    if not duets:
        return Soundness()
    return Soundness(dict(_faults(duets, left_out)), dict(_doubts(duets)), left_out)


def _faults(duets: Sequence[PairedBlock], left_out: frozenset[int]) -> Iterator[tuple[Code, str]]:
    if len(left_out) > _FLAWED * len(duets):
        flaws = [flaw for sides in duets for flaw in sides.flaws]
        code = max(dict.fromkeys(flaws), key=flaws.count)
        yield code, f"in {len(left_out)} of {len(duets)} blocks {_flaw_text(code, duets)}"
    idle = _median_of(duets, "application_idle")
    if idle is not None and idle > _IDLE:
        yield Code.NOT_SATURATED, f"their CPU was idle for {idle * 100:.0f} % of the time, although both were loaded"
    services = _median_of(duets, "services_idle")
    if services is not None and services < _SERVICES_IDLE:
        yield Code.SERVICES_SATURATED, f"the services' CPU was idle for {services * 100:.0f} % of the time only"


def _doubts(duets: Sequence[PairedBlock]) -> Iterator[tuple[Code, str]]:
    used = [_used(sides) for sides in duets]
    known = [share for share in used if share is not None]
    idle = _median_of(duets, "application_idle")
    if known and idle is not None and idle <= _IDLE and median(known) < _OTHERS:
        yield Code.OTHERS_ON_CPU, f"the two had {median(known) * 100:.0f} % of their CPU, the rest went elsewhere"


def _flaw_text(code: Code, duets: Sequence[PairedBlock]) -> str:
    if code is Code.SLICES_DIFFER:
        return f"the two were loaded for times more than {_DURATIONS * 100:.0f} % apart"
    shares = [share for sides in duets if (share := _share(sides.base[0], sides.head[0])) is not None]
    if shares and abs(median(shares) - 0.5) <= _SHARE:
        return f"requests/s and CPU/request of the two contradict each other by more than {_IDENTITY * 100:.1f} %"
    head = f" (head had {median(shares) * 100:.0f} %)" if shares else ""
    return f"the two did not get equal shares of their CPU{head}"


def _unequal(base: Trial, head: Trial) -> bool:
    share = _share(base, head)
    if share is None:
        return False
    if abs(share - 0.5) > _SHARE:
        return True
    rates = [trial.requests_per_second for trial in (base, head)]
    costs = [_value((trial,), "cpu_ms_per_request") for trial in (base, head)]
    if min(rates) <= 0 or not all(costs):
        return False
    return abs(math.log(rates[0] / rates[1]) - math.log((costs[1] or 1) / (costs[0] or 1))) > _IDENTITY


def _share(base: Trial, head: Trial) -> float | None:
    """Head's part of the CPU of both, each over its own time: wrk's two runs are never of quite one length."""
    used = [t.cpu_ms["application"] / t.duration_s for t in (base, head) if "application" in t.cpu_ms]
    return used[1] / sum(used) if len(used) == 2 and sum(used) > 0 else None


def _used(sides: PairedBlock) -> float | None:
    """Share of their one CPU that the two had together."""
    cpu_ms = [trial.cpu_ms.get("application") for trial in (sides.base[0], sides.head[0])]
    if cpu_ms[0] is None or cpu_ms[1] is None:
        return None
    return (cpu_ms[0] + cpu_ms[1]) / 1000 / fmean((sides.base[0].duration_s, sides.head[0].duration_s))


def _median_of(duets: Sequence[PairedBlock], name: str) -> float | None:
    values = [value for sides in duets if (value := getattr(sides.base[0], name)) is not None]
    return median(values) if values else None


def _value(trials: Sequence[Trial], metric: str) -> float | None:
    """Geometric mean over the trials of one side; None where it is not told, or not above zero."""
    values = [trial_values(trial).get(metric) for trial in trials]
    if not all(value is not None and value > 0 for value in values):
        return None
    return math.exp(fmean(math.log(value) for value in values if value is not None))
