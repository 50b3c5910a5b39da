"""What is still measured after a cell has answered wrongly, and what is kept if measuring ends early."""

import errno
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.quiet import Quiet
from tests.unit.compare.test_objectives import OBJECTIVE, make_step
from tests.unit.factories import make_count, make_subject, make_trial, warn

from bench_action.compare.assemble import Measured
from bench_action.config.load import Project, load_policy
from bench_action.config.options import Options
from bench_action.config.schema import Config, Profile, Rate
from bench_action.load.k6 import Turn
from bench_action.measure import measurer as module
from bench_action.measure.measurer import Measurer, measure
from bench_action.measure.trials import TrialPlan, locate
from bench_action.model.errors import InputError, InterruptedRunError, StackError
from bench_action.model.progress import Progress
from bench_action.model.result import Replies, Trial
from bench_action.model.warning import WRONG_REPLIES, Code
from bench_action.plan.blocks import Block, Cell, Pair, Step, fit_slices
from bench_action.plan.plan import Plan, make_plan
from bench_action.stack.stack import Stack

pytestmark = pytest.mark.unit

PROFILE = Profile(connections=1, threads=1, duration=1)
BASE, GOOD, BAD = Cell("api", "base", "list"), Cell("api", "head", "list"), Cell("api", "head", "old")
PLAN = [
    Block("count", 0, (Step(0, (GOOD,)), Step(1, (BAD,)))),
    Block("capacity", 1, (Step(0, (BAD,)), Step(1, (GOOD,)))),
    Block("capacity", 2, (Step(0, (BAD,)),)),
]
PAIR = Pair("revision", BASE, BAD)


def walk(monkeypatch: pytest.MonkeyPatch, code: Code | None, pair: Pair = PAIR) -> tuple[list[str], list[TrialPlan]]:
    """Walk the plan while the count of BAD carries this warning. Returns the trials and pairs taken, and their places.

    Without a warning, there is no pair.
    """
    last = Block("latency", 1, (Step(0, (pair.base, pair.head)),), pair)
    taken: list[str] = []
    places: list[TrialPlan] = []

    def take(kind: str) -> Any:
        def trial(_stack: object, place: TrialPlan, *_: object, **_options: object) -> Trial:
            places.append(place)
            taken.append(f"{place.block.phase} {place.block.number} {place.cell}")
            doubts = (warn(code),) if kind == "count" and place.cell == BAD and code else ()
            make = make_count if kind == "count" else make_trial
            seen = Replies(statuses={"200": 10}, bytes_max=10 if place.cell == GOOD else 20)
            return make("api", profile=place.cell.profile, replies=seen, warnings=doubts)

        return trial

    count = take("count")
    monkeypatch.setattr(module, "run_count_trials", lambda *arguments: [count(*arguments)])
    monkeypatch.setattr(module, "run_capacity_trial", take("capacity"))
    monkeypatch.setattr(Measurer, "_take_pair", lambda _self, parts, pair: taken.append(f"{parts[0].phase} {pair}"))
    agent = SimpleNamespace(settle=lambda *_: [])
    stack = SimpleNamespace(
        subject=lambda *_: SimpleNamespace(name="api", handle=SimpleNamespace(id="1", part="1")),
        open_session=lambda subject, *_: subject,
        forget_sessions=lambda *_: None,
        agent=agent,
        engine=SimpleNamespace(ended=list),
    )
    quiet = cast(Progress, SimpleNamespace(trial_starts=lambda *_: None, trial_ended=lambda *_: None))
    measurer = Measurer(cast(Stack, stack), lambda *_: PROFILE, 10, 2, quiet, lambda _: None)
    measurer.walk(PLAN if code is None else [*PLAN, last])
    return taken, places


@pytest.mark.parametrize(
    "code", [Code.REDIRECTS, Code.MOSTLY_ERRORS, Code.NO_REPLY, Code.REPLIES_DIFFER, Code.NOTHING_SERVED]
)
def test_walk__a_cell_that_answers_wrongly_is_left_out_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, code: Code
) -> None:
    taken, _ = walk(monkeypatch, code)
    assert taken[:3] == ["count 0 api · list", "count 0 api · old", "capacity 1 api · list"]
    # whether errors of head alone are chance is seen in the blocks of its pair
    assert len(taken) == (4 if code in WRONG_REPLIES else 3)


@pytest.mark.parametrize("pair", [Pair("revision", BAD, GOOD), Pair("variant", GOOD, BAD)])
def test_walk__errors_are_a_regression_of_head_only_if_base_is_another_revision_without_them(
    monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    taken, _ = walk(monkeypatch, Code.MOSTLY_ERRORS, pair)
    assert len(taken) == 3


def test_walk__each_trial_knows_the_replies_of_its_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    _, places = walk(monkeypatch, None)
    counted = [(place.block.phase, place.counted.bytes_max if place.counted else None) for place in places]
    assert counted == [("count", None), ("count", None), ("capacity", 20), ("capacity", 10), ("capacity", 20)]


def test_walk__takes_each_block_as_it_was_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Block] = []
    monkeypatch.setattr(Measurer, "_take", lambda _self, parts: taken.extend(parts))
    stack, quiet = cast(Stack, SimpleNamespace()), Quiet()
    measurer = Measurer(stack, lambda *_: PROFILE, 10, 2, quiet, lambda _: None, fit=lambda block: fit_slices(block, 7))
    measurer.walk(PLAN)
    assert [block.number for block in taken] == [block.number for block in PLAN]
    assert {step.slice_s for block in taken for step in block.steps} == {7}


