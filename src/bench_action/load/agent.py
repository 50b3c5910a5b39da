"""Carry out orders inside the load container: one JSON object per line in, one per line out (see messages.py).

Sent there as text together with counters.py and messages.py, so: standard library only, Python 3.9.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import io
import ipaddress
import itertools
import json
import math
import os
import random
import re
import resource
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from bench_action.load.counters import (
    compute_idle_shares,
    compute_machine_shares,
    compute_steal_percent,
    find_interface,
    read_all_usage,
    read_cpu_ms,
    read_cpu_ticks,
    read_first_line,
    read_idle_ticks,
    read_machine,
    read_machines,
    read_received,
    read_siblings,
    read_usage,
)
from bench_action.load.messages import (
    HISTOGRAM,
    Bodies,
    ConnectAnswer,
    ConnectionsAnswer,
    ConnectionsOrder,
    ConnectOrder,
    CpuNumber,
    DuetAnswer,
    DuetOrder,
    Failure,
    GetAnswer,
    GetOrder,
    K6Answer,
    K6Order,
    KeepAnswer,
    KeepOrder,
    MachineAnswer,
    MachineOrder,
    MarkRow,
    Order,
    ReachAnswer,
    ReachOrder,
    RequestsAnswer,
    RequestsOrder,
    RequestsTogetherAnswer,
    RequestsTogetherOrder,
    SampleRow,
    ServeAnswer,
    ServeOrder,
    ServerTurns,
    SettleAnswer,
    SettleOrder,
    ShapeError,
    TurnsAnswer,
    TurnsLoad,
    TurnsOrder,
    UsageAnswer,
    UsageOrder,
    WarmAnswer,
    WarmOrder,
    WarmRun,
    WireFile,
    WireMessage,
    WireReply,
    WireRequest,
    WrkAnswer,
    WrkEnd,
    WrkOrder,
    require_shape,
)
from bench_action.load.peers import PeerError, stop_serving, write_question
from bench_action.load.peers import connect as connect_to
from bench_action.load.peers import serve as serve_others
from bench_action.stats.steady import (
    CONNECTED_S,
    UNJUDGED_S,
    WINDOW_S,
    Reading,
    find_trend,
    has_fallen_far,
    is_steady,
    measure_reply_s,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SAMPLE_S = 0.25
_OPENED_S = 0.5  # a connection that the server's backlog had no place for is tried again after a second
_MARK_S = 1.0
_SETTLE_S = 0.05
_IDLE_CORES = 0.1
_LARGEST_BODY = 4 * 1024**2
_LARGEST_BODIES = 64 * 1024**2
_LARGEST_REPLY = 256 * 1024**2
_PIECE = 64 * 1024
_DIGEST = 16
_LONGEST_LOCATION = 300
_LONGEST_OUTPUT = 20_000
_LONGEST_NAME = 40
_START = 8 * 1024
_PROBE_S = 0.5
_PROBED_SHARE = 0.01
_STOP_S = 0.05
_OLDEST = 3  # timeouts: the request may be sent again over TLS
_LARGE = 256 * 1024  # bytes: many packets of any size
_FILL = 1024**2
_SPEED_S = 0.5
_REPEATED_AT = 100  # offset of tcpi_total_retrans in struct tcp_info (linux/tcp.h), which has four bytes
# what OpenSSL calls a server that answers a handshake in plain text
_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})
_ESTABLISHED, _CLOSE_WAIT = "01", "08"  # as in /proc/net/tcp
_INTERRUPT_S = 0.5
_FROM_EACH = 30  # requests of each connection, before one of them is cut off
_CONNECT_S, _POLL_S = 0.5, 0.005  # for each connection to send its first request
_REST_S = 0.05  # after its last request, in which an application that is warm has been idle
_SENT = re.compile(r'"sent":\[([\d,]+)\]')  # by each thread of wrk, in the line that report.lua prints
# the end of wrk's script: it connects to this address under any name
_LOOKUP = """
local lookup = wrk.lookup
function wrk.lookup(_, service) return lookup("%s", service) end
"""
_FOLD = re.compile(r"\r?\n[ \t]*")  # a line break within a header (RFC 9112, 5.2)
_DIGITS = 9  # of a serial number
_PROBED_APART = 50_000_000  # serial numbers of sampled requests begin so much later than those of wrk

_Order = TypeVar("_Order")
_Answer = TypeVar("_Answer")


def machine(_order: MachineOrder) -> MachineAnswer:
    """Describe the machine as the load container sees it."""
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as cpuinfo:
        for line in cpuinfo:
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "Model", "Hardware"}:
                model = value.strip()
                break
    cpus = sorted(os.sched_getaffinity(0))
    return {
        "cpu_model": model,
        "cores": len(cpus),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "machine": os.uname().machine,
        "cpus": cpus,
        "siblings": {CpuNumber(str(cpu)): read_siblings(cpu) for cpu in cpus},
        "boot_id": read_first_line("/proc/sys/kernel/random/boot_id"),
        "load_average": os.getloadavg()[0],
        "free_disk_mib": read_free_disk_mib(),
    }


def read_free_disk_mib() -> int:
    """Read how much of the disk is free that this container, as all others, has its files on."""
    disk = os.statvfs("/")
    return disk.f_bavail * disk.f_frsize // 2**20


def serve(order: ServeOrder) -> ServeAnswer:
    """Answer the questions of agents on other machines from now on; at no port: no longer."""
    if order["port"]:
        serve_others(order["port"], order["token"], answer_question)
    else:
        stop_serving()
    return {"port": order["port"]}


def answer_question(question: Mapping[str, str]) -> object:
    """Answer what another agent asks; of parts, only containers of this machine are read."""
    asked, part = question["read"], question.get("part", "")
    if asked in {"usage", "cpu"}:
        if not is_container(part):
            return None
        return read_usage(part) if asked == "usage" else read_cpu_ms(part)
    if asked == "machine":
        return read_machine()
    if asked == "fill":
        return "x" * _FILL
    return question  # as it came, so that the other end sees whether large packets arrive


def is_container(part: str) -> bool:
    """Tell whether a part is the id of a container."""
    return len(part) == 64 and all(digit in "0123456789abcdef" for digit in part)


def reach(order: ReachOrder) -> ReachAnswer:
    """Try to reach another agent, with few bytes and then with many, which fill large packets in both directions."""
    reached, host = "nothing", order["address"].rpartition(":")[0]
    try:
        socket.gethostbyname(host)
        reached = "name"
        with connect_to(order["address"], order["timeout_s"]) as connection:
            reader = connection.makefile("r", encoding="ascii")
            for size, name in ((1, "small"), (_LARGE, "large")):
                question = {"read": "back", "text": "x" * size}
                connection.sendall(write_question(question))
                if json.loads(reader.readline() or "null") != question:
                    raise ConnectionError("something else came back")
                reached = name
            speed = measure_speed(connection) if order["timed"] else 0.0
    except (OSError, ValueError) as error:
        problem = describe_failure(error, order["timeout_s"], 0)
        return {"reached": cast("Any", reached), "problem": problem, "bytes_per_s": 0.0}
    return {"reached": "large", "problem": "", "bytes_per_s": speed}


def measure_speed(connection: socket.socket) -> float:
    """Measure how many bytes/s arrive from another agent, for half a second after a first answer."""
    question = write_question({"read": "fill"})
    connection.sendall(question * 2)  # one ahead, so that it is never waited for
    received, began, ended = 0, 0.0, 0.0
    while not began or ended - began < _SPEED_S:
        piece = connection.recv(_PIECE)
        if not piece:
            raise ConnectionError("it closed the connection")
        ended = time.monotonic()
        if began:
            received += len(piece)
        if piece.endswith(b"\n") or b"\n" in piece:
            began = began or ended
            connection.sendall(question)
    return received / max(1e-6, ended - began)


class Message(NamedTuple):
    """A request as bytes; see WireMessage. It is decoded before anything is timed."""

    method: str
    raw: bytes
    route: int
    serials: list[int]


# name → the requests of a tape that was kept
_TAPES: dict[str, list[Message]] = {}


def keep(order: KeepOrder) -> KeepAnswer:
    """Keep requests under a name, and forget others."""
    for name in order["forget"]:
        _TAPES.pop(name, None)
    _TAPES[order["tape"]] = decode_messages(order["messages"])
    return {"kept": len(order["messages"])}


def decode_messages(messages: Sequence[WireMessage]) -> list[Message]:
    """Decode requests."""
    return [Message(m["method"], base64.b64decode(m["raw"]), m["route"], m["serials"]) for m in messages]


def find_messages(order: WireRequest) -> list[Message]:
    """Find the requests of an order: those in it, or those that were kept. Raises KeyError."""
    return _TAPES[order["tape"]] if order["tape"] else decode_messages(order["messages"])


def fill_in_serial(message: Message, serial: int) -> bytes:
    """Fill in a serial number where a request leaves room for one."""
    raw = message.raw
    for place in message.serials:
        raw = raw[:place] + b"%09d" % serial + raw[place + _DIGITS :]
    return raw


def write_tape(order: WrkOrder, path: str) -> None:
    """Write the file that tape.lua reads: for each request a line about it, then its bytes."""
    with open(path, "wb") as file:
        for message in find_messages(order):
            places = " ".join(map(str, message.serials))
            file.write(f"{len(message.raw)} {places}\n".encode() + message.raw)


# a `get` order → when its request was sent, and the answer that is still waited for
_PENDING: dict[str, tuple[float, Future[GetAnswer]]] = {}


def get(order: GetOrder) -> GetAnswer:
    """Find out whether a server is ready, without letting one that does not answer keep others waiting."""
    key = json.dumps(order)
    sent, asked = _PENDING.pop(key, (-math.inf, None))
    # an older one may be about a container that has been replaced
    if asked is None or time.monotonic() - sent > _OLDEST * order["timeout_s"]:
        sent, asked = time.monotonic(), run_apart(partial(request_page, order))
    if not wait([asked], order["wait_s"]).done:
        _PENDING[key] = sent, asked
        return {"status": 0, "failure": "pending", "problem": "no reply yet", "location": "", "body": ""}
    return asked.result()


def run_apart(run: Callable[[], _Answer]) -> Future[_Answer]:
    """Run something that may never end, in a thread that does not keep this process alive."""
    future: Future[_Answer] = Future()

    def work() -> None:
        try:
            future.set_result(run())
        except Exception as error:  # noqa: BLE001 (raised where the result is read)
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def request_page(order: GetOrder) -> GetAnswer:
    """Send the request of an order; report what the server replied, or why no reply came."""
    wire = Wire(order)
    try:
        reply = wire.ask(order["timeout_s"], read_error)
    finally:
        wire.close()
    failure = classify_failure(wire.error)
    if (
        not order["tls"]
        and failure in {"closed", "not-http"}
        and speaks_tls(order["host"], order["port"], order["timeout_s"])
    ):
        failure = "tls"
    return {
        "status": reply["status"],
        "failure": failure,
        "problem": reply["problem"],
        "location": reply["location"],
        "body": reply["body"],
    }


def connect(order: ConnectOrder) -> ConnectAnswer:
    """Open a connection, and close it."""
    try:
        with socket.create_connection((order["host"], order["port"]), order["timeout_s"]):
            return {"failure": "", "problem": ""}
    except OSError as error:
        return {"failure": classify_failure(error), "problem": describe_failure(error, order["timeout_s"], 0)}


def speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Tell whether a server that does not answer HTTP answers TLS."""
    try:
        with socket.create_connection((host, port), timeout_s) as connection, wrap_in_tls(connection, host):
            return True
    except OSError:  # ssl.SSLError is one
        return False


