"""Runs inside the load container, sent there as text: standard library only, one JSON object a line in and out.

Operations: `machine`, `get`, `requests`, `connections`, `turns`, `wrk`, `together`, `usage`, `settle`. A reply is
`{"ok": …}` or, for a failure of the agent's own, `{"error": text}`; what a server does wrong is data of an `ok`.
"""

import base64
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

from bench_action.load.counters import (
    all_usage,
    cpu_ms_of,
    cpu_ticks,
    first_line,
    idle_shares,
    idle_ticks,
    siblings,
    steal_percent,
    usage_of,
)

_SAMPLE_S = 0.25
_SETTLE_S = 0.05
_IDLE_CORES = 0.1
_LARGEST_BODY = 4 * 1024**2


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
        data = response.read(_LARGEST_BODY + 1 if order["bodies"] else None)
    except (OSError, http.client.HTTPException) as error:
        return no_reply(connection, f"{type(error).__name__}: {error}")
    if order["bodies"] and len(data) > _LARGEST_BODY:
        return no_reply(connection, "the body has more than 4 MiB, too much to be checked")
    return {
        "status": response.status,
        "headers": {name.lower(): value for name, value in response.getheaders()} if order["bodies"] else {},
        "body": base64.b64encode(data).decode() if order["bodies"] else "",
        "kept": connection.sock is not None,
        "problem": "",
    }


def no_reply(connection, problem):
    """What stands for a reply that there is none of."""
    connection.close()
    return {"status": 0, "headers": {}, "body": "", "kept": False, "problem": problem}


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


def together(order):
    """Several orders at once, begun in this order; the answer of each."""
    with ThreadPoolExecutor(max_workers=len(order["orders"])) as pool:
        return {"answers": list(pool.map(obey, order["orders"]))}


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
    """Wait until parts are idle: requests that nobody waits for any more are still being answered.

    Those whose counters cannot be read are not waited for.
    """
    started = time.monotonic()
    working = order["parts"]
    while working and time.monotonic() - started < order["limit_s"]:
        before, then = {part: cpu_ms_of(part) for part in working}, time.monotonic()
        time.sleep(_SETTLE_S)
        idle_ms = 1000 * _IDLE_CORES * (time.monotonic() - then)
        working = [part for part in working if more_than(idle_ms, before[part], cpu_ms_of(part))]
    return {"waited_s": time.monotonic() - started}


def more_than(limit, before, after):
    """Whether a counter has grown by at least so much; no, where it cannot be read."""
    return before is not None and after is not None and after - before >= limit


OPERATIONS = {
    function.__name__: function
    for function in (machine, get, requests, connections, turns, wrk, together, usage, settle)
}


def obey(order):
    """The answer to an order."""
    return OPERATIONS[order["op"]](order)


def main():
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        try:
            reply = {"ok": obey(json.loads(line))}
        except Exception as error:  # noqa: BLE001 (the other end decides what it means)
            reply = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
