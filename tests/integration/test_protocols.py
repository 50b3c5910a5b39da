"""The examples for HTTPS, WebSockets and gRPC: a real server, wrk, and k6 with the example's own script."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.test_k6 import run
from tests.integration.test_replies import as_sent

from bench_action.config.load import load_project
from bench_action.engine.protocol import Handle
from bench_action.load import agent
from bench_action.load.k6 import Turn
from bench_action.load.messages import WrkAnswer, require_shape
from bench_action.load.tape import build_tape
from bench_action.load.wrk import build_order, parse_report
from bench_action.stack.certificate import make_certificate

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
_START_S = 60.0


@pytest.fixture(autouse=True)
def k6_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the k6 of the environment that the tests run in."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")


@contextmanager
def serving(command: Sequence[str | Path], folder: Path | None = None) -> Iterator[int]:
    """Start a server with this Python, and wait until its port accepts connections. `{port}` is that port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    words = [str(word).replace("{port}", str(port)) for word in command]
    environ = {**os.environ, "PORT": str(port)}
    with subprocess.Popen([sys.executable, *words], cwd=folder, env=environ) as process:
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
    with serving([EXAMPLES / folder / "app" / program]) as port:
        counted = run(port, project.profiles[profile], Turn(None, 20, iterations=5))
        report = run(port, project.profiles[profile], Turn(20.0, 2, warmup_s=1))
    assert (counted.at_rate.iterations, counted.at_rate.checks_failed) == (5, 0)
    assert (report.at_rate.timed, report.at_rate.checks_failed, report.at_rate.exceptions) == (timed, 0, 0)
    assert 35 <= report.requests <= 41
    assert report.at_rate.checks >= report.requests
    assert report.bytes_read > 0
    assert report.latency is not None
    assert 0 < report.latency.p50_us < 1_000_000


def test_example__over_https_is_loaded_by_wrk_and_by_k6_over_http2(tmp_path: Path) -> None:
    project = load_project(EXAMPLES / "https" / "bench.yml", "ci")
    profile = project.profiles["greeting"]
    for name, text in make_certificate(["greeter"]).files.items():
        (tmp_path / name).write_text(text)
    local = project.config.variants["greeter"].local
    assert local is not None
    names = {"{tls.cert}": "cert.pem", "{tls.key}": "key.pem"}
    words = [str(tmp_path / names[word]) if word in names else word for word in local.command[1:]]
    with serving(words, EXAMPLES / "https" / "app") as port:
        handle = Handle("", "greeter", "subject", "localhost", port, "127.0.0.1", tls=True)
        tape = build_tape(handle, profile, str, 1)
        order = build_order(profile, tape, duration_s=1, parts={}, limit_s=30.0).order
        by_wrk = parse_report(require_shape(as_sent(agent.wrk(order)), WrkAnswer), "greeter")
        by_k6 = run(port, profile, Turn(50.0, 1), tape, tls=True)
    assert by_wrk.requests > 50
    assert (by_wrk.errors.total, by_wrk.connections_live) == (0, profile.connections)
    assert by_k6.requests >= 48
    assert (by_k6.failed, by_k6.at_rate.over_http2) == (0, by_k6.requests)