def wrap_in_tls(connection: socket.socket, host: str, *, handshake: bool = True) -> ssl.SSLSocket:
    """Speak TLS over a connection to a host, with any certificate: it is made for the run, or the server's own.

    The connection that it is given must not be used any more.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=handshake)


def requests(order: RequestsOrder) -> RequestsAnswer:
    """Send requests one after the other over one connection, reopened whenever the server closes it.

    Stops after the first request without a reply, and after `limit_s` seconds.
    """
    wire, deadline = Wire(order), time.monotonic() + order["limit_s"]
    read = _READERS[order["bodies"]]
    replies: list[WireReply] = []
    kept = 0
    try:
        for _ in range(order["repeat"]):
            reply = wire.ask(order["timeout_s"], read)
            kept += len(reply["body"])
            if kept > _LARGEST_BODIES:
                problem = f"the bodies of {len(replies) + 1} replies are too large to check together: lower `repeat`"
                reply = build_reply(size=reply["size"], problem=problem)
            replies.append(reply)
            if replies[-1]["problem"] or time.monotonic() > deadline:
                break
    finally:
        wire.close()
    return {"replies": replies}


def requests_together(order: RequestsTogetherOrder) -> RequestsTogetherAnswer:
    """Carry out several `requests` orders at the same time."""
    return {"answers": run_together(requests, order["orders"])}


class Wire:
    """Sends the requests of its order in turn, exactly their bytes, over a connection that is opened when it is needed.

    `error`: what the last request failed with, if it did. `route`: the number of the last request's route.
    """

    def __init__(self, request: WireRequest, *, bind_first: bool = False, skipped: int = 0) -> None:
        """`bind_first`: set `local_port` before anyone can see the connection. `skipped`: serial numbers left out."""
        self.local_port: int | None = None
        self.error: Exception | None = None
        self.route = 0
        self._address, self._tls, self._bind_first = (request["host"], request["port"]), request["tls"], bind_first
        self._messages, self._first_serial = find_messages(request), request["first_serial"] + skipped
        self._asked = 0
        self._socket: socket.socket | None = None

    def ask(self, timeout_s: float, read: ReadContent) -> WireReply:
        """Send the next request and read the reply with `read`, within `timeout_s`. `problem` says why it failed."""
        return self.send(self._messages[self._asked % len(self._messages)], timeout_s, read)

    def send(self, message: Message, timeout_s: float, read: ReadContent) -> WireReply:
        """Send a request in the same way."""
        raw = fill_in_serial(message, self._first_serial + self._asked)
        self.route, self._asked = message.route, self._asked + 1
        deadline = time.monotonic() + timeout_s
        stream: ReplyStream | None = None
        self.error = None
        try:
            connection = self._connect(deadline)
            stream = ReplyStream(connection, deadline)
            connection.sendall(raw)
            # HTTPResponse wants a socket and calls nothing but its makefile
            response = http.client.HTTPResponse(cast("socket.socket", stream), method=message.method)
            with contextlib.closing(response):
                response.begin()
                until_close = response.length is None and not response.chunked
                content = read(response)
        except (OSError, http.client.HTTPException, TooLargeError) as error:
            self.close()
            self.error = error
            size = stream.size if stream is not None else 0
            return build_reply(size=size, problem=describe_failure(error, timeout_s, size))
        if response.will_close:
            self.close()
        redirects = 300 <= response.status <= 399
        return build_reply(
            status=response.status,
            content=content,
            kept=self._socket is not None,
            size=stream.size,
            location=keep_printable(response.getheader("Location") or "") if redirects else "",
            until_close=until_close,
        )

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def interrupt(self) -> None:
        """End the wait for a reply, from another thread."""
        if (connection := self._socket) is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not that of TLS, which a reader would trip over

    def _connect(self, deadline: float) -> socket.socket:
        if self._socket is None:
            host, port = self._address
            address = (socket.gethostbyname(host), port)
            self._socket = socket.socket()
            if self._bind_first:
                self._socket.bind(("", 0))
                self.local_port = self._socket.getsockname()[1]
            self._socket.settimeout(compute_left_s(deadline))
            self._socket.connect(address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                self._socket = wrap_in_tls(self._socket, host)
        self._socket.settimeout(compute_left_s(deadline))
        return self._socket


class TooLargeError(Exception):
    """A reply that is too large to read, or bodies that are too large to keep."""


class ReplyStream(io.RawIOBase):
    """What a server sends until a deadline. `size` counts bytes as wrk does: head, body and framing."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__()
        self.size = 0
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        """Answer BufferedReader's question."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes. Raises socket.timeout after the deadline, even if every single byte arrives in time."""
        self._connection.settimeout(compute_left_s(self._deadline))
        count = self._connection.recv_into(buffer)
        self.size += count
        if self.size > _LARGEST_REPLY:
            raise TooLargeError(f"the reply is larger than {_LARGEST_REPLY >> 20} MiB, too large to read")
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what HTTPResponse reads from, as a socket would."""
        return ReplyReader(self)


class ReplyReader(io.BufferedReader):
    """Buffers a stream, and never reads all of it into memory: http.client would, for a chunk of a negative size."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes. Raises HTTPException without a size."""
        if size is None or size < 0:
            raise http.client.HTTPException("a chunk of the reply has a negative size")
        return super().read(size)


