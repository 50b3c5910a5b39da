"""Counters of control groups, processes and CPUs. Part of the agent: sent with it as text, standard library only."""

import functools
import os

CGROUPS = os.environ.get("BENCH_ACTION_CGROUPS", "/sys/fs/cgroup")


def siblings(cpu):
    """The CPUs that share a core with this one, itself among them (sysfs-devices-system-cpu: `0-1`, `0,4`)."""
    text = first_line(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    ranges = [part.split("-") for part in text.split(",") if part]
    return sorted(number for ends in ranges for number in range(int(ends[0]), int(ends[-1]) + 1)) or [cpu]


def first_line(path):
    """The first line of a file, empty where it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""


def all_usage(parts):
    """Name of a part → its counters, null where they cannot be read."""
    return {name: usage_of(part) for name, part in parts.items()}


def usage_of(part):
    """CPU and throttled time in ms, memory in MiB without inactive file pages; None where they cannot be read."""
    if part and part.startswith("pidfile:"):
        return usage_of_tree(part.removeprefix("pidfile:"))
    folders = cgroups_of(part) if part else {}
    try:
        return usage_v2(folders["unified"]) if "unified" in folders else usage_v1(folders)
    except (OSError, KeyError, ValueError):
        return None


def cpu_ms_of(part):
    """CPU time of a part only, for readings that must not take long."""
    if part.startswith("pidfile:"):
        members, ticks = tree(part.removeprefix("pidfile:"))
        return cpu_ms_of_tree(members, ticks) if members else None
    folders = cgroups_of(part)
    try:
        if "unified" in folders:
            return table(folders["unified"] + "/cpu.stat")["usage_usec"] / 1e3
        return number(folders["cpuacct"] + "/cpuacct.usage") / 1e6
    except (OSError, KeyError, ValueError):
        return None


def usage_v1(folders):
    """Control groups version 1: one hierarchy a controller, times in ns (kernel documentation, cgroup-v1)."""
    memory = table(folders["memory"] + "/memory.stat")
    return {
        "cpu_ms": number(folders["cpuacct"] + "/cpuacct.usage") / 1e6,
        "throttled_ms": table(folders["cpu"] + "/cpu.stat").get("throttled_time", 0) / 1e6,
        "memory_mib": (number(folders["memory"] + "/memory.usage_in_bytes") - memory["total_inactive_file"]) / 2**20,
    }


def usage_v2(folder):
    """Control groups version 2: one hierarchy, times in µs (kernel documentation, cgroup-v2)."""
    cpu, memory = table(folder + "/cpu.stat"), table(folder + "/memory.stat")
    return {
        "cpu_ms": cpu["usage_usec"] / 1e3,
        "throttled_ms": cpu.get("throttled_usec", 0) / 1e3,
        "memory_mib": (number(folder + "/memory.current") - memory["inactive_file"]) / 2**20,
    }


def usage_of_tree(pidfile):
    """A process and all that came of it."""
    members, ticks = tree(pidfile)
    if not members:
        return None
    memory_mib = sum(map(proportional_kib, members)) / 1024
    return {"cpu_ms": cpu_ms_of_tree(members, ticks), "throttled_ms": 0.0, "memory_mib": memory_mib}


def tree(pidfile):
    """A process and all that came of it: their numbers, and the ticks of all processes; none where it is gone."""
    try:
        root = number(pidfile)
    except (OSError, ValueError):
        return [], {}
    parents, ticks = {}, {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[pid], ticks[pid] = int(fields[1]), [int(field) for field in fields[11:15]]
    members = [pid for pid in ticks if root in ancestry(pid, parents)]
    return (members, ticks) if root in members else ([], ticks)


def cpu_ms_of_tree(members, ticks):
    """CPU time of processes. One that has ended is in its parent's `cutime` (proc_pid_stat(5)).

    A process' own is the larger of `utime + stime`, which holds threads that have ended but is cut off at ticks of
    10 ms, and what the scheduler says of its threads in ns: over a few seconds ticks alone would be 1 % off.
    """
    tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
    own_ms = (max(sum(ticks[pid][:2]) * tick_ms, scheduled_ms(pid)) for pid in members)
    return sum(own_ms) + sum(sum(ticks[pid][2:]) for pid in members) * tick_ms


def scheduled_ms(pid):
    """CPU time of the threads that a process has now (kernel documentation, sched-stats: ns on the CPU come first)."""
    total_ns = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            total_ns += int(first_line(f"/proc/{pid}/task/{thread}/schedstat").partition(" ")[0] or 0)
    except OSError:
        return 0.0
    return total_ns / 1e6


def ancestry(pid, parents):
    """The process and those that it came from."""
    while pid:
        yield pid
        pid = parents.get(pid, 0)


def proportional_kib(pid):
    """Memory of a process, what it shares divided among those that share it; 0 where it has just ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


@functools.lru_cache(maxsize=256)
def cgroups_of(part):
    """The part's control groups by controller; `unified` for version 2. Folders have its container's id in their name.

    An empty answer is remembered too: a host that hides its control groups will not show them later.
    """
    if os.path.exists(CGROUPS + "/cgroup.controllers"):
        folder = find_folder(CGROUPS, part)
        return {"unified": folder} if folder else {}
    controllers = ("cpu", "cpuacct", "memory")
    return {name: folder for name in controllers if (folder := find_folder(f"{CGROUPS}/{name}", part))}


def find_folder(root, part):
    """The folder below `root` whose name holds `part`, nearest first."""
    for folder, names, _files in os.walk(root):
        for name in names:
            if part in name:
                return f"{folder}/{name}"
    return None


def number(path):
    """A file of one number."""
    with open(path, encoding="ascii") as file:
        return int(file.read())


def table(path):
    """A file of lines `name number`."""
    with open(path, encoding="ascii") as file:
        return {name: int(value) for name, value in (line.split() for line in file)}


def cpu_ticks():
    """All and stolen CPU time of the machine since its start, in ticks (proc_stat(5))."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return sum(ticks), ticks[7]


def idle_ticks():
    """CPU → all and idle time of it, in ticks; waiting for a disk is idle (proc_stat(5))."""
    with open("/proc/stat", encoding="ascii") as stat:
        rows = [line.split() for line in stat if line.startswith("cpu") and line[3].isdecimal()]
    fields = {row[0][3:]: [int(field) for field in row[1:9]] for row in rows}
    return {cpu: (sum(ticks), ticks[3] + ticks[4]) for cpu, ticks in fields.items()}


def idle_shares(before, after):
    """CPU → the share of the time in between in which it had nothing to do."""
    both = {cpu: (before[cpu], now) for cpu, now in after.items() if cpu in before}
    return {cpu: (now[1] - then[1]) / max(1, now[0] - then[0]) for cpu, (then, now) in both.items()}


def steal_percent(before, after):
    """Share of the machine's CPU time that other guests took in between."""
    total = after[0] - before[0]
    return 100.0 * (after[1] - before[1]) / total if total else 0.0
