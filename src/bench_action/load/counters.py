"""Read counters of control groups, processes and CPUs.

Part of the agent: sent to the load container with it, standard library only, Python 3.9.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, cast

from bench_action.load.messages import Counters, CpuNumber, MachineShares, MachineTicks, PartCounters
from bench_action.load.peers import ask_peer, find_peer, strip_peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CGROUPS = os.environ.get("BENCH_ACTION_CGROUPS", "/sys/fs/cgroup")
OWN_CPUS = frozenset(os.sched_getaffinity(0))  # before this container is pinned: those that the run may use
_PIDFILE = "pidfile:"


def read_siblings(cpu: int) -> list[int]:
    """List the CPUs that share a core with this one, itself included (sysfs-devices-system-cpu: `0-1`, `0,4`)."""
    text = read_first_line(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    ranges = [part.split("-") for part in text.split(",") if part]
    return sorted(number for ends in ranges for number in range(int(ends[0]), int(ends[-1]) + 1)) or [cpu]


def read_first_line(path: str) -> str:
    """Read the first line of a file; empty if it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""


def find_interface(address: int) -> str:
    """Find the interface of the network that an address is in, written as in /proc/net/tcp; empty if none is.

    /proc/net/route has destination and mask in the same form, without the loopback network.
    """
    for row in read_rows("/proc/net/route"):
        name, destination, mask = row[0], row[1], row[7]
        if int(mask, 16) and address & int(mask, 16) == int(destination, 16):
            return name
    return ""


def read_received(interface: str) -> int | None:
    """Read how many bytes an interface has received; None if there is no such interface."""
    name = f"{interface}:"
    return next((int(row[1]) for row in read_rows("/proc/net/dev") if row[0] == name), None)