class Content(NamedTuple):
    """What is kept of a reply's headers and body; `body` is base64."""

    headers: dict[str, str]
    body: str = ""
    digest: str = ""


ReadContent = Callable[[http.client.HTTPResponse], Content]


def build_reply(
    *,
    status: int = 0,
    content: Content | None = None,
    kept: bool = False,
    problem: str = "",
    size: int = 0,
    location: str = "",
    until_close: bool = False,
) -> WireReply:
    """Build a reply from what is known of it."""
    headers, body, digest = content or Content({})
    return {
        "status": status,
        "headers": headers,
        "body": body,
        "kept": kept,
        "problem": problem,
        "size": size,
        "location": location,
        "digest": digest,
        "until_close": until_close,
    }


def keep_printable(text: str) -> str:
    """Keep the visible ASCII characters of a header, as a URL has no others, up to a limit."""
    return "".join(character for character in text if "!" <= character <= "~")[:_LONGEST_LOCATION]


def compute_left_s(deadline: float) -> float:
    """Compute the seconds left until a deadline. Raises socket.timeout if it has passed."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise socket.timeout
    return left_s


def describe_failure(error: Exception, timeout_s: float, size: int) -> str:
    """Say why a request got no reply, of which `size` bytes were read."""
    if isinstance(error, TooLargeError):
        return str(error)
    if not isinstance(error, socket.timeout):
        return f"{type(error).__name__}: {error}"
    if not size:
        return f"no reply within {timeout_s:g} s"
    return f"the reply did not end within {timeout_s:g} s ({size:,} bytes were read)"


def classify_failure(error: Exception | None) -> Failure:
    """Tell why a request got no reply, by the error that it failed with; None if it did not fail."""
    if error is None:
        return ""
    if isinstance(error, ssl.SSLError) and error.reason in _PLAIN:
        return "no-tls"
    kinds: Sequence[tuple[Failure, tuple[type[Exception], ...]]] = (
        ("unresolved", (socket.gaierror,)),
        ("refused", (ConnectionRefusedError,)),
        ("late", (socket.timeout,)),
        (
            "closed",
            (http.client.RemoteDisconnected, http.client.IncompleteRead, ConnectionError, ssl.SSLEOFError),
        ),
        ("not-http", (http.client.HTTPException,)),
    )
    return next((failure for failure, classes in kinds if isinstance(error, classes)), "other")


def read_error(response: http.client.HTTPResponse) -> Content:
    """Read the beginning of an error's body, if it comes; it may say what is wrong."""
    if response.status < 400:
        return Content({})
    with contextlib.suppress(OSError, http.client.HTTPException):
        return Content({}, base64.b64encode(response.read1(_START)).decode())
    return Content({})


def read_digest(response: http.client.HTTPResponse) -> Content:
    """Read the body piece by piece and keep only its digest."""
    digest = hashlib.sha256()
    for piece in read_pieces(response):
        digest.update(piece)
    return Content({}, digest=digest.hexdigest()[:_DIGEST])


def read_to_end(response: http.client.HTTPResponse) -> Content:
    """Read the body to its end and keep nothing."""
    for _piece in read_pieces(response):
        pass
    return Content({})


