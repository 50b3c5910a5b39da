"""Check whether this machine is fit to measure: each condition says what was found and, if need be, what to do."""

import os
import re
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_action.config.load import Project
from bench_action.engine.protocol import Engine
from bench_action.load.counters import read_siblings
from bench_action.model.errors import StackError
from bench_action.model.machine import Condition, Level
from bench_action.plan.placement import MOST_TRACKS, choose_placements
from bench_action.stack.memory import Room, find_room

_SPARE_FILES = 100  # of wrk, in addition to its connections: script, libraries, event queues
_SPARE_PORTS = 1000  # a closed connection keeps its port for a minute (TIME_WAIT)
_BUSY_SHARE = 0.5
_STEAL_PERCENT = 5.0
_LOW_MIB, _LEAST_MIB = 1024, 256
_STEAL_S = 0.5  # the shortest period over which steal is measured: the kernel counts in ticks of 10 ms


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the kernel reports; None for what it does not."""

    open_files: int
    ports: int | None
    somaxconn: int | None
    cores: int
    load: float
    available_mib: int | None
    governor: str | None


class StealMeter:
    """Measures the share of CPU time that other virtual machines on the same hardware take.

    A run starts it first and reads it once the subjects are up, so that measuring takes no extra time.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._stat = root / "proc/stat"
        self._began, self._before = time.monotonic(), _read_ticks(self._stat)

    def read(self) -> Condition:
        """Judge the share since the meter was started, over half a second or more."""
        time.sleep(max(0.0, self._began + _STEAL_S - time.monotonic()))
        after = _read_ticks(self._stat)
        total = sum(after) - sum(self._before)
        percent = 100.0 * (after[7] - self._before[7]) / total if total > 0 and len(after) > 7 else 0.0
        found = f"{percent:.1f} % of CPU time is stolen by other virtual machines on this hardware"
        if percent <= _STEAL_PERCENT:
            return Condition("steal", "ok", found)
        return Condition("steal", "warning", found, "measure at another time, or on another machine")


def preflight(engine: Engine, project: Project, room: Room | None = None) -> list[Condition]:
    """Check every condition for a configuration on an engine, except steal, which takes a `StealMeter`.

    `room`: for how many slots there is memory; left out: head is measured alone.
    """
    most = max(profile.connections for profile in project.profiles.values())
    conditions = engine.check_machines()
    if any(condition.level == "fatal" for condition in conditions):
        return conditions
    if not conditions:
        conditions = list(judge_host(read_facts(Path("/")), most, own_network=engine.name == "docker"))
    conditions.append((room or measure_room(engine, project)).condition)
    kinds = sorted({service.kind for service in project.config.services.values()})
    try:
        conditions += [Condition(name, "ok", found) for name, found in engine.describe(kinds).items()]
    except StackError as error:
        conditions.append(Condition("programs", "fatal", error.what, error.advice))
    return conditions


def measure_room(engine: Engine, project: Project, bases: int = 0, *, paired: bool = False) -> Room:
    """Measure for how many slots the engine's machine, or machines, have memory now.

    `bases`: how many variants of the base revision are measured too. `paired`: subjects are compared in pairs.
    """
    subjects, available_mib = len(project.config.variants) + bases, engine.measure_memory()
    if available_mib is not None:
        return find_room(project.config, subjects, available_mib, paired=paired)
    return find_room(
        project.config, subjects, read_facts(Path("/")).available_mib, paired=paired, tracks=count_tracks()
    )


def count_tracks() -> int:
    """Count how many duets can run at the same time on the CPUs of this process, and within their quota."""
    cpus = os.sched_getaffinity(0)
    places = choose_placements(cpus, {cpu: read_siblings(cpu) for cpu in cpus}, MOST_TRACKS)
    quota = read_cpu_quota(Path("/"))
    most = places[0].tracks if places else 1
    return most if quota is None else max(1, min(most, int(quota / 2)))


def read_cpu_quota(root: Path) -> float | None:
    """Read how many CPUs the control group of this process may use on average; None without a limit.

    A container sees its own group as the root. `root` is the folder that has /sys.
    """
    words = (_read_text(root / "sys/fs/cgroup/cpu.max") or "").split()
    if not words:
        folder = root / "sys/fs/cgroup/cpu"
        words = [_read_text(folder / name) or "" for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):
        return None  # `max`, -1, or no such controller
    return int(words[0]) / int(words[1])