def read_rows(path: str) -> list[list[str]]:
    """Read the rows of a table of /proc below its first line; none if it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            rows = [line.split() for line in file.read().splitlines()]
    except OSError:
        return []
    return [row for row in rows[1:] if row]


def read_all_usage(parts: Mapping[str, str]) -> PartCounters:
    """Read the counters of each part by its name, None if they cannot be read."""
    return {name: read_usage(part) for name, part in parts.items()}


def read_usage(part: str | None) -> Counters | None:
    """Read CPU and throttled time in ms and memory in MiB without inactive file pages; None if they cannot be read.

    `part` is a container's id, or `pidfile:` and the path of a file that names a process; with the agent that reads it
    in front, if that is another. Raises PeerError if that one does not answer.
    """
    if part and (peer := find_peer(part)):
        counters: Counters | None = ask_peer(peer, {"read": "usage", "part": strip_peer(part)})
        return counters
    if part and part.startswith(_PIDFILE):
        return read_tree_usage(part[len(_PIDFILE) :])
    folders = find_cgroups(part) if part else {}
    try:
        return read_usage_v2(folders["unified"]) if "unified" in folders else read_usage_v1(folders)
    except (OSError, KeyError, ValueError):
        return None


def read_cpu_ms(part: str) -> float | None:
    """Read only the CPU time of a part, for readings that must not take long; see `read_usage`."""
    if peer := find_peer(part):
        cpu_ms: float | None = ask_peer(peer, {"read": "cpu", "part": strip_peer(part)})
        return cpu_ms
    if part.startswith(_PIDFILE):
        members, ticks = read_process_tree(part[len(_PIDFILE) :])
        return sum_cpu_ms(members, ticks) if members else None
    folders = find_cgroups(part)
    try:
        if "unified" in folders:
            return read_table(folders["unified"] + "/cpu.stat")["usage_usec"] / 1e3
        return read_number(folders["cpuacct"] + "/cpuacct.usage") / 1e6
    except (OSError, KeyError, ValueError):
        return None


def read_usage_v1(folders: Mapping[str, str]) -> Counters:
    """Read control groups version 1: one hierarchy per controller, times in ns (kernel documentation, cgroup-v1)."""
    memory = read_table(folders["memory"] + "/memory.stat")
    used = read_number(folders["memory"] + "/memory.usage_in_bytes")
    return {
        "cpu_ms": read_number(folders["cpuacct"] + "/cpuacct.usage") / 1e6,
        "throttled_ms": read_table(folders["cpu"] + "/cpu.stat").get("throttled_time", 0) / 1e6,
        "memory_mib": (used - memory["total_inactive_file"]) / 2**20,
        "oom_kills": read_event(folders["memory"] + "/memory.oom_control", "oom_kill"),
        "refused_forks": read_event(folders.get("pids", "") + "/pids.events", "max"),
    }


def read_usage_v2(folder: str) -> Counters:
    """Read control groups version 2: a single hierarchy, times in µs (kernel documentation, cgroup-v2)."""
    cpu, memory = read_table(folder + "/cpu.stat"), read_table(folder + "/memory.stat")
    return {
        "cpu_ms": cpu["usage_usec"] / 1e3,
        "throttled_ms": cpu.get("throttled_usec", 0) / 1e3,
        "memory_mib": (read_number(folder + "/memory.current") - memory["inactive_file"]) / 2**20,
        "oom_kills": read_event(folder + "/memory.events", "oom_kill"),
        "refused_forks": read_event(folder + "/pids.events", "max"),
    }


def read_tree_usage(pidfile: str) -> Counters | None:
    """Read the counters of a process and its descendants; None if it has exited."""
    members, ticks = read_process_tree(pidfile)
    if not members:
        return None
    memory_mib = sum(map(read_proportional_kib, members)) / 1024
    return {
        "cpu_ms": sum_cpu_ms(members, ticks),
        "throttled_ms": 0.0,
        "memory_mib": memory_mib,
        "oom_kills": 0,
        "refused_forks": 0,
    }


def read_process_tree(pidfile: str) -> tuple[list[int], dict[int, list[int]]]:
    """List a process and its descendants, and read the ticks of all processes; no members if it has exited.

    Ticks are `utime`, `stime`, `cutime` and `cstime` of proc_pid_stat(5).
    """
    try:
        root = read_number(pidfile)
    except (OSError, ValueError):
        return [], {}
    parents: dict[int, int] = {}
    ticks: dict[int, list[int]] = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[pid], ticks[pid] = int(fields[1]), [int(field) for field in fields[11:15]]
    members = [pid for pid in ticks if root in walk_ancestors(pid, parents)]
    return (members, ticks) if root in members else ([], ticks)


def sum_cpu_ms(members: Sequence[int], ticks: Mapping[int, Sequence[int]]) -> float:
    """Add up the CPU time of processes. One that has exited is in its parent's `cutime` (proc_pid_stat(5)).

    A process's own time is the larger of `utime + stime`, which includes threads that have exited but is cut off at
    ticks of 10 ms, and the scheduler's figure for its threads in ns: over a few seconds ticks alone would be 1 % off.
    """
    tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
    own_ms = (max(sum(ticks[pid][:2]) * tick_ms, read_scheduled_ms(pid)) for pid in members)
    return sum(own_ms) + sum(sum(ticks[pid][2:]) for pid in members) * tick_ms


def read_scheduled_ms(pid: int) -> float:
    """Read the CPU time of a process's current threads (kernel documentation, sched-stats: the first field, in ns)."""
    total_ns = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            total_ns += int(read_first_line(f"/proc/{pid}/task/{thread}/schedstat").partition(" ")[0] or 0)
    except OSError:
        return 0.0
    return total_ns / 1e6


