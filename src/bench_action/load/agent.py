"""Runs inside the load container, sent there as text: standard library only, one JSON object a line in and out.

Operations: `machine`, `get`, `requests`, `connections`, `turns`, `wrk`, `together`, `usage`, `settle`. A reply is
`{"ok": …}` or, for a failure of the agent's own, `{"error": text}`; what a server does wrong is data of an `ok`.
"""

import base64
import contextlib
import hashlib
import http.client
import io
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
_PIECE = 64 * 1024
_DIGEST = 16
_LONGEST_LOCATION = 300
_PROBE_S = 0.5
_PROBED_SHARE = 0.01
_STOP_S = 0.05


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
    """One request, for readiness: the status of its reply, or why there is none."""
    wire = Wire(order)
    try:
        reply = wire.ask(order["timeout_s"], read_head)
        return {"status": reply["status"], "problem": reply["problem"]}
    finally:
        wire.close()


def requests(order):
    """The same request again and again over one connection, opened again when the server closes it.

    Each reply has `kept`: whether the server left the connection open. Bodies are left out on request. No request is
    sent after `limit_s` seconds.
    """
    wire, until = Wire(order), time.monotonic() + order["limit_s"]
    read = read_body if order["bodies"] else read_digest
    replies = []
    try:
        for _ in range(order["repeat"]):
            replies.append(wire.ask(order["timeout_s"], read))
            if replies[-1]["problem"] or time.monotonic() > until:
                break
    finally:
        wire.close()
    return {"replies": replies}


