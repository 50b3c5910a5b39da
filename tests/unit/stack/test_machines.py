"""What the agents on several machines see there."""

from typing import Any, cast

import pytest

from bench_action.engine.protocol import Engine, Handle, MachineRoles
from bench_action.load.generator import Agent
from bench_action.model.errors import StackError
from bench_action.stack import machines
from bench_action.stack.images import Image
from bench_action.stack.machines import Watcher, Watchers, judge_machines, watch_machines

FOUND: dict[str, Any] = {
    "cpu_model": "EPYC",
    "cores": 4,
    "open_files": 1024,
    "machine": "x86_64",
    "cpus": [0, 1, 2, 3],
    "siblings": {},
    "boot_id": "",
    "load_average": 0.1,
    "free_disk_mib": 50_000,
}
LOAD = Handle("0", "load", "load", "bench-action-load", 0)
ROLES = (
    MachineRoles("", "load (l)", load=True),
    MachineRoles("app", "app (a)", application=True),
    MachineRoles("services", "services (s)", services=True),
)


class FakeAgent:
    """An agent that gets as far as the test wants, and keeps its orders."""

    def __init__(self, *answers: str) -> None:
        self.served: list[tuple[int, str]] = []
        self._answers = list(answers)

    def machine(self) -> dict[str, Any]:
        return FOUND

    def serve(self, port: int, token: str = "") -> None:
        self.served.append((port, token))

    def reach(self, address: str, timeout_s: float, *, timed: bool = False) -> dict[str, Any]:
        assert address
        assert timeout_s > 0
        reached = self._answers.pop(0) if self._answers else "large"
        return {"reached": reached, "problem": "why", "bytes_per_s": 1e9 if timed else 0.0}


class FakeEngine:
    """Three machines, on which agents are started."""

    def __init__(self, roles: tuple[MachineRoles, ...] = ROLES) -> None:
        self.machines = roles
        self.started: list[Any] = []

    def start(self, spec: Any) -> Handle:
        self.started.append(spec)
        return Handle("1", spec.name, spec.kind, spec.host, 0, machine=spec.machine)


def watch(engine: FakeEngine, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> Watchers:
    others = iter([FakeAgent(), FakeAgent()])
    monkeypatch.setattr(machines, "Agent", lambda *_: next(others))
    monkeypatch.setattr("time.sleep", lambda _: None)
    image = Image("load", "sha256:0")
    return watch_machines(cast(Engine, engine), image, LOAD, cast(Agent, agent))


def test_watch__an_agent_on_each_other_machine_in_a_network_without_applications(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, agent = FakeEngine(), FakeAgent()
    watchers = watch(engine, agent, monkeypatch)
    assert [(spec.kind, spec.machine, spec.slot) for spec in engine.started] == [
        ("watch", "app", "hosts"),
        ("watch", "services", "hosts"),
    ]
    assert watchers.bytes_per_s == 1e9
    assert set(watchers.labels.values()) == {"wrk", "application", "services"}
    assert watchers.find("services").address == "bench-action-hosts-watch-services:7301"
    (began, token), ended = agent.served
    assert (began, ended) == (7301, (0, ""))  # an application could reach it
    assert len(token) == 32
    assert next(host.roles for host in watchers.describe()) == "application"


def test_watch__nothing_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(FakeEngine(()), FakeAgent(), monkeypatch) == Watchers()


def test_watch__a_name_that_becomes_known_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(FakeEngine(), FakeAgent("nothing", "name", "large"), monkeypatch).all


@pytest.mark.parametrize(
    ("reached", "what", "cure"),
    [
        ("nothing", "load (l) does not know the name of app (a)", "7946/udp"),
        ("name", "cannot reach", "4789/udp"),
        ("small", "large packets are lost", "mtu"),
    ],
)
def test_watch__what_does_not_arrive_is_explained(
    reached: str, what: str, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "_PATIENCE_S", dict.fromkeys(("nothing", "name", "small"), 0.0))
    with pytest.raises(StackError) as caught:
        watch(FakeEngine(), FakeAgent(*[reached] * 9), monkeypatch)
    assert what in caught.value.what
    assert cure in caught.value.advice


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"load_average": 2.1}, ["app (a): load"]),
        ({"free_disk_mib": 2000}, ["app (a): disk"]),
    ],
)
def test_judge_machines__names_what_would_disturb(changes: dict[str, Any], names: list[str]) -> None:
    agent, found = cast(Agent, FakeAgent()), cast(Any, FOUND | changes)
    conditions = list(judge_machines(Watchers((Watcher(ROLES[1], LOAD, agent, found),))))
    assert [condition.name for condition in conditions] == names
    assert all(condition.cure for condition in conditions)
