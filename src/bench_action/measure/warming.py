"""Warm subjects up: load them until a request has stopped becoming cheaper."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench_action.compare.warmth import compute_fall, is_fall
from bench_action.config.schema import Profile
from bench_action.load.k6 import Turn, parse_k6_report
from bench_action.load.messages import K6Answer, WarmRun
from bench_action.load.wrk import parse_errors
from bench_action.measure.limits import Strain, require_within_limits
from bench_action.measure.trials import add_companions, subtract_counters
from bench_action.model.errors import BenchError
from bench_action.model.result import Trial, WarmUp
from bench_action.plan.blocks import LOADED_PHASES, Cell
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.stats.steady import (
    Reading,
    find_rounds,
    find_trend,
    is_far_cheaper,
    is_level,
    measure_cost,
    measure_first_cost,
)

_KEPT = 0.75
_ROUND_S, _COUNTED_S = 5, 20  # the longest round of a script, and before a count
_ITERATIONS, _TOGETHER = 20, 10  # of a round, and users at the same time: pools open their connections


@dataclass(slots=True)
class _Life:
    """A subject since its last restart: for how long it has been loaded, and how long it should be warmed up next.

    `fell`: whether a trial cost clearly less than the end of its warm-up. `fell_before`: the same before its restart.
    `over`: it has been restarted since, and nothing is known of the warm-up after that.
    """

    warm_up: WarmUp
    loaded_s: float
    needed_s: float
    fell: bool = False
    fell_before: bool = False
    over: bool = False


@dataclass(slots=True)
class Experience:
    """What earlier warm-ups have shown: how long the next one should last at least.

    Noise and the pauses of a compiler may let a warm-up seem long enough before it is. So if a request cost at least
    twice as much at first as at the end, which noise does not do, the next warm-up of the subject takes at least three
    quarters of the time. If what was measured after it cost clearly less than its end, it was too short, and the next
    one takes as long as the subject was loaded until then; in pairs, which have many restarts, only if this happens
    twice in a row, as noise does it now and then. Only a subject's own cost counts, never that of another.
    """

    _lives: dict[Cell, _Life] = field(default_factory=dict)

    def find_least_s(self, cells: Iterable[Cell], least_s: float) -> float:
        """Find how long the cells are to be warmed up together, at least."""
        return max([least_s, *(self._lives[cell].needed_s for cell in cells if cell in self._lives)])

    def add_warm_up(self, cell: Cell, warm_up: WarmUp) -> None:
        """Add the warm-up after a restart, unless it broke off, or nothing is known about it."""
        before = self._lives.get(cell)
        if warm_up.steady is None:
            if before is not None:
                before.over = True
            return
        needed_s = _KEPT * warm_up.duration_s if is_far_cheaper(warm_up.cpu_ms_first, warm_up.cpu_ms_last) else 0.0
        self._lives[cell] = _Life(warm_up, warm_up.duration_s, needed_s, fell_before=before is not None and before.fell)

    def add_trial(self, cell: Cell, trial: Trial) -> None:
        """Add what was measured after the warm-up."""
        life = self._lives.get(cell)
        if life is not None and not life.over and trial.phase in LOADED_PHASES:
            life.loaded_s += trial.duration_s
            if is_fall(compute_fall(trial, life.warm_up)):
                life.fell = True
                if life.fell_before or not trial.pair:
                    life.needed_s = life.loaded_s


def warm_up(
    stack: Stack, subjects: Sequence[Subject], profile: Profile, least_s: float, *, rests: bool = True
) -> list[WarmUp]:
    """Load subjects at the same time until all are warm, for `least_s` at least and the profile's `warmup` at most.

    Each is judged by its own CPU time alone. `rests`: once they are warm, all use no CPU when no request is under way.
    Raises StackError if a part dies or reaches a limit.
    """
    loads = [subject.order_warm_up(profile) for subject in subjects]
    limit_s = float(profile.warmup)
    runs = stack.agent.warm(
        loads,
        lambda: require_alive(stack.engine),
        least_s=min(float(least_s), limit_s),
        most_s=limit_s,
        rests=rests,
    )
    require_alive(stack.engine)
    strains = [_measure_strain(subject, run) for subject, run in zip(subjects, runs, strict=True)]
    require_within_limits(stack.engine, strains)
    return describe_warm_ups(runs, limit_s)


def describe_warm_ups(runs: Sequence[WarmRun], limit_s: float) -> list[WarmUp]:
    """Describe warm-ups from their readings. If wrk could not connect to one again, it has ended those of all."""
    broken_off = any(end["status"] != 0 for run in runs for end in run["ends"])
    return [_describe_warm_up(run, limit_s, broken_off=broken_off) for run in runs]


def _describe_warm_up(run: WarmRun, limit_s: float, *, broken_off: bool) -> WarmUp:
    readings = [Reading(*row) for row in run["readings"]]
    trend = find_trend(readings)
    steady = trend is not None and trend.steady and run["rested"] is not False
    return WarmUp(
        duration_s=run["duration_s"],
        requests=run["requests"],
        limit_s=limit_s,
        steady=steady if readings and not broken_off else None,
        rested=run["rested"],
        cpu_ms_first=measure_first_cost(readings),
        cpu_ms_last=trend.last if trend is not None else None,
        change_per_s=trend.change_per_s if trend is not None else None,
    )


def warm_up_by_script(stack: Stack, subjects: Sequence[Subject], profile: Profile, *, counted: bool) -> list[WarmUp]:
    """Warm subjects up by a k6 script, which runs in rounds: wrk cannot send what a script sends.

    Rounds follow one another, for all subjects as many, until an iteration has stopped becoming cheaper for each, or
    one more would take longer than the profile's `warmup`. `counted`: what follows is counted and must find the same
    data in all subjects, so each has one round. Raises StackError if a part dies.
    """
    lives = [_Rounds(stack, subject, profile, _COUNTED_S if counted else _ROUND_S) for subject in subjects]
    while True:
        for life in lives:
            life.run()
        if counted or all(life.is_level for life in lives) or any(life.is_over for life in lives):
            return [life.describe() for life in lives]


@dataclass(slots=True)
class _Rounds:
    """The rounds of a script on one subject, each `longest_s` at most.

    `readings`: after each round, from the first start on; none if it is not known what they cost.
    """

    stack: Stack
    subject: Subject
    profile: Profile
    longest_s: int
    readings: list[Reading] = field(default_factory=lambda: [Reading(0.0, 0.0, 0)])
    duration_s: float = 0.0

    def run(self) -> None:
        """Run the script once more, and read what it has cost."""
        round_s = min(self.longest_s, self.profile.warmup)
        turn = Turn(None, round_s, iterations=_ITERATIONS, seed=self.subject.seed, together=_TOGETHER)
        order, tape = self.subject.order_turn(self.profile, turn)
        began = time.monotonic()
        answer = self.stack.agent.k6(order, tape, lambda: require_alive(self.stack.engine))
        self.duration_s += time.monotonic() - began
        cost = _read_round(answer, self.profile, turn)
        if cost is None or not self.readings:
            self.readings.clear()  # the turns report what is wrong
            return
        last = self.readings[-1]
        self.readings.append(Reading(self.duration_s, last.cpu_ms + cost[0], last.requests + cost[1]))

    @property
    def is_level(self) -> bool:
        """Whether an iteration has stopped becoming cheaper, or its cost is unknown."""
        return not self.readings or is_level(self.readings)

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another round."""
        return self.duration_s + self.longest_s > self.profile.warmup

    def describe(self) -> WarmUp:
        """Describe the warm-up by its rounds."""
        rounds = max(0, len(self.readings) - 1)
        span = find_rounds(self.readings)
        first = measure_cost(*self.readings[:2]) if rounds else None
        last = span.last if span is not None else first
        return WarmUp(
            duration_s=self.duration_s,
            requests=None,
            rounds=rounds,
            limit_s=float(self.profile.warmup),
            steady=is_level(self.readings) if span is not None else None,
            cpu_ms_first=first,
            cpu_ms_last=last,
            change_per_s=span.change_per_s if span is not None else None,
        )


def _read_round(answer: K6Answer, profile: Profile, turn: Turn) -> tuple[float, int] | None:
    """Read the CPU time of a round in ms, and its iterations; None if they are not known."""
    usage = subtract_counters(answer["before"], answer["after"])
    cpu_ms = add_companions({name: part.cpu_ms for name, part in usage.items()}).get("application")
    try:
        iterations = parse_k6_report(answer, profile, turn, "").at_rate.iterations
    except BenchError:
        return None
    return (cpu_ms, iterations) if cpu_ms is not None and iterations else None


def _measure_strain(subject: Subject, run: WarmRun) -> Strain:
    usage = subtract_counters(run["before"], run["after"])
    return Strain(subject, usage, parse_errors(run, f"warming up {subject.name}").total)