class Wire:
    """Sends one request, byte by byte as it was ordered, over a connection that is opened when it is needed."""

    def __init__(self, order, *, named=False):
        """`named`: its own port is in `local_port` before anybody can see the connection."""
        self._address, self._named = (order["host"], order["port"]), named
        self._raw, self._method = base64.b64decode(order["raw"]), order["method"]
        self._socket = self.local_port = None

    def ask(self, timeout_s, read):
        """One reply, read by `read`; `problem` says why there is none. All of it within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        incoming = Incoming(deadline)
        try:
            incoming.socket = self._connected(deadline)
            incoming.socket.sendall(self._raw)
            response = http.client.HTTPResponse(incoming, method=self._method)
            with contextlib.closing(response):
                response.begin()
                found = read(response)
        except socket.timeout:  # noqa: UP041 (before Python 3.10 it is not TimeoutError)
            return self._no_reply(late(timeout_s, incoming.size), incoming.size)
        except TooLargeError as error:
            return self._no_reply(str(error), incoming.size)
        except (OSError, http.client.HTTPException) as error:
            return self._no_reply(f"{type(error).__name__}: {error}", incoming.size)
        if response.will_close:
            self.close()
        redirects = 300 <= response.status <= 399
        return {
            **empty_reply(),
            **found,
            "status": response.status,
            "size": incoming.size,
            "location": printable(response.getheader("Location") or "") if redirects else "",
            "kept": self._socket is not None,
        }

    def close(self):
        """End the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def interrupt(self):
        """End the wait for a reply, from another thread."""
        if (connection := self._socket) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _connected(self, deadline):
        if self._socket is None:
            host, port = self._address
            address = (socket.gethostbyname(host), port)
            self._socket = socket.socket()
            if self._named:
                self._socket.bind(("", 0))
                self.local_port = self._socket.getsockname()[1]
            self._socket.settimeout(seconds_until(deadline))
            self._socket.connect(address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(seconds_until(deadline))
        return self._socket

    def _no_reply(self, problem, count):
        self.close()
        return {**empty_reply(), "size": count, "problem": problem}


class TooLargeError(Exception):
    """A body of which more would have to be kept than is sensible."""


class Incoming(io.RawIOBase):
    """What a server sends until a deadline, counted as wrk counts it: head, body and framing."""

    def __init__(self, deadline):
        super().__init__()
        self.socket, self.size, self._deadline = None, 0, deadline

    def readable(self):
        """Asked by BufferedReader."""
        return True

    def readinto(self, buffer):
        """Some bytes. Raises socket.timeout after the deadline, also where each byte comes in time."""
        self.socket.settimeout(seconds_until(self._deadline))
        count = self.socket.recv_into(buffer)
        self.size += count
        return count

    def makefile(self, _mode):
        """As a socket's: what HTTPResponse reads from."""
        return io.BufferedReader(self)


def printable(text):
    """The visible ASCII characters of a header, as a URL has no others, and not too many of them."""
    return "".join(character for character in text if "!" <= character <= "~")[:_LONGEST_LOCATION]


def seconds_until(deadline):
    """What is left until then. Raises socket.timeout where nothing is."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise socket.timeout  # noqa: UP041 (before Python 3.10 it is not TimeoutError)
    return left_s


def late(timeout_s, count):
    """What a reply that was not there in time is called."""
    if not count:
        return f"no reply within {timeout_s:g} s"
    return f"the reply did not end within {timeout_s:g} s ({count:,} bytes were read)"


def empty_reply():
    """A reply of which nothing is known."""
    return {
        "status": 0,
        "headers": {},
        "body": "",
        "kept": False,
        "problem": "",
        "size": 0,
        "location": "",
        "digest": "",
    }


def read_head(_response):
    """Nothing of the body."""
    return {}


def read_digest(response):
    """The digest of the body; the body itself is thrown away piece by piece."""
    digest = hashlib.sha256()
    for piece in pieces(response):
        digest.update(piece)
    return {"digest": digest.hexdigest()[:_DIGEST]}


def read_size(response):
    """Nothing: the body is read to its end and thrown away."""
    for _piece in pieces(response):
        pass
    return {}


def read_body(response):
    """The headers, by lower-case name, and the body. Raises TooLargeError."""
    data = bytearray()
    for piece in pieces(response):
        data += piece
        if len(data) > _LARGEST_BODY:
            raise TooLargeError("the body has more than 4 MiB, too much to be checked")
    return {
        "headers": {name.lower(): value for name, value in response.getheaders()},
        "body": base64.b64encode(data).decode(),
        "digest": hashlib.sha256(data).hexdigest()[:_DIGEST],
    }


def pieces(response):
    """The body in pieces. Raises IncompleteRead where the connection ends before it does."""
    while piece := response.read(_PIECE):
        yield piece
    if response.length:  # what is missing of its Content-Length
        raise http.client.IncompleteRead(b"", response.length)


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
            lane.wire.close()
    by_load = {id(lane.order): lane.told() for lane in lanes}
    return {"loads": [by_load[id(load)] for load in order["loads"]], "seconds": time.monotonic() - began}


class Lane:
    """One connection to one server, and what was seen of it."""

    def __init__(self, order, timeout_s):
        self.order, self.wire, self._timeout_s = order, Wire(order), timeout_s
        self._ns, self._seen, self._cpu_ms = [], [], dict.fromkeys(order["parts"], 0.0)
        self._errors = self._time_ns = 0
        self._problem = ""

    def turn(self, count):
        """So many requests, with the counters of its parts read around them."""
        before, began = self._read(), time.perf_counter_ns()
        for _ in range(count):
            sent = time.perf_counter_ns()
            reply = self.wire.ask(self._timeout_s, read_size)
            took_ns = time.perf_counter_ns() - sent
            if reply["problem"]:
                self._errors += 1
                self._problem = self._problem or reply["problem"]
            else:
                self._ns.append(took_ns)
                self._seen.append(sight(reply))
        self._time_ns += time.perf_counter_ns() - began
        for part, cpu_ms in self._read().items():
            known = cpu_ms is not None and before[part] is not None and self._cpu_ms[part] is not None
            self._cpu_ms[part] = self._cpu_ms[part] + cpu_ms - before[part] if known else None

    def told(self):
        """Sums over all turns."""
        return {
            "latencies_us": [ns / 1000 for ns in self._ns],
            "errors": self._errors,
            "problem": self._problem,
            "seen": self._seen,
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
    request = base64.b64decode(order["raw"])
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
    prober = Prober(order)
    watcher = Watcher(order, prober)
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
        prober.start()
        with process.stdout:
            output = process.stdout.read().decode(errors="replace")
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for: nobody may signal it any more
        wall_s, after = time.monotonic() - started, all_usage(order["parts"])
        limit.cancel()
        prober.stop()
        watcher.stop()
    return {
        "output": output[-20000:],
        "status": process.returncode,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": wall_s,
        "live": watcher.peak_connections,
        "sampled": prober.seen,
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


def sight(reply):
    """What is kept of each of many replies: status, bytes, where it redirects to, digest of its body."""
    return [reply["status"], reply["size"], reply["location"], reply["digest"]]


class Prober(threading.Thread):
    """Samples replies while wrk runs: wrk itself counts bytes and statuses above 399, and looks at no reply.

    Each request has a connection of its own, so that none of a server's workers is kept from wrk. The share of all
    requests is at most about 1 %: by Little's law the rate under load is connections ÷ waiting time.
    """

    def __init__(self, order):
        super().__init__(daemon=True)
        self.seen = []
        self._wire, self._connections = Wire(order, named=True), order["connections"]
        self._limit_s = order["limit_s"]
        self._over = threading.Event()

    @property
    def local_port(self):
        """Of its connection, which is none of wrk's."""
        return self._wire.local_port

    def run(self):
        """Send a request every half second or less often, until `stop`."""
        pause_s = _PROBE_S / 2
        while not self._over.wait(pause_s):
            sent = time.monotonic()
            reply = self._wire.ask(self._limit_s, read_digest)
            self._wire.close()
            if not self._over.is_set() and not reply["problem"]:  # else it is not one under load
                self.seen.append(sight(reply))
            pause_s = max(_PROBE_S, (time.monotonic() - sent) / _PROBED_SHARE / self._connections)

    def stop(self):
        """No further request; the one under way is given up."""
        self._over.set()
        while self.is_alive():
            self._wire.interrupt()
            self.join(_STOP_S)


class Watcher(threading.Thread):
    """Peaks while wrk runs: connections to the server established at once, and memory of the part it watches."""

    def __init__(self, order, prober=None):
        super().__init__(daemon=True)
        self._prober = prober
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
            ours = [row[1] for row in rows if row[2] == self._remote and row[3] == "01"]  # 01: TCP_ESTABLISHED
        probing = f":{self._prober.local_port or 0:04X}" if self._prober else ":0000"
        return sum(1 for local in ours if not local.endswith(probing))


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
