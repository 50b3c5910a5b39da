"""Simulate runs of unchanged code on a machine whose speed varies, with the product's own plan, decider and rules.

The speed of the machine is what was recorded on a shared virtual machine: the logarithm of one server's rate has a
standard deviation of 0.209 and an autocorrelation of 0.66, 0.32 and 0.05 after 1, 5 and 10 seconds. Here it is the sum
of an Ornstein-Uhlenbeck process and white noise with 0.66, 0.32 and 0.13: somewhat longer waves than recorded.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from bench_action.compare.alphas import Alphas, split_alpha
from bench_action.compare.pairs import Rules, compare_pairs
from bench_action.compare.stopping import Decider
from bench_action.compare.verdict import decide_verdict, is_loss
from bench_action.config.gates import Gates, default_gates
from bench_action.config.schema import PairPhase
from bench_action.model.result import Comparison, Errors, Latency, Trial, Verdict, Work
from bench_action.plan.blocks import (
    PAIRED_PHASES,
    Block,
    Cell,
    ElapsedTime,
    Pace,
    Pair,
    Step,
    make_duet_blocks,
    make_interleaved_blocks,
    make_latency_blocks,
    make_solo_blocks,
    share_restarts,
)
from bench_action.plan.timetable import Timetable

_SD, _WAVES, _PER_SECOND = 0.209, 0.791, 0.8345
_PROCESS_SD = 0.0074  # of each process of the same code, so that two of them differ by 1.05 %
_SLICE_SD = 0.008  # remaining noise between two subjects that share a CPU for a slice
_SERVICE_SD = 0.015  # of the difference of the databases' CPU per request (docker-services.jsonl.gz)
_DATABASE_MS, _UNUSED_MS = 0.25, 0.002  # of a request; of one without queries
_RATE, _CONNECTIONS = 1000.0, 64
_RESTART_S, _OVERHEAD_S, _TURN_S = 2.2, 0.3, 0.05
_LATENCY_PACE = PairPhase(warmup=1, slice=3, blocks=5)
_DUET_PACE = PairPhase(warmup=1, slice=4, shortest=4, longest=8, seconds=180.0)
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_LATENCY = Latency(mean_us=5e3, stdev_us=1e3, min_us=1e3, max_us=9e4, p50_us=5e3, p90_us=7e3, p99_us=2e4, p999_us=5e4)
_PLAIN = Trial(
    phase="capacity",
    block=0,
    position=0,
    variant="web",
    revision="head",
    profile="list",
    started_at="2026-01-01T00:00:00+00:00",
    duration_s=1.0,
    wall_s=1.0,
    requests=1,
    bytes_read=1,
    errors=Errors(),
    latency=_LATENCY,
    connections_asked=64,
    connections_live=64,
    generator_busy=0.1,
    cpu_ms={},
    work=Work(queries=0, rows=0, cache_commands=0),
    db_connections_peak=1,
    memory_peak_mib=64.0,
    steal_percent=0.0,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of run. `slowdown` of head, `idle` time of the CPU in a duet and `share_sd` of its halves are fractions.

    With one of `cpus` there are no duets. `boot_s` is the time of each start, `queries` the number per request.
    """

    name: str
    cpus: int = 2
    minutes: float = 5.0
    boot_s: float = 0.0
    pairs: int = 1
    idle: float = 0.004
    share_sd: float = 0.0008
    queries: int = 3
    service_sd: float = _SERVICE_SD
    slowdown: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `alarms`: metrics that were called regressed; `notable`: whether a loss was reported."""

    verdict: Verdict
    alarms: frozenset[str]
    notable: bool
    comparisons: tuple[Comparison, ...]
    seconds: float


class Sample(NamedTuple):
    """A measured slice: for how long, and at how many requests/s."""

    block: Block
    step: Step
    cell: Cell
    seconds: float
    rate: float


SCENARIOS = (
    Scenario("duets"),
    Scenario("duets, three cells", pairs=3),
    Scenario("duets, one minute", minutes=1.0),
    Scenario("duets, 8 s to start, one minute", minutes=1.0, boot_s=8.0),
    Scenario("turns: unequal shares", share_sd=0.04),
    Scenario("turns: the CPU is idle", idle=0.4),
    Scenario("turns: the CPU is idle, two minutes", idle=0.4, minutes=2.0),
    Scenario("turns: one CPU", cpus=1),
    Scenario("turns: one CPU, two minutes", cpus=1, minutes=2.0),
    Scenario("a page without queries", queries=0, service_sd=0.8),
)


@dataclass(slots=True)
class Machine:
    """The speed of a machine as a function of time, read in the order of time."""

    dice: np.random.Generator
    now_s: float = 0.0
    _level: float = field(init=False)

    def __post_init__(self) -> None:
        self._level = float(self.dice.standard_normal())

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        kept = _PER_SECOND**seconds
        self._level = kept * self._level + math.sqrt(1 - kept**2) * float(self.dice.standard_normal())
        self.now_s += seconds

    def speeds(self, slices: int, slice_s: float) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Compute the mean speeds of consecutive slices, relative to the usual speed."""
        found = np.empty(slices)
        for at in range(slices):
            self.wait(slice_s)
            noise = float(self.dice.standard_normal()) / math.sqrt(max(1.0, slice_s))
            found[at] = math.exp(_SD * (math.sqrt(_WAVES) * self._level + math.sqrt(1 - _WAVES) * noise))
        return found


