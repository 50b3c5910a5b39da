"""Connections that are late: a short backlog is no limit."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.measure.test_warming import FINE, REPORT

from bench_action.config.schema import Profile, Variant
from bench_action.engine.protocol import Handle
from bench_action.load.generator import Load
from bench_action.load.messages import WrkAnswer
from bench_action.measure.openings import Openings
from bench_action.measure.trials import TrialPlan, run_capacity_trial, run_duet_trials
from bench_action.model.result import Trial
from bench_action.model.warning import Code
from bench_action.plan.blocks import Block, Cell, Pair, Step
from bench_action.stack.images import Image
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

pytestmark = pytest.mark.unit

PROFILE = Profile(path="/items?page={seq}", connections=64, threads=2, duration=1)
BASE, HEAD = Cell("web", "base", "list"), Cell("web", "head", "list")
PAIR = Pair("revision", BASE, HEAD)


def make_answer(early: int, live: int, number: int, errors: int) -> WrkAnswer:
    """Build what the agent says about one run of wrk: how many connections were open early, and at last."""
    parts = {"application": FINE}
    output = REPORT.replace('"connect":1', f'"connect":{errors}').replace('"requests":1', f'"requests":{100 + number}')
    for name in ("read", "write", "status", "timeout"):
        output = output.replace(f'"{name}":1', f'"{name}":0')
    figures: dict[str, Any] = {
        "cpu_s": 0.0,
        "wall_s": 1.0,
        "clock_step_s": 0.0,
        "steal_percent": 0.0,
        "lateness_s": 0.0,
    }
    nothing: dict[str, Any] = {"sampled": [], "memory_mib": None, "marks": [], "histogram": [], "busy": None}
    found = {"output": output, "status": 0, "live": live, "open": live, "early": early, "before": parts, "after": parts}
    return cast(WrkAnswer, {**figures, **nothing, **found, "idle": {}, "machines": {}, "cores": 1})


class Loads:
    """A stack whose subjects have so many connections open at first and at last, run after run of wrk.

    `durations_s`, `serials`: of each run, how long it lasts and the first serial number that it may send. `settled`:
    what was waited for between two runs.
    """

    def __init__(
        self, connections: Sequence[tuple[int, int]], *, errors: int = 0, keep_alive: bool | None = None
    ) -> None:
        self._connections, self._errors = iter(connections), errors
        self.durations_s: list[int] = []
        self.serials: list[int] = []
        self.settled: list[list[str]] = []

        def settle(parts: list[str], _longest_s: float) -> None:
            self.settled.append(parts)

        agent = SimpleNamespace(wrk=self._answer, duet=self._answer_each, settle=settle)
        engine = SimpleNamespace(ended=list, logs=lambda _: [])
        self.stack = cast(Stack, SimpleNamespace(agent=agent, engine=engine, watchers=SimpleNamespace(labels={})))
        self.openings = Openings()
        variant = Variant(image="x", keep_alive=keep_alive)
        self._subjects = {
            cell: Subject("web", cell.revision, variant, Image("x", "x"), "", Handle(name, name, "subject", "web", 80))
            for cell, name in ((BASE, "web@base"), (HEAD, "web"))
        }

    def take_alone(self, cell: Cell, profile: Profile = PROFILE, *, pair: Pair | None = PAIR) -> Trial:
        step = Step(3, (cell,))
        place = TrialPlan(Block("interleaved" if pair else "capacity", 1, (step,), pair), step, cell)
        return run_capacity_trial(self.stack, place, self._subjects[cell], profile, 1, openings=self.openings)

    def take_duet(self) -> list[Trial]:
        step = Step(0, (BASE, HEAD), slice_s=2)
        places = [TrialPlan(Block("duet", 1, (step,), PAIR), step, cell) for cell in step.cells]
        return run_duet_trials(self.stack, places, list(self._subjects.values()), PROFILE, 1, openings=self.openings)

    def _answer(self, load: Load, *_: object) -> WrkAnswer:
        self.serials.append(load.tape.first_serial)
        self.durations_s.append(int(load.order["argv"][load.order["argv"].index("--duration") + 1].rstrip("s")))
        return make_answer(*next(self._connections), len(self.serials), self._errors)

    def _answer_each(self, loads: Sequence[Load], *_: object) -> list[WrkAnswer]:
        return [self._answer(load) for load in loads]


def test_slice__that_lacks_connections_is_taken_again_and_longer() -> None:
    loads = Loads([(62, 62), (62, 64), (62, 64), (64, 64), (62, 64)])
    assert loads.take_alone(HEAD).requests == 102  # of the second
    assert loads.durations_s == [1, 4]
    assert len(set(loads.serials)) == 2
    assert loads.settled == [["web"]]
    for cell in (BASE, HEAD, HEAD):  # the other side of the pair is longer from the beginning
        loads.take_alone(cell)
    assert loads.durations_s == [1, 4, 4, 4, 4]
    assert [(each.cell, each.message) for each in loads.openings.list_warnings()] == [
        ("web · list", "fewer than 64 connections were open at first (trials: 2 of 3)")
    ]


def test_slice__whose_connections_are_only_late_counts() -> None:
    loads = Loads([(62, 64), (64, 64)])
    for _ in range(2):
        assert not loads.take_alone(HEAD).warnings
    assert loads.durations_s == [1, 1]
    assert loads.openings.list_warnings() == []  # once is chance


def test_slice__of_a_server_that_is_limited_is_invalid() -> None:
    loads = Loads([(50, 50), (50, 50)])
    assert [each.code for each in loads.take_alone(HEAD).warnings] == [Code.FEWER_CONNECTIONS]
    assert loads.durations_s == [1, 4]


def test_trial__of_one_that_is_measured_alone_is_longer_as_well_if_it_is_short() -> None:
    loads = Loads([(50, 50), (50, 64)])
    assert not loads.take_alone(HEAD, pair=None).warnings
    loads = Loads([(50, 50)])
    loads.take_alone(HEAD, PROFILE.model_copy(update={"duration": 3}), pair=None)
    assert loads.durations_s == [3]


@pytest.mark.parametrize(
    ("errors", "keep_alive", "changes"),
    [(1, None, {}), (0, False, {}), (0, None, {"method": "POST"})],
    ids=["errors", "connections are closed", "adds data"],
)
def test_slice__is_taken_once(errors: int, keep_alive: bool | None, changes: dict[str, str]) -> None:
    loads = Loads([(62, 62)], errors=errors, keep_alive=keep_alive)
    loads.take_alone(HEAD, PROFILE.model_copy(update=changes))
    assert loads.durations_s == [1]


def test_slice__that_cannot_be_taken_again_is_long_enough_if_a_longer_one_has_shown_late_connections() -> None:
    writing = PROFILE.model_copy(update={"method": "POST"})
    loads = Loads([(57, 64), (57, 64), (64, 64)])
    loads.take_alone(BASE, writing.model_copy(update={"duration": 3}), pair=None)
    for cell in (HEAD, BASE):
        assert not loads.take_alone(cell, writing).warnings
    assert loads.durations_s == [3, 4, 4]


def test_duet__notes_both_sides() -> None:
    loads = Loads([(64, 64), (62, 64)] * 2)
    assert [trial.requests for trial in loads.take_duet()] == [101, 102]
    loads.take_duet()
    assert [each.cell for each in loads.openings.list_warnings()] == ["web · list"]
    assert loads.openings.find_spare_s([BASE, HEAD], 1) == 0


def test_duet__does_not_count_the_end_of_a_connection_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = Loads([(64, 64), (64, 64)])
    found = make_answer(64, 64, 1, 0)
    output = found["output"].replace('"read":0', '"read":103')
    answers = [{**found, "output": output, "sampled": [[200, 40, "", "ab", 0, end]]} for end in (True, False)]
    monkeypatch.setattr(loads.stack.agent, "duet", lambda *_: answers)
    assert [trial.errors.read for trial in loads.take_duet()] == [2, 103]