def read_body(response: http.client.HTTPResponse) -> Content:
    """Read the headers and the body. Raises TooLargeError."""
    data = bytearray()
    for piece in read_pieces(response):
        data += piece
        if len(data) > _LARGEST_BODY:
            raise TooLargeError("the body is larger than 4 MiB, too large to check")
    return Content(read_headers(response), base64.b64encode(data).decode(), hashlib.sha256(data).hexdigest()[:_DIGEST])


def read_start(response: http.client.HTTPResponse) -> Content:
    """Read the headers and the body, and keep only its start and its digest."""
    start, digest = bytearray(), hashlib.sha256()
    for piece in read_pieces(response):
        digest.update(piece)
        start += piece[: _START - len(start)]
    return Content(read_headers(response), base64.b64encode(start).decode(), digest.hexdigest()[:_DIGEST])


_READERS: Mapping[Bodies, ReadContent] = {"all": read_body, "start": read_start, "none": read_digest}


def read_headers(response: http.client.HTTPResponse) -> dict[str, str]:
    """Read the headers, by lower-case name; values of a repeated one are on a line each.

    http.client takes each byte for a character. Text is in UTF-8 today; a byte that is not becomes half of a surrogate
    pair, so that a cookie can be sent back as it came.
    """
    headers: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        text = value.encode("latin-1").decode("utf-8", "surrogateescape")
        headers.setdefault(name.lower(), []).append(_FOLD.sub(" ", text))
    return {name: "\n".join(values) for name, values in headers.items()}


def read_pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body in pieces. Raises IncompleteRead if the connection ends before the body does."""
    while piece := response.read(_PIECE):
        yield piece
    if response.length:  # what is missing of its Content-Length
        raise http.client.IncompleteRead(b"", response.length)


def turns(order: TurnsOrder) -> TurnsAnswer:
    """Send requests of several loads in turn, a few at a time, over one connection to each server.

    A turn lasts some hundredths of a second, so that drift affects all servers equally. They end when the time is up,
    or after as many requests as are enough.
    """
    dice = random.Random(order["seed"])
    wires = {(load["host"], load["port"]): Wire(load) for load in order["loads"]}
    lanes = [
        Lane(load, wires[load["host"], load["port"]], order["timeout_s"], order["first"]) for load in order["loads"]
    ]
    shuffled = list(lanes)
    began = time.monotonic()
    try:
        while time.monotonic() - began < order["seconds"] and lanes[0].sent < order["enough"]:
            dice.shuffle(shuffled)
            for lane in shuffled:
                lane.take_turn(order["requests"])
    finally:
        for wire in wires.values():
            wire.close()
    return {"loads": [lane.summarise() for lane in lanes], "seconds": time.monotonic() - began}


class Lane:
    """One load over a connection that others may share, and what was seen of it over its turns."""

    def __init__(self, load: TurnsLoad, wire: Wire, timeout_s: float, first: int) -> None:
        self._wire, self._messages, self._first, self.sent = wire, find_messages(load), first, 0
        self._parts, self._timeout_s = load["parts"], timeout_s
        self._cpu_ms: dict[str, float | None] = dict.fromkeys(self._parts, 0.0)
        self._latencies_ns: list[int] = []
        self._seen: list[SampleRow] = []
        self._errors = self._time_ns = 0
        self._problem = ""

    def take_turn(self, count: int) -> None:
        """Send `count` requests, and read the CPU time of the server's parts before and after them."""
        before, began = self._read_cpu_ms(), time.perf_counter_ns()
        for _ in range(count):
            message = self._messages[(self._first + self.sent) % len(self._messages)]
            self.sent += 1
            sent = time.perf_counter_ns()
            reply = self._wire.send(message, self._timeout_s, read_to_end)
            took_ns = time.perf_counter_ns() - sent
            if reply["problem"]:
                self._errors += 1
                self._problem = self._problem or reply["problem"]
            else:
                self._latencies_ns.append(took_ns)
                self._seen.append(make_sample(reply, self._wire.route))
        self._time_ns += time.perf_counter_ns() - began
        for part, cpu_ms in self._read_cpu_ms().items():
            total_ms, earlier_ms = self._cpu_ms[part], before[part]
            if total_ms is None or earlier_ms is None or cpu_ms is None:
                self._cpu_ms[part] = None
            else:
                self._cpu_ms[part] = total_ms + cpu_ms - earlier_ms

    def summarise(self) -> ServerTurns:
        """Sum up all turns."""
        return {
            "latencies_us": [ns / 1000 for ns in self._latencies_ns],
            "errors": self._errors,
            "problem": self._problem,
            "seen": self._seen,
            "duration_s": self._time_ns / 1e9,
            "cpu_ms": self._cpu_ms,
        }

    def _read_cpu_ms(self) -> dict[str, float | None]:
        return {name: read_cpu_ms(part) for name, part in self._parts.items()}


def connections(order: ConnectionsOrder) -> ConnectionsAnswer:
    """Open many connections at the same time, send a request on each, and count those that were answered.

    With `hold`, all stay open until the last one is answered, which shows whether the server can keep them all. A
    server without keep-alive waits for its client to close, so without `hold` each is closed once it is answered.
    """
    messages, deadline = find_messages(order), time.monotonic() + order["limit_s"]
    numbers = itertools.count()

    def write_next() -> bytes:
        number = next(numbers)
        return fill_in_serial(messages[number % len(messages)], order["first_serial"] + number)

    waiting, late = selectors.DefaultSelector(), 0
    visitors = open_together(order, waiting)
    try:
        while waiting.get_map() and time.monotonic() < deadline:
            for key, _event in waiting.select(timeout=0.5):
                visitor = cast("Visitor", key.data)
                if events := visitor.advance(write_next):
                    waiting.modify(key.fd, events, visitor)
                    continue
                waiting.unregister(key.fd)
                late += bool(visitor.reply) and has_repeated(visitor.connection)
                if not order["hold"]:
                    visitor.connection.close()
    finally:
        waiting.close()
        for visitor in visitors:
            visitor.connection.close()
    replies = [visitor.reply for visitor in visitors if visitor.reply]
    return {
        "answered": len(replies),
        "late": late,
        "statuses": dict(Counter(map(read_status, replies))),
        "refused_here": order["count"] - len(visitors),
    }


