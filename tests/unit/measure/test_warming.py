"""Warming subjects up: what is sent to the agent, what is kept, and what the next warm-up learns from it."""

from collections.abc import Iterator, Sequence
from itertools import count
from random import Random
from statistics import fmean
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.quiet import Quiet
from tests.unit.factories import make_count, make_trial
from tests.unit.stats.test_steady import Cost, falling, find_end_s, simulate, started

from bench_action.compare.warmth import describe_cold, measure_warm_up_s
from bench_action.config.schema import Profile, Variant
from bench_action.engine.protocol import Handle
from bench_action.load.generator import Load
from bench_action.load.messages import WarmRun
from bench_action.load.wrk import SENTINEL
from bench_action.measure import measurer as module
from bench_action.measure import warming
from bench_action.measure.limits import LimitError
from bench_action.measure.measurer import Measurer
from bench_action.measure.trials import TrialPlan
from bench_action.measure.warming import Experience, describe_warm_ups, warm_up, warm_up_by_script
from bench_action.model.result import PhaseName, Revision, Trial, WarmUp
from bench_action.plan.blocks import Block, Cell, Pair, Step, share_restarts
from bench_action.stack import subject as subject_module
from bench_action.stack.images import Image
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.stats.steady import Reading, measure_cost

pytestmark = pytest.mark.unit

PROFILE = Profile(connections=4, threads=2, duration=2, warmup=30)
BASE, HEAD = Cell("web", "base", "list"), Cell("web", "head", "list")
PHASES: tuple[PhaseName, PhaseName] = ("duet", "latency")
NUMBERS = ("duration_us", "requests", "bytes", "connect", "read", "write", "status", "timeout", "min_us", "max_us")
TIMES = ("p50_us", "p90_us", "p99_us", "p999_us", "mean_us", "stdev_us")
REPORT = SENTINEL + "{" + ",".join(f'"{name}":1' for name in (*NUMBERS, *TIMES)) + ',"sent":[]}'
FINE = {"cpu_ms": 1.0, "memory_mib": 1.0, "throttled_ms": 0.0, "oom_kills": 0, "refused_forks": 0}


def make_run(*costs_ms: float, **changes: Any) -> WarmRun:
    """Build a run of 100 requests a second, each second of which has a cost."""
    readings = [(float(at), 100 * sum(costs_ms[:at]), 100 * at) for at in range(len(costs_ms) + 1)]
    fields = {
        "ends": [{"output": REPORT, "status": 0}],
        "duration_s": len(costs_ms) + 0.1,
        "requests": 7,
        "readings": readings,
        "rested": None,
    }
    return cast(WarmRun, {"before": {"application": FINE}, "after": {"application": FINE}} | fields | changes)


def make_warm_up(duration_s: float, first_ms: float | None = 4.0, *, steady: bool = True) -> WarmUp:
    return WarmUp(
        duration_s=duration_s, limit_s=20, steady=steady, cpu_ms_first=first_ms, cpu_ms_last=1.0, change_per_s=-0.1
    )


def test_describe_warm_up__of_one_that_became_steady() -> None:
    (found,) = describe_warm_ups([make_run(4.0, 2.0, 1.0, 1.0, 1.0, 1.0)], 30.0)
    assert (found.duration_s, found.requests, found.limit_s, found.steady) == (6.1, 7, 30.0, True)
    assert (found.cpu_ms_first, found.cpu_ms_last, found.change_per_s) == (4.0, 1.0, 0.0)


def test_describe_warm_up__of_one_that_did_not() -> None:
    (found,) = describe_warm_ups([make_run(4.0, 4.0, 2.0, 2.0, 1.0, 1.0)], 6.0)
    assert (found.steady, found.cpu_ms_last) == (False, 1.0)
    assert found.change_per_s == pytest.approx(0.5**0.5 - 1)


def test_describe_warm_up__without_counters_nothing_is_known() -> None:
    (found,) = describe_warm_ups([make_run(readings=[])], 20.0)
    assert (found.steady, found.cpu_ms_first, found.cpu_ms_last, found.change_per_s) == (None, None, None, None)


def test_describe_warm_up__one_that_works_on_without_requests_is_not_steady() -> None:
    for rested, steady in ((None, True), (True, True), (False, False)):
        (found,) = describe_warm_ups([make_run(4.0, 1.0, 1.0, 1.0, 1.0, 1.0, rested=rested)], 30.0)
        assert (found.rested, found.steady) == (rested, steady)


