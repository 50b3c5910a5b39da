"""What is still measured once a cell has answered wrongly; the rest of measuring needs a stack."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.factories import make_count, make_trial, warn

from bench_action.config.schema import Profile
from bench_action.measure import measurer as module
from bench_action.measure.measurer import Measurer
from bench_action.measure.trials import TrialPlan
from bench_action.model.progress import Progress
from bench_action.model.result import Replies, Trial
from bench_action.model.warning import Code
from bench_action.plan.blocks import Block, Cell, Pair, Step
from bench_action.stack.stack import Stack

pytestmark = pytest.mark.unit

PROFILE = Profile(connections=1, threads=1, duration=1)
BASE, GOOD, BAD = Cell("api", "base", "list"), Cell("api", "head", "list"), Cell("api", "head", "old")
PLAN = [
    Block("count", 0, (Step(0, (GOOD,)), Step(1, (BAD,)))),
    Block("capacity", 1, (Step(0, (BAD,)), Step(1, (GOOD,)))),
    Block("capacity", 2, (Step(0, (BAD,)),)),
    Block("latency", 1, (Step(0, (BASE, BAD)),), Pair("revision", BASE, BAD)),
]


def walk(monkeypatch: pytest.MonkeyPatch, code: Code | None) -> tuple[list[str], list[TrialPlan]]:
    """The trials that are taken where the count of BAD has this warning, and where each is."""
    places: list[TrialPlan] = []

    def take(kind: str) -> Any:
        def trial(_stack: object, place: TrialPlan, *_: object) -> Trial:
            places.append(place)
            doubts = (warn(code),) if kind == "count" and place.cell == BAD and code else ()
            make = make_count if kind == "count" else make_trial
            seen = Replies(statuses={"200": 10}, bytes_max=10 if place.cell == GOOD else 20)
            return make("api", profile=place.cell.profile, replies=seen, warnings=doubts)

        return trial

    monkeypatch.setattr(module, "count_trial", take("count"))
    monkeypatch.setattr(module, "capacity_trial", take("capacity"))
    agent = SimpleNamespace(settle=lambda *_: None)
    stack = SimpleNamespace(
        subject=lambda *_: SimpleNamespace(handle=SimpleNamespace(id="1")),
        services=SimpleNamespace(agent=agent),
        engine=SimpleNamespace(ended=list),
    )
    quiet = cast(Progress, SimpleNamespace(trial_starts=lambda *_: None, trial_ended=lambda *_: None))
    measurer = Measurer(cast(Stack, stack), lambda *_: PROFILE, 10, 2, quiet, lambda _: None)
    measurer.walk(PLAN[:3] if code is None else PLAN)
    return [f"{place.block.phase} {place.block.number} {place.cell}" for place in places], places


@pytest.mark.parametrize(
    "code", [Code.REDIRECTS, Code.MOSTLY_ERRORS, Code.NO_REPLY, Code.REPLIES_DIFFER, Code.NOTHING_SERVED]
)
def test_walk__a_cell_that_answers_wrongly_is_left_out_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, code: Code
) -> None:
    taken, _ = walk(monkeypatch, code)
    assert taken == ["count 0 api · list", "count 0 api · old", "capacity 1 api · list"]


def test_walk__each_trial_knows_the_replies_of_its_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    _, places = walk(monkeypatch, None)
    counted = [(place.block.phase, place.counted.bytes_max if place.counted else None) for place in places]
    assert counted == [("count", None), ("count", None), ("capacity", 20), ("capacity", 10), ("capacity", 20)]