class Visitor:
    """One of many connections: it is opened, a request is sent on it, and the beginning of the reply is read.

    `reply`: empty if none came yet, or at all.
    """

    def __init__(self, host: str, address: tuple[str, int], *, tls: bool) -> None:
        """Begin to open a connection. Raises OSError if this container may open no more files."""
        self.connection = socket.socket()
        self.connection.setblocking(False)
        self.connection.connect_ex(address)
        self.reply = b""
        self._host, self._handshake = host, tls
        self._request, self._sent = b"", False

    def advance(self, write_next: Callable[[], bytes]) -> int:
        """Take the next step, and return the events to wait for after it; none once everything is done, or failed."""
        try:
            if self._handshake:
                self._shake_hands()
            if not self._sent:
                self._request = self._request or write_next()  # again the same, if it has to be tried again
                self.connection.send(self._request)
                self._sent = True
                return selectors.EVENT_READ
            self.reply = self.connection.recv(65536)
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        except OSError:
            pass
        return 0

    def _shake_hands(self) -> None:
        if not isinstance(self.connection, ssl.SSLSocket):
            self.connection = wrap_in_tls(self.connection, self._host, handshake=False)
        self.connection.do_handshake()
        self._handshake = False


def open_together(order: ConnectionsOrder, waiting: selectors.BaseSelector) -> list[Visitor]:
    """Begin to open connections, and let `waiting` report each that is open. Returns those that could be begun."""
    address = (socket.gethostbyname(order["host"]), order["port"])
    opened: list[Visitor] = []
    for _ in range(order["count"]):
        try:
            visitor = Visitor(order["host"], address, tls=order["tls"])
        except OSError:  # this container's limit of open files, which is not the server's fault
            continue
        opened.append(visitor)
        waiting.register(visitor.connection.fileno(), selectors.EVENT_WRITE, visitor)
    return opened


def has_repeated(connection: socket.socket) -> bool:
    """Tell whether a packet had to be sent again: a server that accepts no more connections ignores the first."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _REPEATED_AT + 4)
    return any(info[_REPEATED_AT:])


def read_status(reply: bytes) -> str:
    """Read the status from the first bytes of a reply; empty if it is not HTTP."""
    words = reply[:16].split(b" ")
    status = words[1] if words[0].startswith(b"HTTP/1.") and len(words) > 1 else b""
    return status.decode() if status.isdigit() and len(status) == 3 else ""


def wrk(order: WrkOrder) -> WrkAnswer:
    """Run wrk once; report its output and CPU time, and what was seen of its connections, the parts and the machine."""
    prober = Prober(order)
    watcher = Watcher(order, order["connections"], prober)
    with tempfile.TemporaryDirectory() as folder:
        argv = [*order["argv"], *prepare_wrk(order, f"{folder}/wrk")]
        machines = read_machines(order["parts"], include_own=order["divided"])
        before = read_all_usage(order["parts"])
        ticks, idle = read_cpu_ticks(), read_idle_ticks()
        started, clock_s = time.monotonic(), read_clock_s()
        # a server that is to get one request at a time would get two
        helpers = [watcher, prober] if order["connections"] > 1 else [watcher]
        try:
            output, status, cpu_s = run_program(argv, order["limit_s"], order["interrupt_s"], helpers)
            wall_s, after = time.monotonic() - started, read_all_usage(order["parts"])
            clock_step_s = read_clock_s() - clock_s
            shares = compute_machine_shares(machines, read_machines(order["parts"], include_own=order["divided"]))
        finally:
            prober.stop()
            watcher.stop()
    return {
        "output": leave_out_histogram(output)[-_LONGEST_OUTPUT:],
        "status": status,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "clock_step_s": clock_step_s,
        "live": watcher.peak_connections,
        "open": watcher.peak_open,
        "early": watcher.early_connections,
        "sampled": prober.seen,
        "memory_mib": watcher.peak_memory_mib,
        "before": before,
        "after": after,
        "steal_percent": compute_steal_percent(ticks, read_cpu_ticks()),
        "idle": compute_idle_shares(idle, read_idle_ticks()),
        "marks": watcher.marks,
        "machines": shares,
        "histogram": read_histogram(output),
        "lateness_s": 0.0,
        "cores": len(os.sched_getaffinity(0)),
        "busy": None,
    }


def read_histogram(output: str) -> list[list[int]]:
    """Read the latencies and their counts that wrk's script has printed, if it has."""
    for line in output.splitlines():
        if line.startswith(HISTOGRAM) and len(line) > len(HISTOGRAM):
            return [[int(number) for number in row.split()] for row in line[len(HISTOGRAM) :].split(",")]
    return []


def leave_out_histogram(output: str) -> str:
    """Leave that line out."""
    return "\n".join(line for line in output.split("\n") if not line.startswith(HISTOGRAM))


def k6(order: K6Order) -> K6Answer:
    """Run k6 once; report its output and CPU time, and what was seen of the parts and the machine."""
    address = socket.gethostbyname(order["host"])
    with tempfile.TemporaryDirectory() as folder:
        write_files(order["files"], folder)
        write_requests(order, folder)
        given = {"BENCH_ACTION_ADDRESS": address, "BENCH_ACTION_OTHERS": json.dumps(list_other_addresses(address))}
        argv = [*order["argv"], *(f"--env={name}={value}" for name, value in given.items() if order["files"])]
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder}
        watcher = Watcher(order, 0)
        before, ticks = read_all_usage(order["parts"]), read_cpu_ticks()
        started = time.monotonic()
        output, status, cpu_s = run_program(
            argv, order["limit_s"], order["limit_s"], [watcher], folder=folder, environ=environ
        )
        wall_s, after = time.monotonic() - started, read_all_usage(order["parts"])
        watcher.stop()
    return {
        "output": output[-_LONGEST_OUTPUT:],
        "status": status,
        "exceptions": output.count("source=stacktrace"),
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "memory_mib": watcher.peak_memory_mib,
        "before": before,
        "after": after,
        "steal_percent": compute_steal_percent(ticks, read_cpu_ticks()),
    }


def write_files(files: Sequence[WireFile], folder: str) -> None:
    """Write files below a folder. Raises ValueError for a path that leads out of it."""
    for file in files:
        path = os.path.normpath(os.path.join(folder, file["path"]))
        if not path.startswith(folder + os.sep):
            raise ValueError(f"{file['path']!r} is not below its folder")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as written:
            written.write(base64.b64decode(file["data"]))


def write_requests(order: K6Order, folder: str) -> None:
    """Write the requests of a tape next to requests.js, if there are any; NULs stand for a serial number."""
    messages = find_messages(order)
    if messages:
        with open(os.path.join(folder, "bench_action", "tape.json"), "w", encoding="utf-8") as file:
            json.dump([split_request(message) for message in messages], file)


def split_request(message: Message) -> dict[str, object]:
    """Split the bytes of a request into the parameters that k6 takes. It adds Content-Length itself."""
    head, _, body = message.raw.decode("utf-8", errors="surrogateescape").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    fields = (line.partition(": ") for line in lines)
    return {
        "method": message.method,
        "path": first.split(" ")[1],
        "headers": {name: value for name, _, value in fields if name.lower() != "content-length"},
        "body": body,
        "route": message.route,
        "serial": bool(message.serials),
    }