def test_describe_warm_up__what_broke_off_is_not_known_of_either() -> None:
    left = make_run(1.0, 1.0, 1.0, ends=[{"output": REPORT, "status": 0}, {"output": "", "status": 1}])
    found = describe_warm_ups([make_run(4.0, 2.0, 1.0), left], 30.0)
    assert [each.steady for each in found] == [None, None]
    experience = Experience()
    for cell, each in zip((BASE, HEAD), found, strict=True):
        experience.add_warm_up(cell, make_warm_up(12.0))
        experience.add_warm_up(cell, each)
        assert experience.find_least_s([cell], 1) == 9.0


def make_stack(runs: Sequence[WarmRun], seen: list[dict[str, Any]]) -> tuple[Stack, list[Subject]]:
    def warm(loads: Sequence[Load], _check: object, **times: float) -> Sequence[WarmRun]:
        seen.append({"orders": [load.order for load in loads], **times})
        return runs

    revisions: list[Revision] = ["base", "head"]
    subjects = [
        Subject("web", revision, Variant(image="x"), Image("x", "x"), "", Handle(name, name, "subject", "web", 8000))
        for revision, name in zip(revisions, ["web@base", "web"], strict=True)
    ][-len(runs) :]
    engine = SimpleNamespace(ended=list, logs=lambda _: [])
    return cast(Stack, SimpleNamespace(agent=SimpleNamespace(warm=warm), engine=engine)), subjects


@pytest.mark.parametrize(
    ("least_s", "limit_s", "sent"), [(1, 30, (1.0, 30.0)), (1, 2, (1.0, 2.0)), (9.5, 4, (4.0, 4.0))]
)
def test_warm_up__loads_both_at_the_same_time_between_its_bounds(
    least_s: float, limit_s: int, sent: tuple[float, float]
) -> None:
    seen: list[dict[str, Any]] = []
    stack, subjects = make_stack([make_run(1.0, 1.0, 1.0), make_run(1.0, 1.0, 1.0)], seen)
    found = warm_up(stack, subjects, PROFILE.model_copy(update={"warmup": limit_s}), least_s)
    assert [each.steady for each in found] == [True, True]
    (order,) = seen
    assert (order["least_s"], order["most_s"]) == sent
    assert [each["parts"]["application"] for each in order["orders"]] == ["web@base", "web"]
    assert all("function request()" in each["script"] for each in order["orders"])


def test_warm_up__a_limit_that_is_reached_costs_the_subject() -> None:
    stack, subjects = make_stack([make_run(1.0, after={"application": FINE | {"oom_kills": 1}})], [])
    with pytest.raises(LimitError, match="lost a process for lack of memory"):
        warm_up(stack, subjects, PROFILE, 1)


@pytest.mark.parametrize("first_ms", [None, 0.9, 1.9])
def test_experience__what_took_long_by_chance_is_forgotten(first_ms: float | None) -> None:
    experience = Experience()
    assert experience.find_least_s([BASE, HEAD], 1) == 1
    experience.add_warm_up(BASE, make_warm_up(6.0, first_ms))
    assert experience.find_least_s([BASE, HEAD], 1) == 1


def test_experience__what_became_much_cheaper_is_not_thought_warm_after_a_moment() -> None:
    experience = Experience()
    experience.add_warm_up(BASE, make_warm_up(12.0))
    assert experience.find_least_s([BASE, HEAD], 1) == 9.0
    assert experience.find_least_s([HEAD], 1) == 1
    for needed_s in (6.75, 5.0625):
        experience.add_warm_up(BASE, make_warm_up(experience.find_least_s([BASE], 1)))
        assert experience.find_least_s([BASE], 1) == needed_s


def trial_of(cost_ms: float, **changes: Any) -> Trial:
    fields: dict[str, Any] = {"duration_s": 4.0, "requests": 1000, "cpu_ms": {"application": cost_ms * 1000}}
    return make_trial("web", **(fields | changes))


