"""How a slot's services without a client of ours are made new."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
from tests.probes import make_probe

from bench_action.config.schema import Service, Variant
from bench_action.engine.protocol import Engine, Exit, Handle
from bench_action.model.errors import StackError
from bench_action.model.result import Revision
from bench_action.stack.hash_seed import HashSeed
from bench_action.stack.images import Image
from bench_action.stack.postgres import Postgres
from bench_action.stack.readiness import ReadinessCheck
from bench_action.stack.redis import Redis
from bench_action.stack.server import DatabaseServer, Login
from bench_action.stack.slots import LateService, Reset, Slot, SlotStarter
from bench_action.stack.subject import Subject

pytestmark = pytest.mark.unit

QUEUE = Handle("1", "queue", "other", "queue", 5672)


class Recorder:
    """An engine that records what is done, and whose programs exit with `status`."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.done: list[str] = []

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        assert grace_s in {0, 1}
        self.done.append(f"stop {handle.name}")

    def restart(self, handle: Handle) -> None:
        self.done.append(f"restart {handle.name}")

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        self.done.append(f"{handle.name}: {' '.join(argv)}")
        return self.status, "no such queue\n"

    def ended(self) -> list[Exit]:
        return []

    def probe(self) -> str:
        self.done.append("probe")
        return "" if self.done.count("probe") % 2 == 0 else "not ready yet"


def subject(name: str, template: str = "", *foreign: str) -> Subject:
    fields = {"name": name, "template": template, "cache_seeds": {}, "foreign": frozenset(foreign)}
    return cast(Subject, type("Fake", (), fields)())


def make_slot(engine: Recorder, *command: str) -> Slot:
    slot = Slot(cast(Engine, engine), "a")
    slot.resets["queue"] = Reset(ReadinessCheck(QUEUE, 5.0, make_probe(engine.probe)), command)
    return slot


def test_renew__restarts_other_services_and_waits_until_they_are_ready() -> None:
    engine = Recorder()
    make_slot(engine).renew(subject("web"))
    assert engine.done == ["stop queue", "restart queue", "probe", "probe"]


def test_renew__runs_the_command_of_a_service() -> None:
    engine = Recorder()
    make_slot(engine, "purge", "all").renew(subject("web"))
    assert engine.done == ["queue: purge all", "probe", "probe"]


def test_renew__resets_without_fresh_data_only_if_another_subject_enters() -> None:
    engine = Recorder()
    slot = make_slot(engine, "purge")
    for name in ("web", "web", "web@base"):
        slot.renew(subject(name), fresh_data=False)
    assert engine.done.count("queue: purge") == 2


def test_renew__reports_a_command_that_fails() -> None:
    with pytest.raises(StackError, match="could not reset queue") as caught:
        make_slot(Recorder(status=3), "purge").renew(subject("web"))
    assert caught.value.where == "its `reset` command exited with status 3"
    assert caught.value.log == ("no such queue",)


class Recording(Postgres):
    """A database server that only records how it is made new."""

    def renew(self, template: str = "", *, revision: Revision = "head") -> None:
        assert revision == "head"  # it matters only without a template
        self.templates = [*getattr(self, "templates", []), template]


def test_renew__leaves_no_database_to_another_subject_even_if_both_have_one_template() -> None:
    server = Recording(cast(Engine, Recorder()), QUEUE, Login("u", "p", "d"))
    slot = Slot(cast(Engine, Recorder()), "a")
    slot.add("db", server)
    for name in ("web", "web", "web@base", "web"):
        slot.renew(subject(name, "web_head"), fresh_data=False)
    assert server.templates == ["web_head"] * 3
    slot.renew(subject("web", "web_head"), fresh_data=True)
    assert len(server.templates) == 4


class FakeDatabase:
    """A database that records in the engine's log when its data are replaced."""

    def __init__(self, engine: Recorder) -> None:
        self._engine = engine

    def renew(self, template: str) -> None:
        self._engine.done.append(f"data of {template}")


