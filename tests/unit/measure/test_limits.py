"""A subject that reaches a limit of its container or exits: what it costs, and whom."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.quiet import Quiet
from tests.unit.factories import make_count, make_trial

from bench_action.config.schema import Profile, SessionRequest
from bench_action.engine.protocol import Engine, Exit, Handle
from bench_action.measure import measurer as module
from bench_action.measure.limits import LimitError, Strain, require_within_limits
from bench_action.measure.measurer import Measurer
from bench_action.measure.trials import TrialPlan
from bench_action.model.errors import StackError
from bench_action.model.machine import Usage
from bench_action.model.result import Trial
from bench_action.model.warning import Code
from bench_action.plan.blocks import Block, Cell, Pair, Step
from bench_action.stack.session import SessionError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

pytestmark = pytest.mark.unit

PROFILE = Profile(connections=1, threads=1, duration=1)
DATABASE = Handle("db", "postgres", "postgres", "postgres", 5432, memory_limit=2**30, process_limit=4096)
FINE = Usage(cpu_ms=1.0, memory_mib=1.0, throttled_ms=0.0)


def make_subject(variant: str, revision: str = "head") -> Subject:
    """Make a subject with one service."""
    name = variant if revision == "head" else f"{variant}@base"
    handle = Handle(name, name, "subject", variant, 8000, memory_limit=2**29, process_limit=4096)
    subject = SimpleNamespace(
        name=name,
        variant=variant,
        revision=revision,
        handle=handle,
        handles=(handle,),
        services={"postgres": DATABASE},
        parts={"application": name, "db": "db"},
    )
    return cast(Subject, subject)


class FakeEngine:
    """Containers that have exited until they are stopped, and what the others have printed."""

    def __init__(self, *ended: Exit, logs: Mapping[str, list[str]] | None = None) -> None:
        self._ended, self._logs = list(ended), dict(logs or {})
        self.stopped: list[str] = []

    def ended(self) -> list[Exit]:
        return [end for end in self._ended if end.handle.id not in self.stopped]

    def logs(self, handle: Handle) -> list[str]:
        return self._logs.get(handle.id, [])

    def stop(self, handle: Handle) -> None:
        self.stopped.append(handle.id)


def require(usage: Mapping[str, Usage], failures: int = 0, **logs: list[str]) -> None:
    engine = cast(Engine, FakeEngine(logs=logs))
    require_within_limits(engine, [Strain(make_subject("api"), usage, failures)])


@pytest.mark.parametrize(
    ("usage", "what"),
    [
        ({"application": Usage(1, 1, 0, oom_kills=1)}, "api lost a process for lack of memory (limit 512 MiB)"),
        ({"application": Usage(1, 1, 0, oom_kills=2)}, "api lost 2 processes for lack of memory (limit 512 MiB)"),
        ({"application": Usage(1, 1, 0, refused_forks=9)}, "api reached its limit of 4,096 processes"),
        (
            {"application": FINE, "db": Usage(1, 1, 0, oom_kills=1)},
            "postgres lost a process for lack of memory (limit 1.0 GiB)",
        ),
    ],
)
def test_require_within_limits__names_the_limit_and_whose_it_is(usage: Mapping[str, Usage], what: str) -> None:
    with pytest.raises(LimitError) as caught:
        require(usage, api=["last words"])
    assert caught.value.what == what
    assert [subject.name for subject in caught.value.subjects] == ["api"]


def test_require_within_limits__a_full_folder_shows_in_the_log_of_what_failed() -> None:
    full = ["ERROR:  could not extend file: No space left on device"]
    require({"application": FINE}, failures=0, db=full)
    with pytest.raises(LimitError, match="postgres had no space left") as caught:
        require({"application": FINE}, failures=3, db=full)
    assert caught.value.log == tuple(full)


def test_require_within_limits__names_both_subjects_if_both_reached_one() -> None:
    usage = {"application": Usage(1, 1, 0, oom_kills=1)}
    strains = [Strain(make_subject("api", revision), usage, 0) for revision in ("base", "head")]
    with pytest.raises(LimitError) as caught:
        require_within_limits(cast(Engine, FakeEngine()), strains)
    assert [subject.name for subject in caught.value.subjects] == ["api@base", "api"]
    assert "api@base lost a process" in caught.value.what
    assert "; api lost a process" in caught.value.what


def measure(
    monkeypatch: pytest.MonkeyPatch, engine: FakeEngine, subjects: Sequence[Subject], failing: Mapping[str, StackError]
) -> tuple[Measurer, list[str]]:
    """Measure each subject alone, twice; the trials of `failing` fail until the subject is stopped."""
    taken: list[str] = []

    def take(_stack: object, place: TrialPlan, subject: Subject, *_: object, **_options: object) -> Trial:
        if subject.name in failing:
            raise failing[subject.name]
        taken.append(f"{place.block.phase} {subject.name}")
        make = make_count if place.block.phase == "count" else make_trial
        return make(subject.variant, revision=subject.revision)

    def require_alive(_engine: object) -> None:
        for end in engine.ended():
            raise StackError(f"{end.handle.name} {end}")

    monkeypatch.setattr(module, "run_count_trials", lambda *arguments: [take(*arguments)])
    monkeypatch.setattr(module, "run_capacity_trial", take)
    monkeypatch.setattr(module, "require_alive", require_alive)
    stack = SimpleNamespace(
        subjects=subjects,
        subject=lambda *key: next(each for each in subjects if (each.variant, each.revision) == key),
        agent=SimpleNamespace(settle=lambda *_: []),
        open_session=lambda subject, *_: subject,
        forget_sessions=lambda *_: None,
        engine=engine,
    )
    measurer = Measurer(cast(Stack, stack), lambda *_: PROFILE, 10, 2, Quiet(), lambda _: None)
    steps = [Step(at, (Cell(each.variant, each.revision, "list"),)) for at, each in enumerate(subjects)]
    measurer.walk([Block("count", 0, tuple(steps)), Block("capacity", 1, tuple(steps))])
    return measurer, taken


def test_walk__a_head_that_reaches_a_limit_alone_is_left_out_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subjects = [make_subject("api"), make_subject("worker")]
    error = LimitError("api reached its limit of 4,096 processes", subjects[:1], advice="", log=[])
    engine = FakeEngine()
    measurer, taken = measure(monkeypatch, engine, subjects, {"api": error})
    assert taken == ["count worker", "capacity worker"]
    assert engine.stopped == ["api"]
    assert measurer.gone == {"api": error}
    (warning,) = measurer.dropped
    assert (warning.code, warning.cell) == (Code.BLOCKS_DROPPED, "api")
    assert "limit of 4,096 processes" in warning.message


def test_walk__a_head_that_exits_between_trials_costs_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [make_subject("api"), make_subject("worker")]
    engine = FakeEngine(Exit(subjects[1].handle, 137, True))
    measurer, taken = measure(monkeypatch, engine, subjects, {})
    assert taken == ["count api", "count api", "capacity api"]  # the first was broken off
    assert len(measurer.trials) == 2
    assert measurer.gone["worker"].what == "worker ran out of memory and was killed (limit 512 MiB)"


@pytest.mark.parametrize("others", [[], [make_subject("api", "base")]])
def test_walk__the_only_head_ends_the_run(monkeypatch: pytest.MonkeyPatch, others: list[Subject]) -> None:
    subject = make_subject("api")
    error = LimitError("api reached its limit of 4,096 processes", [subject], advice="", log=[])
    with pytest.raises(LimitError):
        measure(monkeypatch, FakeEngine(), [subject, *others], {"api": error})


def test_walk__the_exit_of_the_only_head_is_named_even_if_something_else_failed_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = make_subject("api")
    error = StackError("the load generator failed: gaierror: Name or service not known", where="order: wrk")
    with pytest.raises(StackError, match="api exited with status 7") as caught:
        measure(monkeypatch, FakeEngine(Exit(subject.handle, 7, False)), [subject], {"api": error})
    assert caught.value.where == "order: wrk, in count 0 of api · list"


def test_walk__a_service_that_exits_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [make_subject("api"), make_subject("worker")]
    with pytest.raises(StackError, match="postgres ran out of memory and was killed"):
        measure(monkeypatch, FakeEngine(Exit(DATABASE, 137, True)), subjects, {})


@pytest.mark.parametrize(
    ("blamed", "codes", "lost"),
    [
        (["head"], [Code.BLOCK_DROPPED, Code.BLOCK_DROPPED, Code.BLOCKS_DROPPED], []),
        (["base"], [Code.BLOCK_DROPPED] * 3, ["api"]),
        (["base", "head"], [Code.BLOCK_DROPPED, Code.BLOCK_DROPPED, Code.BLOCKS_DROPPED], []),
    ],
)
def test_walk__a_limit_reached_in_a_pair_costs_the_block(
    monkeypatch: pytest.MonkeyPatch, blamed: list[str], codes: list[Code], lost: list[str]
) -> None:
    error = LimitError(
        "api lost a process for lack of memory", [make_subject("api", each) for each in blamed], advice="", log=[]
    )
    measurer = take_pairs(monkeypatch, FakeEngine(), error)
    assert [warning.code for warning in measurer.dropped] == codes
    assert all("lost a process for lack of memory" in warning.message for warning in measurer.dropped)
    assert list(measurer.lost) == lost


def test_walk__an_exit_in_a_pair_is_named_even_if_something_else_failed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    end = Exit(Handle("api@base", "api", "subject", "api", 8000), 7, False)
    error = StackError("the load generator failed: gaierror: Name or service not known")
    measurer = take_pairs(monkeypatch, FakeEngine(end), error)
    assert measurer.lost["api"].what == "api exited with status 7"
    assert all(warning.message.endswith("was dropped: api exited with status 7") for warning in measurer.dropped)


def test_walk__a_log_in_that_is_refused_in_a_pair_costs_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    request = SessionRequest(path="/login", method="POST")
    error = SessionError("list", request, "a reply with status 2xx", "status 503")
    measurer = take_pairs(monkeypatch, FakeEngine(), error)
    assert [warning.code for warning in measurer.dropped][:2] == [Code.BLOCK_DROPPED] * 2
    assert measurer.dropped[0].message.endswith("expected a reply with status 2xx to POST /login, got status 503")


def take_pairs(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine, error: StackError) -> Measurer:
    """Take five blocks of a pair, each of which fails."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Measurer, "_restart", fail)
    ids = {"api", "api@base"}
    slots = SimpleNamespace(
        hold_any=lambda ended: bool(ids & set(ended)),
        hold_only_base=lambda ended: ids & set(ended) == {"api@base"},
        clear=lambda: None,
    )
    stack: Any = SimpleNamespace(engine=engine, pair_of_slots=lambda _: slots)
    pair = Pair("revision", Cell("api", "base", "list"), Cell("api", "head", "list"))
    measurer = Measurer(cast(Stack, stack), lambda *_: PROFILE, 10, 2, Quiet(), lambda _: None)
    measurer.walk([Block("duet", number, (Step(0, (pair.base, pair.head)),), pair) for number in range(1, 6)])
    return measurer


def test_settle__a_subject_that_never_rests_is_reported_and_costs_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[tuple[list[str], float]] = []

    def settle(parts: list[str], limit_s: float) -> list[str]:
        waits.append((parts, limit_s))
        return [part for part in parts if part == "busy"]

    stack: Any = SimpleNamespace(agent=SimpleNamespace(settle=settle))
    warned: list[str] = []
    quiet = Quiet()
    monkeypatch.setattr(quiet, "warn", warned.append)
    measurer = Measurer(cast(Stack, stack), lambda *_: PROFILE, 10, 2, quiet, lambda _: None)
    for _ in range(2):
        measurer._settle(make_subject("busy"), make_subject("calm"))
    assert waits == [(["busy", "calm"], 20.0), (["calm"], 20.0), (["busy"], 2.0)]
    assert (list(measurer.restless), len(warned)) == (["busy"], 1)
    assert "used CPU for 20 s after its last request" in measurer.restless["busy"].message
