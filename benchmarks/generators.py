"""Which percentiles load generators report of a server whose latencies are known: one that stalls.

The server answers after 100 ms, except for one second in which it answers nothing. Requests that begin at regular
times, answered or not, wait for the rest of that second: so the true latencies are known. wrk, which waits for its
replies, cannot see them; k6 as the tool uses it must be within 2 %.

    python -m benchmarks.generators        print the table (needs wrk, and k6 on the PATH or next to this Python)
"""

import json
import math
import multiprocessing
import os
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TypeVar

from bench_action.config.schema import Profile
from bench_action.engine.protocol import Handle
from bench_action.load import agent
from bench_action.load.generator import HttpRequest
from bench_action.load.k6 import Turn, build_turn_order, parse_k6_report
from bench_action.load.messages import K6Answer, WrkAnswer, require_shape
from bench_action.load.wrk import build_order, parse_report
from bench_action.model.result import Latency

_Shape = TypeVar("_Shape")
RATE, SECONDS, STALL_S, ROUNDS = 100, 4, 1.0, 5
_SHARES = (0.5, 0.9, 0.99)
_ANSWER_S = 0.1
_BEFORE_S = 1.5  # from the first request to the stall


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Stalls once, `_BEFORE_S` after its first request."""

    allow_reuse_address, daemon_threads, request_queue_size = True, True, 512
    first = math.inf
    lock = threading.Lock()

    def wait(self) -> None:
        with self.lock:
            self.first = min(self.first, time.monotonic())
        late_s = time.monotonic() - self.first - _BEFORE_S
        time.sleep(_ANSWER_S + (STALL_S - late_s if 0 <= late_s < STALL_S else 0.0))

    def handle_error(self, *_: object) -> None:
        """Print nothing of a generator that leaves at its end."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.wait()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _serve(port: Connection) -> None:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        port.send(server.server_address[1])
        server.serve_forever()


@contextmanager
def stalling() -> Iterator[int]:
    """Start such a server in a separate process; return its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield int(ours.recv())
    finally:
        process.terminate()
        process.join()


def compute_true_ms() -> list[float]:
    """Compute the true latencies in ms: of requests at regular times, those in the stall wait for its end."""
    begun = [number / RATE for number in range(RATE * SECONDS)]
    end = _BEFORE_S + STALL_S
    waits = sorted(_ANSWER_S + (end - at if _BEFORE_S <= at < end else 0.0) for at in begun)
    return [1000 * waits[math.ceil(share * len(waits)) - 1] for share in _SHARES]


def _take(answer: object, shape: type[_Shape]) -> _Shape:
    """Take an answer of the agent as its other end does."""
    return require_shape(json.loads(json.dumps(answer)), shape)


def measure_k6() -> Latency | None:
    """Measure as the tool does."""
    profile = Profile.model_validate({"connections": 1, "threads": 1, "duration": 1, "rate": f"{RATE}/s"})
    with stalling() as port:
        handle = Handle("", "app", "subject", "app", port, "127.0.0.1")
        tape, turn = HttpRequest.from_config(handle, profile).tape, Turn(float(RATE), SECONDS)
        order = build_turn_order(handle, profile, tape, turn, parts={}, limit_s=30.0)
        return parse_k6_report(_take(agent.k6(order), K6Answer), profile, turn, "the server").latency


def measure_wrk() -> Latency | None:
    """Measure with four connections, which is what wrk can."""
    profile = Profile.model_validate({"connections": 4, "threads": 1, "duration": SECONDS})
    with stalling() as port:
        tape = HttpRequest("127.0.0.1", port, "/").tape
        order = build_order(profile, tape, duration_s=SECONDS, parts={}, limit_s=30.0).order
        return parse_report(_take(agent.wrk(order), WrkAnswer), "the server").latency


def main() -> None:
    """Print the table."""
    os.environ["PATH"] += f":{Path(sys.executable).parent}"
    true = compute_true_ms()
    print("| | p50 | p90 | p99 |\n|---|---:|---:|---:|")
    print("| true | " + " | ".join(f"{value:.0f} ms" for value in true) + " |")
    for name, run in (("k6, as the tool uses it", measure_k6), ("wrk, 4 connections", measure_wrk)):
        found = [latency for latency in (run() for _ in range(ROUNDS)) if latency is not None]
        values = [median(getattr(each, f"p{round(100 * share)}_us") / 1000 for each in found) for share in _SHARES]
        off = [f" ({value / real - 1:+.1%})" if real else "" for value, real in zip(values, true, strict=True)]
        print(
            f"| {name} | " + " | ".join(f"{value:.1f} ms{text}" for value, text in zip(values, off, strict=True)) + " |"
        )


if __name__ == "__main__":
    main()
