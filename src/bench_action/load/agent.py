"""Runs inside the load container, sent there as text: standard library only, one JSON object a line in and out.

Operations: `machine`, `get`, `requests`, `connections`, `turns`, `wrk`, `duet`, `usage`, `settle`. A reply is
`{"ok": …}` or, for a failure of the agent's own, `{"error": text}`; what a server does wrong is data of an `ok`.
"""

import base64
import functools
import http.client
import json
import os
import random
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

_SAMPLE_S = 0.25
_SETTLE_S = 0.05
_IDLE_CORES = 0.1
CGROUPS = os.environ.get("BENCH_ACTION_CGROUPS", "/sys/fs/cgroup")


def machine(_order):
    """What the load container sees of the machine."""
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as cpuinfo:
        for line in cpuinfo:
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "Model", "Hardware"}:
                model = value.strip()
                break
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "cpu_model": model,
        "cores": len(os.sched_getaffinity(0)),
        "open_files": soft,
        "machine": os.uname().machine,
        "cpus": sorted(os.sched_getaffinity(0)),
        "siblings": {cpu: siblings(cpu) for cpu in sorted(os.sched_getaffinity(0))},
        "boot_id": first_line("/proc/sys/kernel/random/boot_id"),
    }


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


def get(order):
    """One GET, for readiness: its status, or why there is none."""
    connection = http.client.HTTPConnection(order["host"], order["port"], timeout=order["timeout_s"])
    try:
        connection.request("GET", order["path"])
        return {"status": connection.getresponse().status, "problem": ""}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "problem": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


def requests(order):
    """The same request again and again over one connection, opened anew when the server closes it.

    Each reply tells whether the server left the connection open. Bodies are left out on request.
    """
    connection = http.client.HTTPConnection(order["host"], order["port"], timeout=order["timeout_s"])
    replies = []
    try:
        for _ in range(order["repeat"]):
            replies.append(one_request(connection, order))
            if replies[-1]["problem"]:
                break
    finally:
        connection.close()
    return {"replies": replies}


def one_request(connection, order):
    """One reply: status, headers, body, and whether the connection stays open."""
    body = order["body"].encode() if order["body"] else None
    headers = dict(order["headers"])
    if body is None and order["method"] not in {"GET", "HEAD"}:
        headers.setdefault("Content-Length", "0")
    try:
        connection.request(order["method"], order["path"], body=body, headers=headers)
        response = connection.getresponse()
        data = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return {"status": 0, "headers": {}, "body": "", "kept": False, "problem": f"{type(error).__name__}: {error}"}
    return {
        "status": response.status,
        "headers": {name.lower(): value for name, value in response.getheaders()} if order["bodies"] else {},
        "body": base64.b64encode(data).decode() if order["bodies"] else "",
        "kept": connection.sock is not None,
        "problem": "",
    }


def turns(order):
    """Several servers in turn, a few requests each, over one connection to each, until the time is up.

    A turn lasts some hundredths of a second: what drifts meanwhile meets all alike. Each server's answer has its
    requests, errors, latencies in µs and CPU time by part over its own turns.
    """
    dice = random.Random(order["seed"])
    lanes = [Lane(load, order["timeout_s"]) for load in order["loads"]]
    began = time.monotonic()
    try:
        while time.monotonic() - began < order["seconds"]:
            dice.shuffle(lanes)
            for lane in lanes:
                lane.turn(order["requests"])
    finally:
        for lane in lanes:
            lane.connection.close()
    by_load = {id(lane.order): lane.told() for lane in lanes}
    return {"loads": [by_load[id(load)] for load in order["loads"]], "seconds": time.monotonic() - began}


class Lane:
    """One connection to one server, and what was seen of it."""

    def __init__(self, order, timeout_s):
        self.order = order
        self.connection = http.client.HTTPConnection(order["host"], order["port"], timeout=timeout_s)
        self._ns, self._cpu_ms = [], dict.fromkeys(order["parts"], 0.0)
        self._errors = self._refused = self._time_ns = 0

    def turn(self, count):
        """So many requests, with the counters of its parts read around them."""
        before, began = self._read(), time.perf_counter_ns()
        for _ in range(count):
            sent = time.perf_counter_ns()
            reply = one_request(self.connection, self.order | {"bodies": False})
            if reply["problem"]:
                self._errors += 1
            else:
                self._refused += reply["status"] > 399
                self._ns.append(time.perf_counter_ns() - sent)
        self._time_ns += time.perf_counter_ns() - began
        for part, cpu_ms in self._read().items():
            known = cpu_ms is not None and before[part] is not None and self._cpu_ms[part] is not None
            self._cpu_ms[part] = self._cpu_ms[part] + cpu_ms - before[part] if known else None

    def told(self):
        """Sums over all turns."""
        return {
            "latencies_us": [ns / 1000 for ns in self._ns],
            "errors": self._errors,
            "refused": self._refused,
            "duration_s": self._time_ns / 1e9,
            "cpu_ms": self._cpu_ms,
        }

    def _read(self):
        return {name: cpu_ms_of(part) for name, part in self.order["parts"].items()}