def walk_ancestors(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """Yield a process, its parent, its parent's parent and so on."""
    while pid:
        yield pid
        pid = parents.get(pid, 0)


def read_proportional_kib(pid: int) -> int:
    """Read the memory of a process, with shared pages divided among those that share them; 0 if it has exited."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


@functools.lru_cache(maxsize=256)
def find_cgroups(part: str) -> dict[str, str]:
    """Find a part's control groups by controller, `unified` for version 2. A folder's name contains the container's id.

    An empty result is cached too: a host that hides its control groups will not show them later.
    """
    if os.path.exists(CGROUPS + "/cgroup.controllers"):
        folder = find_folder(CGROUPS, part)
        return {"unified": folder} if folder else {}
    controllers = ("cpu", "cpuacct", "memory", "pids")
    return {name: folder for name in controllers if (folder := find_folder(f"{CGROUPS}/{name}", part))}


def find_folder(root: str, part: str) -> str | None:
    """Find the folder below `root` whose name contains `part`, the one nearest to `root` first."""
    for folder, names, _files in os.walk(root):
        for name in names:
            if part in name:
                return f"{folder}/{name}"
    return None


def read_number(path: str) -> int:
    """Read a file that holds one number."""
    with open(path, encoding="ascii") as file:
        return int(file.read())


def read_table(path: str) -> dict[str, int]:
    """Read a file of `name number` lines."""
    with open(path, encoding="ascii") as file:
        return {name: int(value) for name, value in (line.split() for line in file)}


def read_event(path: str, name: str) -> int:
    """Read how often something has happened; 0 if the kernel or the host does not count it."""
    try:
        return read_table(path).get(name, 0)
    except (OSError, ValueError):
        return 0


def read_cpu_ticks() -> tuple[int, int]:
    """Read the machine's total and stolen CPU time since it started, in ticks (proc_stat(5))."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return sum(ticks), ticks[7]


def read_idle_ticks() -> dict[CpuNumber, tuple[int, int]]:
    """Read the total and idle time of each CPU, in ticks; waiting for a disk is idle (proc_stat(5))."""
    with open("/proc/stat", encoding="ascii") as stat:
        rows = [line.split() for line in stat if line.startswith("cpu") and line[3].isdecimal()]
    fields = {CpuNumber(row[0][3:]): [int(field) for field in row[1:9]] for row in rows}
    return {cpu: (sum(ticks), ticks[3] + ticks[4]) for cpu, ticks in fields.items()}


def read_machine() -> MachineTicks:
    """Read what the CPUs of this machine have done that the run may use, in ticks."""
    idle = {cpu: list(ticks) for cpu, ticks in read_idle_ticks().items() if int(cpu) in OWN_CPUS}
    return {"idle": idle, "steal": list(read_cpu_ticks())}


def read_machines(parts: Mapping[str, str], *, include_own: bool = False) -> dict[str, MachineTicks]:
    """Read what the CPUs of the machines of parts have done, by their agents' addresses, and of this one (empty).

    None at all if all parts are on this machine, unless it is one of several anyway.
    """
    peers = sorted({find_peer(part) for part in parts.values()} - {""})
    found = {peer: cast("MachineTicks", ask_peer(peer, {"read": "machine"})) for peer in peers}
    return {**found, "": read_machine()} if found or include_own else {}


def compute_machine_shares(
    before: Mapping[str, MachineTicks], after: Mapping[str, MachineTicks]
) -> dict[str, MachineShares]:
    """Compute what each machine did between two readings of all."""
    shares: dict[str, MachineShares] = {}
    for name, now in after.items():
        then = before[name]
        early, late = ({cpu: (row[0], row[1]) for cpu, row in each["idle"].items()} for each in (then, now))
        steal = compute_steal_percent((then["steal"][0], then["steal"][1]), (now["steal"][0], now["steal"][1]))
        shares[name] = {"idle": compute_idle_shares(early, late), "steal_percent": steal}
    return shares


def compute_idle_shares(
    before: Mapping[CpuNumber, tuple[int, int]], after: Mapping[CpuNumber, tuple[int, int]]
) -> dict[CpuNumber, float]:
    """Compute for each CPU the share of the time between two readings in which it had nothing to do."""
    both = {cpu: (before[cpu], now) for cpu, now in after.items() if cpu in before}
    return {cpu: (now[1] - then[1]) / max(1, now[0] - then[0]) for cpu, (then, now) in both.items()}


def compute_steal_percent(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Compute the share of the machine's CPU time that other guests took between two readings."""
    total = after[0] - before[0]
    return 100.0 * (after[1] - before[1]) / total if total else 0.0
