"""How many duets of a pair run at the same time: as many as the CPUs of services and wrk allow."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from tests.quiet import Quiet
from tests.unit.factories import PAIR, make_trial

from bench_action.config.schema import Profile
from bench_action.measure import measurer as module
from bench_action.measure.measurer import Measurer
from bench_action.measure.tracks import count_tracks
from bench_action.measure.trials import TrialPlan
from bench_action.model.result import Trial, WarmUp
from bench_action.plan.blocks import Block, Step, share_restarts
from bench_action.plan.placement import Placement, choose_placements

pytestmark = pytest.mark.unit

PROFILE = Profile(path="/", connections=4, threads=2, duration=1)


def place(cores: int) -> Placement:
    return choose_placements(range(cores), {cpu: [cpu] for cpu in range(cores)}, 4)[0]


def alone(need: float, revision: str = "head") -> Trial:
    """Build a trial alone, in which services and wrk need so many CPUs for each CPU of the application."""
    cpu_ms = {"application": 1000.0, "db": 900.0 * need, "generator": 100.0 * need}
    return make_trial(revision=revision, cpu_ms=cpu_ms)


@pytest.mark.parametrize(
    ("cores", "need", "tracks"),
    [
        (2, 5.0, 1),
        (4, 0.4, 2),
        (4, 0.59, 2),
        (4, 0.7, 1),
        (8, 0.4, 4),
        (8, 0.9, 3),
        (8, 1.5, 2),
        (8, 3.0, 1),
        (16, 1.8, 4),
    ],
)
def test_count_tracks__leaves_services_the_cpus_that_they_need(cores: int, need: float, tracks: int) -> None:
    assert count_tracks([alone(need), alone(need / 2, "base")], PAIR, place(cores)) == tracks


def test_count_tracks__knows_only_the_pairs_own_trials_alone() -> None:
    others = [alone(9.0).model_copy(update={"variant": "other"}), alone(9.0).model_copy(update={"phase": "duet"})]
    assert count_tracks([alone(0.3), *others], PAIR, place(8)) == 4
    assert count_tracks([], PAIR, place(8)) == 4  # the host shows no CPU time
    assert count_tracks([alone(0.3).model_copy(update={"cpu_ms": {"generator": 5.0}})], PAIR, place(8)) == 4


def test_narrow__gives_the_services_the_cpus_of_the_other_tracks() -> None:
    shared, split = place(8), place(16)
    assert shared.narrow(3) == Placement((0, 1, 2), (3, 4, 5, 6, 7), (3, 4, 5, 6, 7), 3)
    assert split.narrow(1) == Placement((0,), (1, 2, 3, *range(4, 12)), (12, 13, 14, 15))
    assert split.narrow(4) is split
    assert shared.narrow(1).boot == shared.boot


class FakeStack:
    """A stack with two tracks, which logs every request to it."""

    def __init__(self) -> None:
        self.engine, self.agent = None, SimpleNamespace(settle=lambda *_: [])
        self.arranged: list[tuple[int, int]] = []
        self.placed: list[Placement] = []

    def pair_of_slots(self, _pair: object) -> "FakeStack":
        return self

    def arrange(self, *, tracks: int, hash_seed: int, **_: object) -> list[tuple[Any, Any]]:
        self.arranged.append((tracks, hash_seed))

        def start(side: str, track: int) -> SimpleNamespace:
            return SimpleNamespace(name=f"{side} {track}", handle=SimpleNamespace(id=side, part=side))

        return [(start("base", track), start("head", track)) for track in range(tracks)]

    def note_ready(self) -> None: ...
    def place(self, placement: Placement) -> None:
        self.placed.append(placement)

    def forget_sessions(self, *_: object) -> None: ...
    def open_session(self, subject: Any, *_: object) -> Any:
        return subject

    def retire(self) -> None: ...
    def wait_for(self, *_: object) -> None: ...
    def pin(self, _: object) -> None: ...


def test_measurer__loads_the_subjects_of_all_tracks_at_once_and_latency_in_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads: list[tuple[str, list[str], list[str]]] = []

    def load(
        _stack: object, places: Sequence[TrialPlan], subjects: Sequence[Any], *_: object, **_options: object
    ) -> list[Trial]:
        names = [f"{place.cell.revision} {place.track}" for place in places]
        warmed = [f"{place.warm_up.duration_s:g}" if place.warm_up else "" for place in places]
        loads.append((places[0].block.phase, names, warmed))
        assert [subject.name for subject in subjects] == names
        return [make_trial(phase=place.block.phase, side=place.cell.revision, track=place.track) for place in places]

    def warm(_stack: object, subjects: Sequence[Any], *_: object, **_options: object) -> list[WarmUp]:
        known = {"base 0": 1.0, "head 0": 2.0, "base 1": 3.0, "head 1": 4.0}
        return [
            WarmUp(
                duration_s=known[subject.name],
                requests=9,
                limit_s=20,
                steady=subject.name != "head 1",
                cpu_ms_first=1,
                cpu_ms_last=1,
                change_per_s=0.1,
            )
            for subject in subjects
        ]

    for name, fake in (("run_duet_trials", load), ("run_latency_trials", load), ("warm_up", warm)):
        monkeypatch.setattr(module, name, fake)
    stack: Any = FakeStack()
    quiet, warned = Quiet(), list[str]()
    monkeypatch.setattr(quiet, "warn", warned.append)
    taken = Measurer(stack, lambda *_: PROFILE, 10, 2, quiet, lambda _: None, places=(place(4),))
    taken.trials = [alone(0.4)]
    duet, latency = (
        Block(phase, 1, (Step(0, (PAIR.head, PAIR.base), slice_s=4),), PAIR, warmup_s=1, hash_seed=4711)
        for phase in ("duet", "latency")
    )
    taken.walk(share_restarts([duet], [latency]))
    assert loads == [
        ("duet", ["head 0", "base 0", "base 1", "head 1"], ["2", "1", "3", "4"]),
        ("latency", ["head 0", "base 0"], ["", ""]),
    ]
    assert stack.arranged == [(2, 4711)]
    assert len(stack.placed) == 2  # again for services that started with the subjects
    assert [text.partition(":")[0] for text in warned] == [str(PAIR.head)]  # cold in the second track only


def test_measurer__says_that_services_need_the_cpus_of_a_track(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, said = Quiet(), list[str]()
    monkeypatch.setattr(quiet, "step", said.append)
    stack: Any = FakeStack()
    taken = Measurer(stack, lambda *_: PROFILE, 10, 2, quiet, lambda _: None, places=(place(4),))
    taken.trials = [alone(2.0)]
    block = Block("duet", 1, (Step(0, (PAIR.head, PAIR.base), slice_s=4),), PAIR)
    for _ in range(2):
        assert taken._place(block) == Placement((0,), (1, 2, 3), (1, 2, 3))
    assert said == [f"{PAIR}: 1 duet at the same time, as the services need the other CPUs"]
