"""The preflight: every condition at its limit, from files that the test writes."""

from pathlib import Path

import pytest

from bench_action.model.errors import StackError
from bench_action.model.machine import Condition
from bench_action.stack import preflight
from bench_action.stack.preflight import HostFacts, StealMeter, count_tracks, judge_host, read_facts, require_fit

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


def judge_levels(facts: HostFacts, connections: int = 500, *, own_network: bool = False) -> dict[str, str]:
    conditions = judge_host(facts, connections, own_network=own_network)
    return {condition.name: condition.level for condition in conditions}


def change_facts(**changes: object) -> HostFacts:
    return HostFacts(**({name: getattr(FIT, name) for name in FIT.__dataclass_fields__} | changes))


def test_judge_host__all_is_ok_on_a_fit_machine() -> None:
    assert set(judge_levels(FIT).values()) == {"ok"}
    assert set(judge_levels(FIT)) == {"cores", "load", "memory", "CPU governor", "open files", "ports", "somaxconn"}


@pytest.mark.parametrize(
    ("facts", "name", "level"),
    [
        (change_facts(open_files=599), "open files", "fatal"),
        (change_facts(open_files=600), "open files", "ok"),
        (change_facts(ports=499), "ports", "fatal"),
        (change_facts(ports=1499), "ports", "warning"),
        (change_facts(ports=1500), "ports", "ok"),
        (change_facts(somaxconn=128), "somaxconn", "warning"),
        (change_facts(somaxconn=500), "somaxconn", "ok"),
        (change_facts(cores=1, load=0.1), "cores", "warning"),
        (change_facts(load=2.1), "load", "warning"),
        (change_facts(load=2.0), "load", "ok"),
        (change_facts(available_mib=1023), "memory", "warning"),
        (change_facts(available_mib=255), "memory", "fatal"),
        (change_facts(available_mib=None), "memory", "ok"),
        (change_facts(governor="powersave"), "CPU governor", "warning"),
        (change_facts(governor=None), "CPU governor", "ok"),
    ],
)
def test_judge_host__conditions_change_at_their_limit_and_name_a_cure(facts: HostFacts, name: str, level: str) -> None:
    (condition,) = (line for line in judge_host(facts, 500, own_network=False) if line.name == name)
    assert condition.level == level
    assert bool(condition.cure) == (level != "ok")


def test_judge_host__containers_have_separate_limits() -> None:
    assert not {"open files", "ports", "somaxconn"} & set(judge_levels(change_facts(open_files=1), own_network=True))


def test_require_fit__names_every_fatal_condition_and_its_cure() -> None:
    lines = [
        Condition("cores", "ok", "2"),
        Condition("ports", "fatal", "10 for outgoing connections", "open the range"),
        Condition("memory", "fatal", "1 MiB available", "stop other programs"),
    ]
    with pytest.raises(StackError) as caught:
        require_fit(lines)
    assert "ports: 10 for outgoing connections; memory: 1 MiB available" in str(caught.value)
    assert "open the range; stop other programs" in str(caught.value)
    require_fit([Condition("load", "warning", "high", "wait")])


def test_read_facts__reads_what_the_kernel_reports(tmp_path: Path) -> None:
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


def test_read_facts__leaves_out_what_the_kernel_does_not_report(tmp_path: Path) -> None:
    facts = read_facts(tmp_path)
    assert (facts.ports, facts.somaxconn, facts.available_mib, facts.governor) == (None, None, None, None)
    assert set(judge_levels(facts, connections=1)) == {"cores", "load", "memory", "CPU governor", "open files"}


@pytest.mark.parametrize(("stolen", "level"), [(4, "ok"), (5, "ok"), (6, "warning")])
def test_steal_meter__measures_the_share_since_it_was_started(tmp_path: Path, stolen: int, level: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  100 0 100 800 0 0 0 900 0 0\ncpu0 1 2 3\n", encoding="ascii")
    meter = StealMeter(tmp_path)
    text = f"cpu  150 0 120 {830 - stolen} 0 0 0 {900 + stolen} 0 0\n"
    (tmp_path / "proc/stat").write_text(text, encoding="ascii")
    condition = meter.read()
    assert (condition.level, condition.found.split(" %")[0]) == (level, f"{stolen:.1f}")


def test_steal_meter__is_ok_if_the_kernel_reports_nothing(tmp_path: Path) -> None:
    assert StealMeter(tmp_path).read().level == "ok"


def limit_cpus(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "250000 100000\n"}, 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
    ],
)
def test_read_cpu_quota__is_that_of_either_version_of_control_groups(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    assert preflight.read_cpu_quota(limit_cpus(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("cpus", "quota", "tracks"), [(1, None, 1), (4, None, 2), (64, None, 4), (64, 4.0, 2), (64, 1.5, 1)]
)
def test_count_tracks__is_one_for_every_two_cores_within_the_quota(
    monkeypatch: pytest.MonkeyPatch, cpus: int, quota: float | None, tracks: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cpus)))
    monkeypatch.setattr(preflight, "read_siblings", lambda cpu: [cpu])
    monkeypatch.setattr(preflight, "read_cpu_quota", lambda _: quota)
    assert count_tracks() == tracks