def simulate(scenario: Scenario, dice: np.random.Generator) -> Outcome:
    """Measure and judge one run."""
    gates, machine = default_gates(), Machine(dice)
    pairs = tuple(
        Pair("revision", Cell("web", "base", f"list-{n}"), Cell("web", "head", f"list-{n}"))
        for n in range(scenario.pairs)
    )
    times = Timetable(
        limit_s=60 * scenario.minutes,
        pairs=len(pairs),
        revisions=len(pairs),
        restart_s=_RESTART_S + scenario.boot_s,
        capacity_s=2 * len(pairs) * (2 + _OVERHEAD_S),
        latency=_LATENCY_PACE,
        duet=_DUET_PACE,
    )
    decider = Decider(
        gates, _split_alpha(scenario, gates), len(pairs), _DUET_PACE.seconds, scenario.minutes, timetable=times
    )
    trials = _walk(scenario, machine, pairs, decider)
    return _judge(trials, pairs, decider, machine.now_s)


def _walk(scenario: Scenario, machine: Machine, pairs: Sequence[Pair], decider: Decider) -> list[Trial]:
    """Walk the plan as `measure.Measurer` does."""
    trials: list[Trial] = []
    times: dict[tuple[str, str], list[float]] = {}
    for block in _plan(scenario, pairs, int(machine.dice.integers(1 << 30))):
        loads_s = [s for phase in PAIRED_PHASES for s in times.get((phase, str(block.pair)), ())]
        parts = [
            part
            for part in block.parts
            if not decider.enough(
                part, trials, ElapsedTime(machine.now_s, times.get((part.phase, str(part.pair)), ()), loads_s=loads_s)
            )
        ]
        began = machine.now_s
        process = _restart(scenario, machine, parts)
        for part in parts:
            before = machine.now_s
            trials += _measure(scenario, machine, decider.fit(part), process)
            # the first one bears the restart
            part_s = machine.now_s - (began if part is parts[0] else before)
            times.setdefault((part.phase, str(part.pair)), []).append(part_s)
    return trials


def _restart(scenario: Scenario, machine: Machine, parts: Sequence[Block]) -> dict[Cell, float]:
    """Restart the subjects of blocks that share it, if there are any, and draw what a request costs each process."""
    if not parts:
        return {}
    block = parts[0]
    if block.pair is not None or block.phase == "count":
        machine.wait(_RESTART_S + scenario.boot_s + block.warmup_s)
    process = {cell: math.exp(_PROCESS_SD * machine.dice.standard_normal()) for cell in _cells(block)}
    return {cell: cost * (1 + scenario.slowdown * (cell.revision == "head")) for cell, cost in process.items()}


def _plan(scenario: Scenario, pairs: Sequence[Pair], seed: int) -> Iterator[Block]:
    """Plan a run as `design.Design` does with the preset `ci`."""
    cells = [cell for pair in pairs for cell in (pair.base, pair.head)]
    turns = Pace(warmup_s=1, slice_s=1, turns=2)
    alone = make_solo_blocks(cells, blocks=2, warmup_s=1, seed=seed)
    latency = make_latency_blocks(pairs, blocks=5, pace=Pace(_LATENCY_PACE.warmup, _LATENCY_PACE.slice), seed=seed)
    in_turn = make_interleaved_blocks(pairs, blocks=60, pace=turns, seed=seed)
    if scenario.cpus == 1:
        return chain(alone, share_restarts(in_turn, latency))
    duets = make_duet_blocks(pairs, blocks=60, pace=Pace(_DUET_PACE.warmup, _DUET_PACE.slice), seed=seed)
    return chain(alone, share_restarts(duets, latency), in_turn)