def connections(order):
    """Open many connections at once, ask once on each; how many were answered, and how many could not be opened here.

    `hold`: all stay open until the last is answered, so a server that cannot keep them all shows it. A server
    without keep-alive would wait for its client to close, so there each is closed once it is answered.
    """
    request = f"GET {order['path']} HTTP/1.1\r\nHost: {order['host']}:{order['port']}\r\n\r\n".encode()
    address = (socket.gethostbyname(order["host"]), order["port"])
    deadline = time.monotonic() + order["limit_s"]
    opened, waiting, answered, refused_here = [], selectors.DefaultSelector(), 0, 0
    try:
        for _ in range(order["count"]):
            try:
                one = socket.socket()
            except OSError:  # the open-files limit of this container, which is not the server's fault
                refused_here += 1
                continue
            opened.append(one)
            one.setblocking(False)
            one.connect_ex(address)
            waiting.register(one, selectors.EVENT_WRITE)
        while waiting.get_map() and time.monotonic() < deadline:
            for key, event in waiting.select(timeout=0.5):
                answered += converse(waiting, key.fileobj, event, request)
                if not order["hold"] and key.fileobj not in waiting.get_map():
                    key.fileobj.close()
    finally:
        waiting.close()
        for one in opened:
            one.close()
    return {"answered": answered, "refused_here": refused_here}


def converse(waiting, one, event, request):
    """The next step on one connection; 1 when it has been answered, 0 otherwise."""
    try:
        if event & selectors.EVENT_WRITE:
            one.send(request)
            waiting.modify(one, selectors.EVENT_READ)
            return 0
        answer = one.recv(65536)
    except OSError:
        answer = b""
    waiting.unregister(one)
    return 1 if answer else 0


def wrk(order):
    """Run wrk once; its output, its own CPU time, and what was seen of its connections, the parts and the machine."""
    watcher = Watcher(order)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(order["script"])
        script.flush()
        before, ticks, idle, started = all_usage(order["parts"]), cpu_ticks(), idle_ticks(), time.monotonic()
        process = subprocess.Popen(
            [*order["argv"], "-s", script.name, order["url"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        limit = threading.Timer(order["limit_s"], process.kill)
        limit.start()
        watcher.start()
        with process.stdout:
            output = process.stdout.read().decode(errors="replace")
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for: nobody may signal it any more
        wall_s, after = time.monotonic() - started, all_usage(order["parts"])
        limit.cancel()
        watcher.stop()
    return {
        "output": output[-20000:],
        "status": process.returncode,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": wall_s,
        "live": watcher.peak_connections,
        "memory_mib": watcher.peak_memory_mib,
        "before": before,
        "after": after,
        "steal_percent": steal_percent(ticks, cpu_ticks()),
        "idle": idle_shares(idle, idle_ticks()),
    }


def duet(order):
    """Two runs of wrk at once, begun in this order; the answer of each."""
    with ThreadPoolExecutor(max_workers=len(order["loads"])) as pool:
        return {"loads": list(pool.map(wrk, order["loads"]))}


class Watcher(threading.Thread):
    """Peaks while wrk runs: connections to the server established at once, and memory of the part it watches."""

    def __init__(self, order):
        super().__init__(daemon=True)
        address = socket.inet_aton(socket.gethostbyname(order["host"]))
        # /proc/net/tcp writes the address as one number in the machine's byte order, the port in hexadecimal
        self._remote = f"{int.from_bytes(address, sys.byteorder):08X}:{order['port']:04X}"
        self._asked = order["connections"]
        self._part = order["parts"].get("application")
        self._over = threading.Event()
        self.peak_connections = 0
        self.peak_memory_mib = None

    def run(self):
        """Look until told to stop; at connections only until all that were asked for have been seen."""
        while not self._over.wait(_SAMPLE_S):
            if self.peak_connections < self._asked:
                self.peak_connections = max(self.peak_connections, self._count())
            used = usage_of(self._part)
            if used is not None:
                self.peak_memory_mib = max(self.peak_memory_mib or 0.0, used["memory_mib"])

    def stop(self):
        """No further look; waits for the one under way."""
        self._over.set()
        self.join()

    def _count(self):
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = (line.split(None, 4) for line in table)
            return sum(1 for row in rows if row[2] == self._remote and row[3] == "01")  # 01: TCP_ESTABLISHED


def usage(order):
    """Counters of every part now."""
    return all_usage(order["parts"])


def settle(order):
    """Wait until a part is idle: requests that wrk has given up on are still being answered."""
    started = time.monotonic()
    last = usage_of(order["part"])
    while last is not None and time.monotonic() - started < order["limit_s"]:
        then = time.monotonic()
        time.sleep(_SETTLE_S)
        now = usage_of(order["part"])
        if now is None or (now["cpu_ms"] - last["cpu_ms"]) / 1000 < _IDLE_CORES * (time.monotonic() - then):
            break
        last = now
    return {"waited_s": time.monotonic() - started}


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


def main():
    """Serve orders until standard input ends."""
    operations = {
        function.__name__: function
        for function in (machine, get, requests, connections, turns, wrk, duet, usage, settle)
    }
    for line in sys.stdin:
        order = json.loads(line)
        try:
            reply = {"ok": operations[order["op"]](order)}
        except Exception as error:  # noqa: BLE001 (the other end decides what it means)
            reply = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