def test_experience__what_became_cheaper_while_it_was_measured_needs_that_time_too() -> None:
    experience = Experience()
    experience.add_warm_up(HEAD, make_warm_up(3.0))
    experience.add_trial(HEAD, trial_of(0.9))
    assert experience.find_least_s([HEAD], 1) == 2.25
    experience.add_trial(HEAD, trial_of(0.5))
    assert experience.find_least_s([BASE, HEAD], 1) == 11.0


def test_experience__learns_nothing_after_a_warm_up_that_broke_off() -> None:
    """What is measured then belongs to another process than the last warm-up that is known."""
    experience = Experience()
    experience.add_warm_up(HEAD, make_warm_up(3.0))
    experience.add_warm_up(HEAD, make_warm_up(1.0).model_copy(update={"steady": None}))
    experience.add_trial(HEAD, trial_of(0.5))
    assert experience.find_least_s([HEAD], 1) == 2.25
    experience.add_warm_up(HEAD, make_warm_up(4.0))
    experience.add_trial(HEAD, trial_of(0.5))
    assert experience.find_least_s([HEAD], 1) == 8.0


def test_experience__in_pairs_one_fall_may_be_noise() -> None:
    experience = Experience()
    found = []
    for cost_ms in (0.8, 1.0, 0.8, 0.8, 1.0):
        experience.add_warm_up(HEAD, make_warm_up(1.1))
        experience.add_trial(HEAD, trial_of(cost_ms, phase="duet", pair="web · list", connections_live=0))
        found.append(experience.find_least_s([BASE, HEAD], 1))
    assert found == [1, 1, 1, 5.1, 1]


@pytest.mark.parametrize("phase", ["latency", "count"])
def test_experience__requests_of_another_load_tell_nothing(phase: str) -> None:
    experience = Experience()
    experience.add_warm_up(HEAD, make_warm_up(1.0))
    experience.add_trial(HEAD, trial_of(0.1, phase=phase))
    experience.add_trial(BASE, trial_of(0.1))
    assert experience.find_least_s([HEAD], 1) == 1


def live(cost: Cost, noise: float, wander: float, seed: int) -> list[tuple[float, float]]:
    """Measure a pair alone and in ten blocks. Returns how long each block was warmed up, and what was left to fall."""
    dice, experience, blocks = Random(f"{seed}"), Experience(), list[tuple[float, float]]()
    for number in range(11):
        curves = simulate(cost, noise, dice, wander)
        end_s = find_end_s(curves, experience.find_least_s([BASE, HEAD], 1))
        for cell, curve in zip((BASE, HEAD), curves, strict=True):
            taken = [reading for reading in curve if reading.at_s <= end_s]
            (warmed,) = describe_warm_ups([make_run(duration_s=end_s, readings=taken)], 30.0)
            experience.add_warm_up(cell, warmed)
            for begin_s, seconds in ((end_s, 2), (end_s + 2, 2)) if number == 0 else ((end_s, 4),):
                pair = {"phase": "duet", "pair": "web · list", "connections_live": 0} if number else {}
                cost_ms = find_cost(curve, begin_s, begin_s + seconds)
                experience.add_trial(cell, trial_of(cost_ms, duration_s=float(seconds), **pair))
        blocks.append((end_s, cost(end_s) - 1))
    return blocks[1:]


def find_cost(curve: Sequence[Reading], begin_s: float, end_s: float) -> float:
    inside = [reading for reading in curve if begin_s - 1e-9 <= reading.at_s <= end_s + 1e-9]
    return (measure_cost(inside[0], inside[-1]) if inside else None) or 1.0  # no curve goes on after the limit


@pytest.mark.parametrize("noise", [0.02, 0.05])
@pytest.mark.parametrize("time_constant_s", [3.0, 10.0])
def test_experience__slow_falls_are_found_by_what_is_measured_after_them(time_constant_s: float, noise: float) -> None:
    """At the end of warm-ups in pairs, no more than an eighth is left on average of what a request becomes cheaper."""
    runs = [live(falling(time_constant_s), noise, 0.0, seed) for seed in range(10)]
    left = [excess / 2.9 for blocks in runs for _, excess in blocks]
    assert fmean(left) < 1 / 8


@pytest.mark.parametrize(("noise", "wander", "mean_s"), [(0.02, 0.0, 1.05), (0.05, 0.0, 1.4), (0.05, 0.2, 3.0)])
def test_experience__noise_makes_few_warm_ups_longer(noise: float, wander: float, mean_s: float) -> None:
    runs = [live(started, noise, wander, seed) for seed in range(30)]
    assert fmean(end_s for blocks in runs for end_s, _ in blocks) < mean_s


