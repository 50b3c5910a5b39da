"""The examples for WebSockets and gRPC: a real server, and k6 with the example's own script."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.test_k6 import run

from bench_action.config.load import load_project
from bench_action.load.k6 import Turn

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
_START_S = 60.0


@pytest.fixture(autouse=True)
def k6_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the k6 of the environment that the tests run in."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")


@contextmanager
def serving(program: Path) -> Iterator[int]:
    """Start a server, and wait until its port accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with subprocess.Popen([sys.executable, program], env={**os.environ, "PORT": str(port)}) as process:
        try:
            deadline = time.monotonic() + _START_S
            while True:
                assert process.poll() is None
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("folder", "program", "profile", "timed"),
    [
        ("websocket", "app.py", "talk", "iteration_duration"),
        ("grpc", "server.py", "greet", "grpc_req_duration"),
    ],
)
def test_example__is_loaded_at_its_rate_over_its_protocol(folder: str, program: str, profile: str, timed: str) -> None:
    project = load_project(EXAMPLES / folder / "bench.yml", "ci")
    with serving(EXAMPLES / folder / "app" / program) as port:
        counted = run(port, project.profiles[profile], Turn(None, 20, iterations=5))
        report = run(port, project.profiles[profile], Turn(20.0, 2, warmup_s=1))
    assert (counted.at_rate.iterations, counted.at_rate.checks_failed) == (5, 0)
    assert (report.at_rate.timed, report.at_rate.checks_failed, report.at_rate.exceptions) == (timed, 0, 0)
    assert 35 <= report.requests <= 41
    assert report.at_rate.checks >= report.requests
    assert report.bytes_read > 0
    assert report.latency is not None
    assert 0 < report.latency.p50_us < 1_000_000