def _measure(scenario: Scenario, machine: Machine, block: Block, process: Mapping[Cell, float]) -> Iterator[Trial]:
    for step in block.steps:
        match block.phase:
            case "latency":
                yield from _latency(scenario, machine, block, step, process)
            case "duet":
                yield from _duet(scenario, machine, block, step, process)
            case _:
                (cell,) = step.cells
                seconds = step.slice_s or 2
                rate = _RATE * float(machine.speeds(1, seconds)[0]) / process[cell]
                cpu_ms = {
                    "application": 950.0 * seconds * (1 - scenario.idle),
                    "db": _use_database(scenario, machine, rate * seconds),
                }
                yield _trial(scenario, machine, Sample(block, step, cell, seconds, rate), cpu_ms=cpu_ms)
                machine.wait(_OVERHEAD_S)


def _cells(block: Block) -> list[Cell]:
    return list(dict.fromkeys(cell for step in block.steps for cell in step.cells))


def _duet(
    scenario: Scenario, machine: Machine, block: Block, step: Step, process: Mapping[Cell, float]
) -> Iterator[Trial]:
    seconds, dice = step.slice_s, machine.dice
    speed = float(machine.speeds(1, seconds)[0])
    share = min(0.9, max(0.1, 0.5 + scenario.share_sd * dice.standard_normal()))
    for cell, part in zip(step.cells, (share, 1 - share), strict=True):
        cost = process[cell] * math.exp(_SLICE_SD / math.sqrt(2) * dice.standard_normal())
        cpu_ms = 1000 * seconds * (1 - scenario.idle) * part
        rate = _RATE * speed * part * (1 - scenario.idle) / cost
        yield _trial(
            scenario,
            machine,
            Sample(block, step, cell, seconds, rate),
            cpu_ms={"application": cpu_ms, "db": _use_database(scenario, machine, rate * seconds)},
            application_idle=scenario.idle,
            services_idle=0.5,
        )


def _latency(
    scenario: Scenario, machine: Machine, block: Block, step: Step, process: Mapping[Cell, float]
) -> Iterator[Trial]:
    """Simulate turns of a few requests each, of base and head alternately."""
    turns = int(step.slice_s / _TURN_S / 2)
    speeds = machine.speeds(2 * turns, _TURN_S)
    for side, cell in enumerate(step.cells):
        own = speeds[side::2] / process[cell]
        p50_us = 5000.0 / float(np.median(own))
        latency = _LATENCY.model_copy(update={"p50_us": p50_us, "p90_us": 1.4 * p50_us})
        cpu_ms = {"application": 500.0, "db": _use_database(scenario, machine, 100.0 * step.slice_s)}
        sample = Sample(block, step, cell, step.slice_s, 100.0)
        yield _trial(scenario, machine, sample, cpu_ms=cpu_ms, latency=latency)


def _use_database(scenario: Scenario, machine: Machine, requests: float) -> float:
    """Draw the CPU time of a database in ms."""
    usual_ms = _DATABASE_MS if scenario.queries else _UNUSED_MS
    return usual_ms * requests * math.exp(scenario.service_sd / math.sqrt(2) * machine.dice.standard_normal())


def _trial(scenario: Scenario, machine: Machine, sample: Sample, **more: Any) -> Trial:
    block, step, cell, seconds, rate = sample
    began = _BEGAN + timedelta(seconds=machine.now_s - seconds)
    requests = 50 if block.phase == "count" else max(1, round(rate * seconds))
    pair = block.pair
    update: dict[str, Any] = {
        "phase": block.phase,
        "block": block.number,
        "position": step.position,
        "variant": cell.variant,
        "revision": cell.revision,
        "profile": cell.profile,
        "started_at": began.isoformat(),
        "duration_s": seconds,
        "wall_s": seconds,
        "requests": requests,
        "pair": str(pair) if pair else "",
        "side": ("base" if cell == pair.base else "head") if pair else "",
    }
    if block.phase == "count":
        update["work"] = Work(queries=50 * scenario.queries, rows=0, cache_commands=0)
    return _PLAIN.model_copy(update=update | more)


def _split_alpha(scenario: Scenario, gates: Gates) -> Alphas:
    return split_alpha(gates, scenario.pairs, duets=scenario.cpus > 1)


def _judge(trials: list[Trial], pairs: Sequence[Pair], decider: Decider, seconds: float) -> Outcome:
    rules = Rules(decider.gates, decider.courses(), decider.alphas)
    comparisons = compare_pairs(trials, pairs, rules)
    alarms = frozenset(comparison.metric for comparison in comparisons if comparison.verdict == "regressed")
    notable = any(is_loss(comparison) for comparison in comparisons)
    return Outcome(decide_verdict(trials, [], comparisons), alarms, notable, comparisons, seconds)