def list_other_addresses(address: str) -> list[str]:
    """List the networks that together have every address except this one."""
    others = ipaddress.IPv4Network("0.0.0.0/0").address_exclude(ipaddress.IPv4Network(address))
    return [*(str(network) for network in others), "::/0"]


def read_clock_s() -> float:
    """Read by how much the machine's clock is ahead of the monotonic one: the median of three, as one may pause."""
    return sorted(time.time() - time.monotonic() for _ in range(3))[1]


def prepare_wrk(order: WrkOrder, path: str, *arguments: str) -> list[str]:
    """Write the files that wrk reads, whose names begin with `path`; return its arguments: script, URL, those, tape.

    Over TLS, wrk sends the host of its URL as the server's name (SNI), so that must be no address (RFC 6066, 3). The
    script has wrk connect to the IPv4 address: it would take an IPv6 one, and watcher and prober see IPv4 only.
    """
    host, scheme = socket.gethostbyname(order["host"]), "http"
    with open(f"{path}.lua", "w", encoding="utf-8") as script:
        script.write(order["script"])
        if order["tls"]:
            script.write(_LOOKUP % host)
            host, scheme = "localhost" if host == order["host"] else order["host"], "https"
    write_tape(order, f"{path}.tape")
    return ["-s", f"{path}.lua", f"{scheme}://{host}:{order['port']}/", *arguments, f"{path}.tape"]


def run_program(
    argv: Sequence[str],
    limit_s: float,
    interrupt_s: float,
    helpers: Sequence[threading.Thread],
    *,
    folder: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[str, int, float]:
    """Run a program, interrupted after `interrupt_s` and killed after `limit_s`, and start the helpers with it.

    `folder`, `environ`: those it runs with; None: ours.

    Returns its output, its exit status (negative: the signal that ended it) and its CPU time in seconds.
    """
    with (
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environ,
        ) as process,
        cast("io.BufferedReader", process.stdout) as stdout,
    ):
        limit = threading.Timer(limit_s, process.kill)
        interrupt = threading.Timer(interrupt_s, os.kill, [process.pid, signal.SIGINT])
        for thread in (limit, interrupt, *helpers):
            thread.start()
        output = stdout.read().decode(errors="replace")
        interrupt.cancel()
        interrupt.join()  # before its number may be another program's
        _pid, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # now waited for: nobody may signal it any more
        limit.cancel()
    return output, process.returncode, used.ru_utime + used.ru_stime


def duet(order: DuetOrder) -> DuetAnswer:
    """Carry out several `wrk` orders at the same time, started in this order."""
    return {"answers": run_together(wrk, order["orders"])}


def run_together(run: Callable[[_Order], _Answer], orders: Sequence[_Order]) -> list[_Answer]:
    """Carry out orders at the same time, each in its own thread, started in this order. Returns their answers."""
    with ThreadPoolExecutor(max_workers=len(orders)) as pool:
        return list(pool.map(run, orders))


def warm(order: WarmOrder) -> WarmAnswer:
    """Carry out `wrk` orders at the same time until every server is warm, or the time is up."""
    with tempfile.TemporaryDirectory() as folder:
        loads = [WarmLoad(each, f"{folder}/{number}") for number, each in enumerate(order["orders"])]
        try:
            for load in loads:
                load.start()
            wait_until_warm(loads, order["least_s"], order["most_s"], rests=order["rests"])
            end_all(loads)
            return {"runs": [load.describe() for load in loads]}
        finally:
            for load in loads:
                load.kill()


def wait_until_warm(loads: Sequence[WarmLoad], least_s: float, most_s: float, *, rests: bool) -> None:
    """Read what the servers do until all of them are warm, one of the loads has ended, or the time is up.

    `rests`: those whose requests have become far cheaper are warm only if they rest when no request is under way, each
    time since the cost has been level. Between two tasks, a compiler rests as well.
    """
    began = time.monotonic()
    judge_at, reconnect_at = began + least_s, began + CONNECTED_S
    while not any(load.ended for load in loads):
        time.sleep(WINDOW_S)
        for load in loads:
            load.read()
        now = time.monotonic()
        if now - began >= most_s:
            return
        level = now >= judge_at and all(load.level for load in loads)
        due = level or now >= reconnect_at
        compiling = [load for load in loads if load.fallen_far] if rests and due else []
        if level and not compiling:
            return
        worthwhile = due and now + UNJUDGED_S < began + most_s
        if worthwhile and all(load.leaves_little for load in loads):
            end_all(loads)
            if any(load.failed for load in loads):
                return
            if compiling:
                leave_alone(compiling, began + most_s - UNJUDGED_S)
                if level and all(load.rested for load in compiling):
                    return
            connect_again(loads)
            now = time.monotonic()
            judge_at, reconnect_at = max(judge_at, now + (CONNECTED_S if level else UNJUDGED_S)), now + CONNECTED_S
        elif level:
            return


def leave_alone(loads: Sequence[WarmLoad], deadline: float) -> None:
    """Look which servers rest, now that nobody asks for anything: a compiler goes on with its work.

    They have as long for it as a request needs, as some are still under way, and a little longer. What goes on after
    that gets the CPU for itself, for as long as it was loaded at most: it ends sooner. Companions, such as workers
    with a queue, may go on.
    """
    limit_s = _REST_S + max(load.reply_s for load in loads)
    working = settle({"op": "settle", "parts": [load.own_part for load in loads], "limit_s": limit_s})["working"]
    for load in loads:
        load.see(works=load.own_part in working)
    left_s = deadline - time.monotonic()
    settle({"op": "settle", "parts": working, "limit_s": max(0.0, min(CONNECTED_S, left_s))})


def connect_again(loads: Sequence[WarmLoad]) -> None:
    """Start loads again that have ended. What connecting costs is in none of the readings."""
    for load in loads:
        load.start()
    deadline = time.monotonic() + _CONNECT_S
    while not all(load.sends for load in loads) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    time.sleep(WINDOW_S)
    for load in loads:
        load.resume()


def end_all(loads: Sequence[WarmLoad]) -> None:
    """Let all loads end."""
    for load in loads:
        load.interrupt()
    deadline = time.monotonic() + max(load.limit_s for load in loads)
    for load in loads:
        load.wait(deadline)


