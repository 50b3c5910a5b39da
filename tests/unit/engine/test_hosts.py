"""What hosts lack, in words, and the command that cures it."""

from typing import Any

import pytest

from bench_action.engine.docker.networks import Swarm
from bench_action.engine.hosts.conditions import check_host, check_swarm
from bench_action.engine.hosts.tunnel import make_connection_error
from bench_action.model.hosts import Host
from bench_action.model.machine import Machine

OUT = Swarm("inactive")
MANAGER = Swarm("active", "m", manages=True, nodes={"m": "ready", "w": "ready"})
WORKER = Swarm("active", "w")


@pytest.mark.parametrize(
    ("swarms", "level", "found", "cure"),
    [
        ({"app": MANAGER, "db": WORKER}, "ok", "2 hosts, managed by app", ""),
        ({"app": OUT, "db": OUT}, "fatal", "app and db are in no Swarm", "run `docker swarm init` on app; then run"),
        (
            {"app": MANAGER, "db": OUT},
            "fatal",
            "db is in no Swarm",
            "prints on app on db",
        ),
        ({"app": WORKER, "db": Swarm("active", "v")}, "fatal", "none of the hosts manages", "docker node promote"),
        (
            {"app": MANAGER, "db": Swarm("active", "x")},
            "fatal",
            "db is in a different Swarm than app",
            "swarm leave --force",
        ),
        (
            {"app": Swarm("active", "m", manages=True, nodes={"m": "ready", "w": "down"}), "db": WORKER},
            "fatal",
            "app does not reach db",
            "7946/udp",
        ),
        ({"app": MANAGER, "db": MANAGER}, "fatal", "app and db are the same machine", "same address"),
    ],
)
def test_check_swarm__says_what_is_missing(swarms: dict[str, Swarm], level: str, found: str, cure: str) -> None:
    (condition,) = check_swarm(swarms)
    assert condition.level == level
    assert found in condition.found
    assert cure in condition.cure


class FakeEngine:
    """An engine whose clock is wrong, and which another run uses."""

    def __init__(self, ahead_s: float = 0.0, runs: list[str] | None = None) -> None:
        self._ahead_s, self._runs = ahead_s, runs or []

    def machine(self) -> Machine:
        return Machine(4, 8000, "6.1", "28.0 (cgroup v2)")

    def read_clock(self) -> float:
        return 1000.0 + self._ahead_s

    def list_other_runs(self) -> list[str]:
        return self._runs


def check(engine: FakeEngine) -> dict[str, Any]:
    fake: Any = engine
    return {condition.name: condition for condition in check_host(fake, "db", lambda: 1000.0)}


def test_check_host__a_clock_that_is_an_hour_off_is_a_warning() -> None:
    assert set(check(FakeEngine(1.5))) == {"db"}
    clock = check(FakeEngine(-3600.0))["db: clock"]
    assert (clock.level, clock.found.startswith("its clock is 3,600 s behind")) == ("warning", True)
    assert "timedatectl set-ntp true" in clock.cure


def test_check_host__another_run_is_a_warning() -> None:
    assert "20261129-1" in check(FakeEngine(runs=["20261129-1"]))["db: other runs"].found


@pytest.mark.parametrize(
    ("said", "cause", "cure"),
    [
        ("root@h: Permission denied (publickey).", "rejects the SSH key", "ssh-copy-id -p 2222 bench@h"),
        ("Host key verification failed.", "its host key is not known", "ssh-keyscan -p 2222 h"),
        (
            "REMOTE HOST IDENTIFICATION HAS CHANGED!",
            "its host key has changed",
            "ssh-keygen -R [h]:2222",
        ),
        ("ssh: Could not resolve hostname h: Name or service not known", "its name is not known", "DNS"),
        ("connect to host h port 2222: Connection refused", "nothing answers", "sshd"),
        ("connect to host h port 2222: No route to host", "cannot be reached", "runs"),
        ("channel 2: open failed: administratively prohibited: open failed", "forwards no sockets", "sshd_config"),
        ("something new", "something new", "ssh -v -p 2222 bench@h"),
        ("", "without a message", "ssh -v"),
    ],
)
def test_connection_error__has_the_cause_and_the_cure(said: str, cause: str, cure: str) -> None:
    error = make_connection_error(Host("ssh://bench@h:2222", "h", "bench", 2222), said)
    assert cause in error.cause
    assert cure in error.advice