def plan() -> Plan:
    config = Config.model_validate(
        {"variants": {"api": {"image": "x"}}, "profiles": {"list": {"connections": 4, "threads": 2, "duration": 1}}}
    )
    project = Project(config, load_policy("quick"), "quick", Path(), "bench.yml")
    return make_plan(project, (make_subject("api"),), {}, (), Options())


def run_plan(
    monkeypatch: pytest.MonkeyPatch,
    *,
    error: Exception | None = None,
    full: bool = False,
    hold: Callable[[], None] = lambda: None,
) -> tuple[Measured, list[Trial], list[str]]:
    """Measure a plan whose third trial raises `error`, into a folder that may be full; what was stored and warned."""
    stored: list[Trial] = []
    warned: list[str] = []

    def walk(measurer: Measurer, _blocks: object) -> None:
        for number in (1, 2, 3):
            if number == 3 and error is not None:
                raise error
            measurer._keep(make_trial("api", block=number))

    def append(trial: Trial) -> None:
        if full:
            raise InputError("could not add a trial to trials.jsonl")
        stored.append(trial)

    monkeypatch.setattr(Measurer, "walk", walk)
    quiet = Quiet()
    monkeypatch.setattr(quiet, "warn", warned.append)
    agent = SimpleNamespace(machine=lambda: {"cores": 2})
    stack = cast(Stack, SimpleNamespace(agent=agent))
    return measure(stack, plan(), append, quiet, hold), stored, warned


def raise_interrupt() -> None:
    raise InterruptedRunError(signal.SIGTERM)


def test_measure__each_trial_is_stored_and_returned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, stored, warned = run_plan(monkeypatch)
    assert list(measured.trials) == stored
    assert [trial.block for trial in stored] == [1, 2, 3]
    assert (measured.stopped, warned) == (None, [])


def test_measure__an_error_ends_measuring_and_the_trials_so_far_count(monkeypatch: pytest.MonkeyPatch) -> None:
    error = StackError("api exited with status 137")
    measured, stored, _ = run_plan(monkeypatch, error=error)
    assert measured.stopped is error
    assert list(measured.trials) == stored
    assert len(stored) == 2


def test_measure__a_signal_after_the_last_trial_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    run_plan(monkeypatch, hold=lambda: held.append(1))
    assert held == [1]
    measured, stored, _ = run_plan(monkeypatch, hold=raise_interrupt)
    assert isinstance(measured.stopped, InterruptedRunError)
    assert list(measured.trials) == stored
    assert len(stored) == 3


def test_measure__a_full_disk_is_a_warning_and_trials_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, stored, warned = run_plan(monkeypatch, full=True)
    assert (len(measured.trials), stored) == (3, [])
    assert all("could not add a trial" in text for text in warned)


def test_measure__an_error_that_is_no_run_of_ours_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_plan(monkeypatch, error=ZeroDivisionError())
    with pytest.raises(FileNotFoundError):
        run_plan(monkeypatch, error=FileNotFoundError(errno.ENOENT, "No such file or directory"))


def test_measure__without_space_for_temporary_files_keeps_the_trials_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/tmp/x")  # noqa: S108
    measured, stored, _ = run_plan(monkeypatch, error=full)
    assert len(measured.trials) == len(stored) == 2
    assert isinstance(measured.stopped, StackError)
    assert measured.stopped.exit_status == 3
    assert "No space left on device" in measured.stopped.what


def test_search__each_step_of_a_subject_has_serial_numbers_that_no_other_had(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: dict[str, list[int]] = {"base": [], "head": []}

    def turn(_stack: object, place: TrialPlan, _subject: object, _profile: object, turn: Turn, **given: Any) -> Trial:
        numbers[place.cell.revision].append(given["number"])
        return make_step("head", 1, turn.rate or 0.0, 400.0)

    monkeypatch.setattr(module, "run_turn", turn)
    monkeypatch.setattr(Measurer, "_settle", lambda *_: None)
    profile = PROFILE.model_copy(update={"slo": OBJECTIVE, "rate": Rate(per_second=500.0)})
    measurer = Measurer(cast(Stack, None), lambda *_: profile, 10, 2, Quiet(), lambda _: None)
    block = Block("slo", 1, (Step(0, (BASE, GOOD)),), Pair("revision", BASE, GOOD))
    places = [TrialPlan(block, block.steps[0], cell) for cell in (BASE, GOOD)]
    trials = measurer._search(places, cast(Any, [None, None]), profile, BASE)
    assert len(trials) > 4
    assert all(own == list(range(len(own))) for own in numbers.values())


def test_locate__positions_are_those_in_the_order_of_start() -> None:
    """Every second track starts the other way round."""
    block = Block("duet", 1, (Step(0, (BASE, GOOD)),), Pair("revision", BASE, GOOD))
    subject = cast(Any, SimpleNamespace(slot="a"))
    found = [
        [locate(TrialPlan(block, block.steps[0], cell, track=track), subject)["position"] for cell in (BASE, GOOD)]
        for track in (0, 1)
    ]
    assert found == [[0, 1], [1, 0]]