class WarmLoad:
    """wrk, which loads a server until it is interrupted and may then be started again, and what the server did.

    `ends`: how each run of wrk ended. `readings`: as if the runs had followed one another without pauses; empty if the
    CPU time of the application cannot be read. `own_part`: the application without companions.
    """

    def __init__(self, order: WrkOrder, path: str) -> None:
        """`path`: the beginning of the names of files for wrk."""
        self.limit_s, self.ends = order["limit_s"], list[WrkEnd]()
        self._parts, self._application = order["parts"], list_application(order["parts"])
        self.own_part = order["parts"].get("application", "")
        # after how much time under load it was last seen to work without requests; None if it was never left alone
        self._worked_s: float | None = None
        self._connections = order["connections"]
        self._script, self._sent = f"{path}.lua", f"{path}.sent"
        with open(self._sent, "wb"):
            pass  # so that it has a size before wrk runs
        self._argv = [*order["argv"], *prepare_wrk(order, path, self._sent)]
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._started = self._ended = time.monotonic()
        self._sent_before = 0  # by the runs before the present one
        self._before = read_all_usage(self._parts)
        self._sum, self._from = Reading(0.0, 0.0, 0), self._look()  # the reading from which they go on, and when
        self.readings = [] if self._from is None else [self._sum]

    @property
    def ended(self) -> bool:
        """Whether wrk has ended without being started again, because something is wrong."""
        return self._process is None or self._process.poll() is not None

    @property
    def failed(self) -> bool:
        """Whether a run of wrk has failed."""
        return any(end["status"] != 0 for end in self.ends)

    @property
    def level(self) -> bool:
        """Whether the cost of a request has levelled off, or cannot be known."""
        return not self.readings or is_steady(self.readings)

    @property
    def fallen_far(self) -> bool:
        """Whether requests cost a fraction of what they cost at first."""
        return has_fallen_far(self.readings)

    @property
    def rested(self) -> bool | None:
        """Whether the server was idle each time that it was left alone in the last two spans; None if it never was."""
        if self._worked_s is None:
            return None
        trend = find_trend(self.readings)
        return self._worked_s <= (self.readings[-1].at_s - 2 * trend.span_s if trend is not None else 0.0)

    @property
    def reply_s(self) -> float:
        """How long a reply takes, in seconds."""
        return measure_reply_s(self.readings, self._connections)

    @property
    def sends(self) -> bool:
        """Whether each connection of the present run of wrk has sent a request, or wrk has ended.

        wrk asks its script for one more before, only to look at it.
        """
        return self.ended or self._count_sent() > self._connections

    @property
    def leaves_little(self) -> bool:
        """Whether the requests that are under way, and go on after wrk has left, are few of those that it has sent."""
        return self._count_sent() >= _FROM_EACH * self._connections

    def start(self) -> None:
        """Start wrk, or start it again: it goes on in its tape, with other serial numbers."""
        if self.ends and (counts := _SENT.findall(self.ends[-1]["output"])):
            with open(self._script, "a", encoding="utf-8") as script:
                script.write(f"begun = {{{counts[-1]}}}\n")
        self._sent_before = os.path.getsize(self._sent)
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def read(self) -> None:
        """Take a reading. If the counters are gone, as is the server, all readings are dropped."""
        now, begin, done = self._look(), self._from, self._sum
        if now is None or begin is None:
            self.readings.clear()
            self._from = None
        else:
            at_s, cpu_ms = done.at_s + now.at_s - begin.at_s, done.cpu_ms + now.cpu_ms - begin.cpu_ms
            self.readings.append(Reading(at_s, cpu_ms, done.requests + now.requests - begin.requests))

    def resume(self) -> None:
        """Leave out of the readings what has happened since the last one."""
        if self.readings:
            self._sum, self._from = self.readings[-1], self._look()

    def see(self, *, works: bool) -> None:
        """Remember whether the server worked when it was left alone."""
        if works and self.readings:
            self._worked_s = self.readings[-1].at_s
        elif self._worked_s is None:
            self._worked_s = 0.0

    def interrupt(self) -> None:
        """Let wrk end as at the end of its time: it prints its report."""
        if self._process is None:
            return
        self._ended = time.monotonic()
        if self._ended - self._started >= _INTERRUPT_S:
            self._process.send_signal(signal.SIGINT)  # sooner, `wait` does it: it would kill wrk, which first starts

    def wait(self, deadline: float) -> None:
        """Wait for wrk's report. wrk ignores interrupts until all of its threads run, so they are repeated."""
        if self._process is None:
            return
        with self._process:
            while True:
                try:
                    output, _ = self._process.communicate(timeout=_INTERRUPT_S)
                    break
                except subprocess.TimeoutExpired:
                    self._process.send_signal(signal.SIGINT if time.monotonic() < deadline else signal.SIGKILL)
        text = output.decode(errors="replace")[-_LONGEST_OUTPUT:]
        self.ends.append({"output": text, "status": self._process.returncode})
        self._process = None

    def kill(self) -> None:
        """End wrk if it still runs, as after an error."""
        if self._process is not None:
            with self._process:
                self._process.kill()

    def describe(self) -> WarmRun:
        """Describe the whole."""
        return {
            "ends": self.ends,
            "duration_s": self._ended - self._began,
            "requests": os.path.getsize(self._sent),
            "readings": list(self.readings),
            "rested": self.rested,
            "before": self._before,
            "after": read_all_usage(self._parts),
        }

    def _count_sent(self) -> int:
        return os.path.getsize(self._sent) - self._sent_before

    def _look(self) -> Reading | None:
        used_ms = self._read_cpu_ms()
        if used_ms is None:
            return None
        answered = max(0, os.path.getsize(self._sent) - self._connections)  # each has a request under way
        return Reading(time.monotonic(), used_ms, answered)

    def _read_cpu_ms(self) -> float | None:
        used_ms = [read_cpu_ms(part) for part in self._application]
        known_ms = [value for value in used_ms if value is not None]
        return float(sum(known_ms)) if len(known_ms) == len(used_ms) else None


def make_sample(reply: WireReply, route: int) -> SampleRow:
    """Reduce a reply to what is kept of each of many replies."""
    return reply["status"], reply["size"], reply["location"], reply["digest"], route, reply["until_close"]


class Prober(threading.Thread):
    """Samples replies while wrk runs: wrk itself counts bytes and statuses above 399, and looks at no reply.

    Each request has its own connection, so that none of a server's workers is kept from wrk. Its share of all requests
    is about 1 % at most: by Little's law the rate under load is connections ÷ waiting time.
    """

    def __init__(self, order: WrkOrder) -> None:
        super().__init__(daemon=True)
        self.seen: list[SampleRow] = []
        self._wire = Wire(order, bind_first=True, skipped=_PROBED_APART)
        self._connections = order["connections"]
        self._limit_s = order["limit_s"]
        self._over = threading.Event()

    @property
    def local_port(self) -> int | None:
        """The port of its connection, which is not one of wrk's."""
        return self._wire.local_port

    def run(self) -> None:
        """Send a request every half second, or less often, until `stop`."""
        pause_s = _PROBE_S / 2
        while not self._over.wait(pause_s):
            sent = time.monotonic()
            reply = self._wire.ask(self._limit_s, read_digest)
            self._wire.close()
            if not self._over.is_set() and not reply["problem"]:  # otherwise it is not a reply under load
                self.seen.append(make_sample(reply, self._wire.route))
            pause_s = max(_PROBE_S, (time.monotonic() - sent) / _PROBED_SHARE / self._connections)

    def stop(self) -> None:
        """Send no further request, and give up the one in progress."""
        self._over.set()
        while self.is_alive():
            self._wire.interrupt()
            self.join(_STOP_S)


