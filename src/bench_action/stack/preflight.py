"""Is this machine fit to measure? Each condition says what was found, and how it is cured where it is not fit."""

import os
import re
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_action.config.load import Project
from bench_action.engine.protocol import Engine
from bench_action.model.errors import StackError
from bench_action.model.machine import Condition, Level

_SPARE_FILES = 100  # beside its connections: script, libraries, event queues
_SPARE_PORTS = 1000  # connections that were closed keep theirs for a minute (TIME_WAIT)
_BUSY_SHARE = 0.5
_STEAL_PERCENT = 5.0
_LOW_MIB, _LEAST_MIB = 1024, 256
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the kernel says; None where it does not say."""

    open_files: int
    ports: int | None
    somaxconn: int | None
    cores: int
    load: float
    available_mib: int | None
    governor: str | None


class StealLook:
    """What other guests of this physical machine take of its CPUs, from when this is made until it is asked.

    A run begins it first and asks when the subjects are up, so that looking takes no time of its own.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._stat = root / "proc/stat"
        self._began, self._before = time.monotonic(), _ticks(self._stat)

    def condition(self) -> Condition:
        """Half a second at least, since the kernel counts in ticks of 10 ms."""
        time.sleep(max(0.0, self._began + _LOOK_S - time.monotonic()))
        after = _ticks(self._stat)
        total = sum(after) - sum(self._before)
        percent = 100.0 * (after[7] - self._before[7]) / total if total > 0 and len(after) > 7 else 0.0
        found = f"{percent:.1f} % of the CPU goes to other guests of this physical machine"
        if percent <= _STEAL_PERCENT:
            return Condition("steal", "ok", found)
        return Condition("steal", "warning", found, "measure at another time, or on another machine")


def preflight(engine: Engine, project: Project) -> list[Condition]:
    """All conditions for a configuration on an engine but steal, which takes a `StealLook`."""
    most = max(profile.connections for profile in project.profiles.values())
    lines = list(conditions_of(read_facts(Path("/")), most, own_network=engine.name == "docker"))
    try:
        lines += [Condition(name, "ok", found) for name, found in engine.describe(sorted(_kinds(project))).items()]
    except StackError as error:
        lines.append(Condition("programs", "fatal", error.what, error.advice))
    return lines


def require_fit(conditions: Sequence[Condition]) -> None:
    """Raises StackError naming every fatal condition."""
    fatal = [line for line in conditions if line.level == "fatal"]
    if fatal:
        raise StackError(
            "this machine is not fit to measure",
            cause="; ".join(f"{line.name}: {line.found}" for line in fatal),
            advice="; ".join(line.cure for line in fatal if line.cure),
        )


def read_facts(root: Path) -> HostFacts:
    """What the kernel of this machine says; `root` is where its /proc and /sys are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, hard) if hard != resource.RLIM_INFINITY else 2**31
    ports = _numbers(root / "proc/sys/net/ipv4/ip_local_port_range")
    somaxconn = _numbers(root / "proc/sys/net/core/somaxconn")
    available = re.search(r"MemAvailable:\s+(\d+)", _text(root / "proc/meminfo") or "")
    return HostFacts(
        open_files=limit,
        ports=int(ports[1] - ports[0]) if len(ports) == 2 else None,
        somaxconn=int(somaxconn[0]) if somaxconn else None,
        cores=len(os.sched_getaffinity(0)),
        load=(_numbers(root / "proc/loadavg") or [0.0])[0],
        available_mib=int(available[1]) // 1024 if available else None,
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


def conditions_of(facts: HostFacts, connections: int, *, own_network: bool) -> Iterator[Condition]:
    """What the kernel's facts mean for so many connections; `own_network`: in containers, with limits of their own."""
    yield _cores(facts)
    yield _load(facts)
    yield _memory(facts)
    yield _governor(facts)
    if not own_network:
        yield _open_files(facts, connections)
        yield from _network(facts, connections)


def _open_files(facts: HostFacts, connections: int) -> Condition:
    needed, found = (
        connections + _SPARE_FILES,
        f"{facts.open_files} may be open, {connections} connections are asked for",
    )
    if facts.open_files >= needed:
        return Condition("open files", "ok", found)
    return Condition("open files", "fatal", found, f"`ulimit -Hn {needed}` as root, or fewer `connections`")


def _network(facts: HostFacts, connections: int) -> Iterator[Condition]:
    if facts.ports is not None:
        found, cure = f"{facts.ports} for outgoing connections", "sysctl -w net.ipv4.ip_local_port_range='32768 65535'"
        level: Level = "fatal" if facts.ports < connections else "warning"
        enough = facts.ports >= connections + _SPARE_PORTS
        yield Condition("ports", "ok", found) if enough else Condition("ports", level, found, cure)
    if facts.somaxconn is not None:
        found = f"{facts.somaxconn} connections may wait to be accepted"
        cure = f"sysctl -w net.core.somaxconn={max(4096, connections)}"
        enough = facts.somaxconn >= min(connections, 4096)
        yield Condition("somaxconn", "ok", found) if enough else Condition("somaxconn", "warning", found, cure)


def _cores(facts: HostFacts) -> Condition:
    if facts.cores > 1:
        return Condition("cores", "ok", str(facts.cores))
    return Condition(
        "cores", "warning", "1", "wrk, the databases and the application share it: use a machine with two or more"
    )


def _load(facts: HostFacts) -> Condition:
    found = f"load average {facts.load:.2f} on {facts.cores} cores"
    if facts.load <= _BUSY_SHARE * facts.cores:
        return Condition("load", "ok", found)
    return Condition("load", "warning", found, "end other programs, or wait: they take what is measured")


def _memory(facts: HostFacts) -> Condition:
    if facts.available_mib is None:
        return Condition("memory", "ok", "not shown")
    found, cure = f"{facts.available_mib} MiB available", "end other programs"
    if facts.available_mib >= _LOW_MIB:
        return Condition("memory", "ok", found)
    return Condition("memory", "fatal" if facts.available_mib < _LEAST_MIB else "warning", found, cure)


def _governor(facts: HostFacts) -> Condition:
    if facts.governor is None:
        return Condition("CPU governor", "ok", "not shown (a virtual machine, or the firmware decides)")
    if facts.governor in {"performance", "schedutil"}:
        return Condition("CPU governor", "ok", facts.governor)
    return Condition("CPU governor", "warning", facts.governor, "cpupower frequency-set --governor performance")


def _kinds(project: Project) -> set[str]:
    return {service.kind for service in project.config.services.values()}


def _ticks(stat: Path) -> list[int]:
    return [int(field) for field in (_text(stat) or "cpu 0").splitlines()[0].split()[1:9]]


def _numbers(path: Path) -> list[float]:
    return [float(word) for word in re.findall(r"\d+(?:\.\d+)?", _text(path) or "")]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