def require_fit(conditions: Sequence[Condition]) -> None:
    """Raise StackError, naming every fatal condition, if there is one."""
    fatal = [condition for condition in conditions if condition.level == "fatal"]
    if fatal:
        raise StackError(
            "this machine is not fit to measure",
            cause="; ".join(f"{condition.name}: {condition.found}" for condition in fatal),
            advice="; ".join(condition.cure for condition in fatal if condition.cure),
        )


def read_facts(root: Path) -> HostFacts:
    """Read what the kernel of this machine reports; `root` is the folder that has /proc and /sys."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, hard) if hard != resource.RLIM_INFINITY else 2**31
    ports = _read_numbers(root / "proc/sys/net/ipv4/ip_local_port_range")
    somaxconn = _read_numbers(root / "proc/sys/net/core/somaxconn")
    available = re.search(r"MemAvailable:\s+(\d+)", _read_text(root / "proc/meminfo") or "")
    return HostFacts(
        open_files=limit,
        ports=int(ports[1] - ports[0]) if len(ports) == 2 else None,
        somaxconn=int(somaxconn[0]) if somaxconn else None,
        cores=len(os.sched_getaffinity(0)),
        load=(_read_numbers(root / "proc/loadavg") or [0.0])[0],
        available_mib=int(available[1]) // 1024 if available else None,
        governor=_read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


def judge_host(facts: HostFacts, connections: int, *, own_network: bool) -> Iterator[Condition]:
    """Judge whether the host is fit for so many connections; `own_network`: containers have separate limits."""
    yield _judge_cores(facts)
    yield _judge_load(facts)
    yield _judge_memory(facts)
    yield _judge_governor(facts)
    if not own_network:
        yield _judge_open_files(facts, connections)
        yield from _judge_network(facts, connections)


def _judge_open_files(facts: HostFacts, connections: int) -> Condition:
    needed = connections + _SPARE_FILES
    found = f"the limit is {facts.open_files}, for {connections} connections"
    if facts.open_files >= needed:
        return Condition("open files", "ok", found)
    return Condition("open files", "fatal", found, f"run `ulimit -Hn {needed}` as root, or lower `connections`")


def _judge_network(facts: HostFacts, connections: int) -> Iterator[Condition]:
    if facts.ports is not None:
        found = f"{facts.ports} for outgoing connections"
        cure = "run `sysctl -w net.ipv4.ip_local_port_range='32768 65535'`"
        level: Level = "fatal" if facts.ports < connections else "warning"
        enough = facts.ports >= connections + _SPARE_PORTS
        yield Condition("ports", "ok", found) if enough else Condition("ports", level, found, cure)
    if facts.somaxconn is not None:
        found = f"at most {facts.somaxconn} connections can wait to be accepted"
        cure = f"run `sysctl -w net.core.somaxconn={max(4096, connections)}`"
        enough = facts.somaxconn >= min(connections, 4096)
        yield Condition("somaxconn", "ok", found) if enough else Condition("somaxconn", "warning", found, cure)


def _judge_cores(facts: HostFacts) -> Condition:
    if facts.cores > 1:
        return Condition("cores", "ok", str(facts.cores))
    return Condition(
        "cores", "warning", "1", "wrk, the databases and the application share one core: use a machine with two or more"
    )


def _judge_load(facts: HostFacts) -> Condition:
    found = f"load average {facts.load:.2f} on {facts.cores} cores"
    if facts.load <= _BUSY_SHARE * facts.cores:
        return Condition("load", "ok", found)
    return Condition("load", "warning", found, "stop other programs, or wait: they use the CPU that is measured")


def _judge_memory(facts: HostFacts) -> Condition:
    if facts.available_mib is None:
        return Condition("memory", "ok", "not reported")
    found, cure = f"{facts.available_mib} MiB available", "stop other programs"
    if facts.available_mib >= _LOW_MIB:
        return Condition("memory", "ok", found)
    return Condition("memory", "fatal" if facts.available_mib < _LEAST_MIB else "warning", found, cure)


def _judge_governor(facts: HostFacts) -> Condition:
    if facts.governor is None:
        return Condition("CPU governor", "ok", "not reported (in a virtual machine, or if the firmware decides)")
    if facts.governor in {"performance", "schedutil"}:
        return Condition("CPU governor", "ok", facts.governor)
    return Condition("CPU governor", "warning", facts.governor, "run `cpupower frequency-set --governor performance`")


def _read_ticks(stat: Path) -> list[int]:
    return [int(field) for field in (_read_text(stat) or "cpu 0").splitlines()[0].split()[1:9]]


def _read_numbers(path: Path) -> list[float]:
    return [float(word) for word in re.findall(r"\d+(?:\.\d+)?", _read_text(path) or "")]


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