class Watcher(threading.Thread):
    """Records peaks while wrk runs, and marks: connections to the server, memory and CPU time of the application.

    Those of its companions are added to its own. `peak_open`: with those that the server has closed after its reply,
    which wrk has not noticed yet. `early_connections`: those within half a second after the first was seen.
    Marks divide wrk's run into parts without ending it: a second run would have to open its connections again.
    """

    def __init__(self, order: WrkOrder | K6Order, connections: int, prober: Prober | None = None) -> None:
        """Watch a run of an order; connections are counted until as many as these have been seen."""
        super().__init__(daemon=True)
        self._prober = prober
        address = socket.inet_aton(socket.gethostbyname(order["host"]))
        # /proc/net/tcp writes the address as one number in the machine's byte order, the port in hexadecimal
        number = int.from_bytes(address, sys.byteorder)
        self._remote, self._interface = f"{number:08X}:{order['port']:04X}", find_interface(number)
        self._wanted = connections
        self._application = list_application(order["parts"])
        self._over = threading.Event()
        self.peak_connections = self.peak_open = self.early_connections = 0
        self.peak_memory_mib: float | None = None
        self.marks: list[MarkRow] = []

    def run(self) -> None:
        """Sample until `stop`; connections only until all of them have been seen."""
        began = time.monotonic()
        early_until = math.inf
        while not self._over.wait(_SAMPLE_S):
            if self.peak_connections < self._wanted:
                states, now = self._read_states(), time.monotonic()
                if states[_ESTABLISHED] and early_until == math.inf:
                    early_until = now + _OPENED_S + _SAMPLE_S / 2
                self.peak_connections = max(self.peak_connections, states[_ESTABLISHED])
                self.peak_open = max(self.peak_open, states[_ESTABLISHED] + states[_CLOSE_WAIT])
                if now < early_until:
                    self.early_connections = self.peak_open
            try:
                found = [read_usage(part) for part in self._application]
            except PeerError:  # the run of wrk fails with it as well
                return
            used = [each for each in found if each is not None]
            if used and len(used) == len(found):
                memory_mib = sum(each["memory_mib"] for each in used)
                self.peak_memory_mib = max(self.peak_memory_mib or 0.0, memory_mib)
                self._mark(time.monotonic() - began, sum(each["cpu_ms"] for each in used), memory_mib)

    def _mark(self, at_s: float, cpu_ms: float, memory_mib: float) -> None:
        """Add a mark if the last one is a second old."""
        if self.marks and at_s - self.marks[-1][0] < _MARK_S - _SAMPLE_S / 2:
            return
        received = read_received(self._interface)
        if received is not None:
            self.marks.append((round(at_s, 4), received, round(cpu_ms, 3), round(memory_mib, 3)))

    def stop(self) -> None:
        """Take no further sample, and wait for the one in progress."""
        self._over.set()
        self.join()

    def _read_states(self) -> Counter[str]:
        """Count the connections to the server by state."""
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split(None, 4) for line in table]
        # by the local end, as the kernel may list a connection twice while the table changes
        states = {row[1]: row[3] for row in rows if row[2] == self._remote}
        # read after the table, which may have a connection that the prober has just begun
        probing = f":{self._prober.local_port or 0:04X}" if self._prober else ":0000"
        return Counter(state for local, state in states.items() if not local.endswith(probing))


def list_application(parts: Mapping[str, str]) -> list[str]:
    """List the parts that answer requests: the application, and its companions."""
    return [part for name, part in parts.items() if name.partition(":")[0] == "application"]


def usage(order: UsageOrder) -> UsageAnswer:
    """Read the counters of every part."""
    return {"parts": read_all_usage(order["parts"])}


def settle(order: SettleOrder) -> SettleAnswer:
    """Wait until parts are idle: requests that nobody waits for any more are still being answered.

    Parts whose counters cannot be read are not waited for.
    """
    deadline = time.monotonic() + order["limit_s"]
    working = order["parts"]
    while working and time.monotonic() < deadline:
        before, then = {part: read_cpu_ms(part) for part in working}, time.monotonic()
        time.sleep(_SETTLE_S)
        idle_ms = 1000 * _IDLE_CORES * (time.monotonic() - then)
        working = [part for part in working if has_grown(idle_ms, before[part], read_cpu_ms(part))]
    return {"working": working}


def has_grown(limit: float, before: float | None, after: float | None) -> bool:
    """Tell whether a counter has grown by `limit` or more; False if it cannot be read."""
    return before is not None and after is not None and after - before >= limit


# each order's name → its shape, and the function that carries it out
OPERATIONS: Mapping[str, tuple[type, Callable[[Any], object]]] = {
    "machine": (MachineOrder, machine),
    "serve": (ServeOrder, serve),
    "reach": (ReachOrder, reach),
    "keep": (KeepOrder, keep),
    "get": (GetOrder, get),
    "connect": (ConnectOrder, connect),
    "requests": (RequestsOrder, requests),
    "requests_together": (RequestsTogetherOrder, requests_together),
    "connections": (ConnectionsOrder, connections),
    "turns": (TurnsOrder, turns),
    "wrk": (WrkOrder, wrk),
    "k6": (K6Order, k6),
    "duet": (DuetOrder, duet),
    "warm": (WarmOrder, warm),
    "usage": (UsageOrder, usage),
    "settle": (SettleOrder, settle),
}


def obey(order: object) -> object:
    """Check an order and carry it out. Raises ShapeError, which names what is wrong with it."""
    name = require_shape(order, Order)["op"]
    if name not in OPERATIONS:
        raise ShapeError(f"must be one of {', '.join(OPERATIONS)}, not {name[:_LONGEST_NAME]!r}", ".op")
    shape, carry_out = OPERATIONS[name]
    return carry_out(require_shape(order, shape))


def main() -> None:
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        try:
            reply: dict[str, object] = {"ok": obey(json.loads(line))}
        except ShapeError as error:
            reply = {"error": f"the order has the wrong shape: {error}"}
        except Exception as error:  # noqa: BLE001 (the other end decides what it means)
            reply = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