def measure(
    monkeypatch: pytest.MonkeyPatch, warmup: int = 20, *, latency: bool = False, method: str = "GET"
) -> tuple[list[tuple[int, float]], Measurer, list[str]]:
    """Measure a count, and two duets whose subjects are never warm: what was warmed up, the measurer, and warnings.

    `latency`: each duet shares its restart with a block of that phase.
    """
    asked: list[tuple[int, float]] = []

    def warm(
        _stack: object, subjects: Sequence[Subject], _profile: Profile, least_s: float, **_options: bool
    ) -> list[WarmUp]:
        asked.append((len(subjects), least_s))
        return [make_warm_up(12.0, steady=len(subjects) == 1)] * len(subjects)

    def count(_stack: object, place: TrialPlan, *_: object) -> Trial:
        return make_count("web", warm_up=place.warm_up)

    def pair(_stack: object, places: Sequence[TrialPlan], *_: object, **_options: object) -> list[Trial]:
        phase = places[0].block.phase
        return [make_trial("web", phase=phase, side=each.cell.revision, warm_up=each.warm_up) for each in places]

    monkeypatch.setattr(module, "warm_up", warm)
    monkeypatch.setattr(module, "run_count_trials", lambda *arguments: [count(*arguments)])
    monkeypatch.setattr(module, "run_duet_trials", pair)
    monkeypatch.setattr(module, "run_latency_trials", pair)
    monkeypatch.setattr(module, "require_alive", lambda _: None)
    subject = SimpleNamespace(name="web", handle=SimpleNamespace(id="1", part="1"))
    slots = SimpleNamespace(arrange=lambda **_: [(subject, subject)], note_ready=lambda: None)
    stack: Any = SimpleNamespace(
        subject=lambda *_: subject,
        agent=SimpleNamespace(settle=lambda *_: []),
        open_session=lambda subject, *_: subject,
        forget_sessions=lambda *_: None,
        engine=None,
        pair_of_slots=lambda _: slots,
        retire=lambda: None,
        wait_for=lambda *_: None,
    )
    quiet, warned = Quiet(), list[str]()
    monkeypatch.setattr(quiet, "warn", warned.append)
    profile = PROFILE.model_copy(update={"warmup": warmup, "method": method})
    measurer = Measurer(stack, lambda *_: profile, 10, 2, quiet, lambda _: None)
    step = Step(0, (BASE, HEAD), slice_s=4)
    blocks, others = (
        [Block(phase, number, (step,), Pair("revision", BASE, HEAD), warmup_s=1) for number in (1, 2)]
        for phase in PHASES
    )
    shared = share_restarts(blocks, others if latency else ())
    measurer.walk([Block("count", 0, (Step(0, (HEAD,), warmup_s=1),)), *shared])
    return asked, measurer, warned


def test_walk__both_of_a_pair_are_warmed_up_together_and_each_trial_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, measurer, warned = measure(monkeypatch)
    assert asked == [(1, 1), (2, 9.0), (2, 9.0)]
    assert [trial.warm_up.steady if trial.warm_up else None for trial in measurer.trials] == [True, *[False] * 4]
    assert [text.partition(":")[0] for text in warned] == ["web@base · list", "web · list"]  # once for each


def test_walk__a_profile_may_have_no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, measurer, _ = measure(monkeypatch, warmup=0)
    assert asked == []
    assert {trial.warm_up for trial in measurer.trials} == {None}


def test_walk__latency_comes_before_a_duet_that_adds_data(monkeypatch: pytest.MonkeyPatch) -> None:
    _, measurer, _ = measure(monkeypatch, latency=True, method="POST")
    phases = [(trial.phase, trial.warm_up is not None) for trial in measurer.trials]
    assert phases == [("count", True)] + ([("latency", False)] * 2 + [("duet", True)] * 2) * 2
    assert {phase: len(times) for (phase, _), times in measurer.times.items()} == {"count": 1, "latency": 2, "duet": 2}