class LateSlot(Slot):
    """A slot whose only database is a fake."""

    @property
    def databases(self) -> dict[str, DatabaseServer]:
        return {"db": cast(DatabaseServer, FakeDatabase(cast(Recorder, self.engine)))}

    @property
    def caches(self) -> dict[str, Redis]:
        return {}


def make_late_slot(engine: Recorder, reset: object) -> Slot:
    slot = LateSlot(cast(Engine, engine), "a")
    service = Service.model_validate({"kind": "other", "image": "x", "depends_on": ["db"], "reset": reset})

    def begin() -> ReadinessCheck:
        engine.done.append("start keys")
        return ReadinessCheck(Handle("2", "keys", "other", "keys", 8080), 5.0, lambda: None)

    slot.late["keys"] = LateService(cast(Engine, engine), service, begin)
    return slot


def test_renew__what_depends_on_a_database_runs_only_on_its_subjects_data() -> None:
    engine = Recorder()
    slot = make_late_slot(engine, "restart")
    slot.renew(subject("web", "one"))
    slot.renew(subject("web@base", "two"))
    slot.rest()
    assert engine.done == ["data of one", "start keys", "stop keys", "data of two", "restart keys", "stop keys"]
    assert slot.handles["keys"].host == "keys"


def test_renew__what_depends_on_a_database_and_is_kept_runs_on() -> None:
    engine = Recorder()
    slot = make_late_slot(engine, "keep")
    slot.renew(subject("web", "one"))
    slot.renew(subject("web", "one"))
    assert engine.done == ["data of one", "start keys", "data of one"]
    slot.rest()  # the data of its database are about to be copied
    slot.renew(subject("web", "one"))
    assert engine.done[3:] == ["stop keys", "data of one", "restart keys"]


def test_renew__what_depends_on_a_database_is_reset_by_its_command() -> None:
    engine = Recorder()
    slot = make_late_slot(engine, ["purge"])
    slot.renew(subject("web", "one"))
    slot.renew(subject("web", "one"))
    assert engine.done == ["data of one", "start keys", "data of one", "keys: purge"]


@pytest.mark.parametrize("reset", ["restart", "keep"])
def test_renew__what_is_not_for_a_subject_does_not_run_next_to_it(reset: str) -> None:
    """The control has no migrations, which such a service may need."""
    engine = Recorder()
    slot = make_late_slot(engine, reset)
    slot.renew(subject("control", "own", "keys"))
    slot.renew(subject("web", "one"))
    slot.renew(subject("control", "own", "keys"))
    assert engine.done == ["data of own", "data of one", "start keys", "stop keys", "data of own"]


def test_settle__gives_a_subject_what_is_for_it() -> None:
    engine = cast(Engine, Recorder())
    slot = Slot(engine, "a")
    for name in ("db", "own"):
        slot.add(name, Postgres(engine, replace(QUEUE, name=name), Login("u", "p", name)))
    slot.handles["queue"] = QUEUE
    settled = slot.settle(Subject("web", "head", Variant(image="x"), Image("x", "x"), "t", foreign=frozenset({"db"})))
    assert (list(settled.databases), list(settled.services)) == (["own"], ["own", "queue"])
    assert settled.database is not None
    assert settled.database.server.login.database == "own"


class Failing:
    """A starter whose subject's first part runs when the second does not start."""

    def start(self, subject: Subject, started: dict[str, Handle], cpus: Sequence[int], _hash_seed: HashSeed) -> Subject:
        started["queue"] = QUEUE
        raise StackError(f"{subject.name} exited with status {len(cpus)}")


def test_start__that_fails_leaves_nothing_running() -> None:
    engine = Recorder()
    slot = Slot(cast(Engine, engine), "a")
    web = Subject("web", "head", Variant.model_validate({"image": "x"}), Image("x", "1"), "")
    with pytest.raises(StackError, match="web exited"):
        slot.start(web, cast(SlotStarter, Failing()))
    assert (engine.done, slot.inside) == (["stop queue"], None)
