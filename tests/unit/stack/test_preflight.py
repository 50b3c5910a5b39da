"""The preflight: every condition at its boundary, from files that a test has written."""

from pathlib import Path

import pytest

from bench_action.model.errors import StackError
from bench_action.model.machine import Condition
from bench_action.stack.preflight import HostFacts, StealLook, conditions_of, read_facts, require_fit

pytestmark = pytest.mark.unit

FIT = HostFacts(
    open_files=20_000,
    ports=28_232,
    somaxconn=4096,
    cores=4,
    load=0.5,
    available_mib=8000,
    governor="performance",
)


def levels(facts: HostFacts, connections: int = 500, *, own_network: bool = False) -> dict[str, str]:
    return {one.name: one.level for one in conditions_of(facts, connections, own_network=own_network)}


def changed(**changes: object) -> HostFacts:
    return HostFacts(**({name: getattr(FIT, name) for name in FIT.__dataclass_fields__} | changes))


def test_conditions__are_all_ok_on_a_fit_machine() -> None:
    assert set(levels(FIT).values()) == {"ok"}
    assert set(levels(FIT)) == {"cores", "load", "memory", "CPU governor", "open files", "ports", "somaxconn"}


@pytest.mark.parametrize(
    ("facts", "name", "level"),
    [
        (changed(open_files=599), "open files", "fatal"),
        (changed(open_files=600), "open files", "ok"),
        (changed(ports=499), "ports", "fatal"),
        (changed(ports=1499), "ports", "warning"),
        (changed(ports=1500), "ports", "ok"),
        (changed(somaxconn=128), "somaxconn", "warning"),
        (changed(somaxconn=500), "somaxconn", "ok"),
        (changed(cores=1, load=0.1), "cores", "warning"),
        (changed(load=2.1), "load", "warning"),
        (changed(load=2.0), "load", "ok"),
        (changed(available_mib=1023), "memory", "warning"),
        (changed(available_mib=255), "memory", "fatal"),
        (changed(available_mib=None), "memory", "ok"),
        (changed(governor="powersave"), "CPU governor", "warning"),
        (changed(governor=None), "CPU governor", "ok"),
    ],
)
def test_conditions__change_at_their_limit_and_bring_a_cure(facts: HostFacts, name: str, level: str) -> None:
    found = {one.name: one for one in conditions_of(facts, 500, own_network=False)}[name]
    assert found.level == level
    assert bool(found.cure) == (level != "ok")


def test_conditions__of_containers_leave_out_what_they_bring_themselves() -> None:
    assert not {"open files", "ports", "somaxconn"} & set(levels(changed(open_files=1), own_network=True))


def test_require_fit__names_every_fatal_condition_and_its_cure() -> None:
    lines = [
        Condition("cores", "ok", "2"),
        Condition("ports", "fatal", "10 for outgoing connections", "open the range"),
        Condition("memory", "fatal", "1 MiB available", "end other programs"),
    ]
    with pytest.raises(StackError) as caught:
        require_fit(lines)
    assert "ports: 10 for outgoing connections; memory: 1 MiB available" in str(caught.value)
    assert "open the range; end other programs" in str(caught.value)
    require_fit([Condition("load", "warning", "high", "wait")])


def test_read_facts__reads_what_the_kernel_shows(tmp_path: Path) -> None:
    files = {
        "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
        "proc/sys/net/core/somaxconn": "4096\n",
        "proc/loadavg": "1.25 0.80 0.50 2/345 6789\n",
        "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable:    2097152 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    facts = read_facts(tmp_path)
    assert (facts.ports, facts.somaxconn, facts.load, facts.available_mib) == (28_231, 4096, 1.25, 2048)
    assert facts.governor == "powersave"
    assert facts.cores >= 1


def test_read_facts__is_silent_where_the_kernel_is(tmp_path: Path) -> None:
    facts = read_facts(tmp_path)
    assert (facts.ports, facts.somaxconn, facts.available_mib, facts.governor) == (None, None, None, None)
    assert set(levels(facts, connections=1)) == {"cores", "load", "memory", "CPU governor", "open files"}


@pytest.mark.parametrize(("stolen", "level"), [(4, "ok"), (5, "ok"), (6, "warning")])
def test_steal_look__takes_the_share_since_it_began(tmp_path: Path, stolen: int, level: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  100 0 100 800 0 0 0 900 0 0\ncpu0 1 2 3\n", encoding="ascii")
    look = StealLook(tmp_path)
    text = f"cpu  150 0 120 {830 - stolen} 0 0 0 {900 + stolen} 0 0\n"
    (tmp_path / "proc/stat").write_text(text, encoding="ascii")
    found = look.condition()
    assert (found.level, found.found.split(" %")[0]) == (level, f"{stolen:.1f}")


def test_steal_look__is_silent_where_the_kernel_is(tmp_path: Path) -> None:
    assert StealLook(tmp_path).condition().level == "ok"