def test_walk__blocks_that_share_a_restart_are_warmed_up_once_and_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, measurer, _ = measure(monkeypatch, latency=True)
    assert asked == [(1, 1), (2, 9.0), (2, 9.0)]
    phases = [(trial.phase, trial.warm_up is not None) for trial in measurer.trials]
    assert phases == [("count", True)] + ([("duet", True)] * 2 + [("latency", False)] * 2) * 2
    assert {key: len(times) for key, times in measurer.times.items()} == {
        ("count", "None"): 1,
        ("latency", "web · list"): 2,
        ("duet", "web · list"): 2,
    }


def test_warm_up__wrk_runs_longer_than_the_longest_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    stack, subjects = make_stack([make_run(1.0, 1.0, 1.0)], seen)
    warm_up(stack, subjects, PROFILE, 1)
    argv = seen[0]["orders"][0]["argv"]
    assert argv[argv.index("--duration") + 1] == f"{PROFILE.warmup + subject_module._SPARE_S}s"


def warm_by_script(
    monkeypatch: pytest.MonkeyPatch, *lives: Sequence[Sequence[float | None]], warmup: int = 20, counted: bool = False
) -> tuple[list[list[WarmUp]], list[list[int]]]:
    """Warm base and head up once for each life, in which their rounds have these costs; also return their rounds."""
    found, taken = [], []
    clock = count()
    monkeypatch.setattr(warming, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(Subject, "order_turn", lambda subject, *_: (subject, None))
    profile = Profile.model_validate({"k6": "buy.js", "rate": "10/s", "warmup": warmup})
    stack, subjects = make_stack([make_run(), make_run()], [])
    stack.agent.k6 = lambda order, *_: order  # type: ignore[method-assign]
    for both in lives:
        rounds = {subject.name: iter(costs) for subject, costs in zip(subjects, both, strict=True)}
        numbers = dict.fromkeys(rounds, 0)

        def read(
            answer: object,
            *_: object,
            rounds: dict[str, Iterator[float | None]] = rounds,
            numbers: dict[str, int] = numbers,
        ) -> tuple[float, int] | None:
            name = cast(Subject, answer).name
            numbers[name] += 1
            cost = next(rounds[name])
            return None if cost is None else (20 * cost, 20)

        monkeypatch.setattr(warming, "_read_round", read)
        found.append(warm_up_by_script(stack, subjects, profile, counted=counted))
        taken.append(list(numbers.values()))
    return found, taken


FALLING = [9.0, 6.0, 4.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
LEVEL = [1.0, 1.05, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_warm_up_by_script__goes_on_for_both_until_neither_becomes_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    ((base, head),), taken = warm_by_script(monkeypatch, [LEVEL, FALLING])
    assert taken == [[8, 8]]
    assert (base.steady, head.steady, head.rounds, head.limit_s) == (True, True, 8, 20)
    assert (head.cpu_ms_first, head.cpu_ms_last) == (9.0, 1.0)


def test_warm_up_by_script__takes_two_rounds_of_what_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    ((base, head),), taken = warm_by_script(monkeypatch, [LEVEL, LEVEL])
    assert (taken, base.steady, head.steady) == ([[2, 2]], True, True)


def test_warm_up_by_script__ends_for_both_when_one_has_no_time_for_another_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (both,), taken = warm_by_script(monkeypatch, [FALLING, LEVEL], warmup=9)
    assert taken == [[5, 5]]
    assert all(each.duration_s <= each.limit_s for each in both)


def test_warm_up_by_script__takes_one_round_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that writes must leave as many rows in base as in head, and in each count."""
    assert warm_by_script(monkeypatch, [LEVEL, FALLING], [FALLING, LEVEL], counted=True)[1] == [[1, 1], [1, 1]]


def test_warm_up_by_script__says_that_it_was_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, head),), taken = warm_by_script(monkeypatch, [LEVEL, FALLING], warmup=9)
    assert taken == [[5, 5]]
    assert head.steady is False
    assert describe_cold(head).endswith("an iteration was 9 ms at first, 1 ms at the end, falling by 50 % a second")
    assert measure_warm_up_s([make_trial(warm_up=head, pair="p")]) == 0


def test_warm_up_by_script__leaves_what_is_wrong_to_the_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    ((base, head),), taken = warm_by_script(monkeypatch, [LEVEL, [1.0, None]])
    assert (taken, head.rounds, head.steady, head.cpu_ms_last) == ([[2, 2]], 0, None, None)
    assert base.steady
