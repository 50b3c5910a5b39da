"""The local engine with this machine's real PostgreSQL, Redis and wrk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench_action.engine.local import LocalEngine
from bench_action.engine.local.folder import sweep_folders
from bench_action.engine.local.ports import Ports
from bench_action.engine.local.processes import MARK, marked
from bench_action.engine.local.servers import Servers
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec, LocalForm, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.model.errors import StackError
from bench_action.stack.postgres import Postgres, QueryError
from bench_action.stack.readiness import Awaited, wait_until_ready
from bench_action.stack.redis import Redis

pytestmark = pytest.mark.integration

WAIT_S = 60.0
PASSWORD = {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": "secret"}
SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = repr(sorted(os.environ)).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def make_engine(name: str) -> LocalEngine:
    owner = Ownership.of_this_process(f"test-{name}-{os.getpid()}", "tests/local")
    return LocalEngine(owner, {**os.environ, "SECRET_OF_OURS": "1"})


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[LocalEngine]:
    engine = make_engine(request.node.name[:20].replace("[", "-"))
    engine.open()
    yield engine
    engine.remove()
    assert not engine.folder.exists()
    assert marked(engine.run_id) == []


def subject(engine: LocalEngine, folder: Path, code: str = SERVER, name: str = "app") -> ServiceSpec:
    folder.mkdir(exist_ok=True)
    (folder / "server.py").write_text(code, encoding="utf-8")
    local = LocalForm(["python", "server.py", "{port}"], folder)
    image = engine.build(BuildSpec("subject", name, folder, local=local))
    return ServiceSpec("subject", name, image, env={"GIVEN": "1"}, local=local)


def get(agent: Agent, port: int) -> str:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        status, problem = agent.get("127.0.0.1", port, "/", timeout_s=5)
        if status == 200:
            return ""
        time.sleep(0.05)
    return problem


def test_postgres__has_its_settings_and_counts_queries(engine: LocalEngine) -> None:
    spec = ServiceSpec("postgres", "postgres", "postgres:17", settings={"max_connections": "500"}, env=PASSWORD)
    handle = engine.start(spec)
    postgres = Postgres(engine, handle, PASSWORD["POSTGRES_PASSWORD"])
    wait_until_ready(engine, [Awaited(handle, WAIT_S, postgres.probe)])
    postgres.open()
    assert postgres.execute("SHOW max_connections") == ["500"]
    postgres.create_role("me")
    postgres.create_database("mine", "me")
    postgres.execute_as("me", "mine", "SELECT 1")
    calls = {text: calls for _, text, calls, _ in postgres.statements("mine", "me")}
    assert calls["SELECT $1"] == 1
    with pytest.raises(QueryError, match="nowhere"):
        postgres.execute("SELECT * FROM nowhere")


@pytest.mark.parametrize("client", ["the machine's", "ours"])
def test_redis__answers_the_machines_client_and_ours(
    engine: LocalEngine, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if client == "ours":  # as where the embedded server is all there is
        has = engine.servers.has
        monkeypatch.setattr(engine.servers, "has", lambda name: name != "redis-cli" and has(name))
    handle = engine.start(ServiceSpec("redis", "redis", "redis:8", settings={"databases": "16"}))
    redis = Redis(engine, handle)
    wait_until_ready(engine, [Awaited(handle, WAIT_S, redis.probe)])
    redis.open()
    assert redis.integer(0, "counter") == 0
    assert engine.exec(handle, ["redis-cli", "-p", str(handle.port), "incr", "counter"])[0] == 0
    assert redis.integer(0, "counter") == 1
    assert redis.command_calls()["incr"] == 1
    redis.flush(0)
    assert redis.integer(0, "counter") == 0


def test_subject__runs_in_its_folder_with_its_own_environment_only(engine: LocalEngine, tmp_path: Path) -> None:
    spec = subject(engine, tmp_path / "app")
    handle = engine.start(spec)
    agent = Agent(engine, engine.start(ServiceSpec("load", "load", "")))
    assert get(agent, handle.port) == ""
    process = psutil.Process(int(Path(handle.id.removeprefix("pidfile:")).read_text(encoding="ascii")))
    environment = process.environ()
    assert {"GIVEN", "PORT", MARK} <= set(environment)
    assert "SECRET_OF_OURS" not in environment


def test_usage__is_that_of_the_whole_process_tree(engine: LocalEngine, tmp_path: Path) -> None:
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = 1\\nwhile x: x += 1'])\n"
    handle = engine.start(subject(engine, tmp_path / "app", code))
    agent = Agent(engine, engine.start(ServiceSpec("load", "load", "")))
    deadline = time.monotonic() + WAIT_S
    usage = None
    while (usage is None or usage.cpu_ms < 200) and time.monotonic() < deadline:
        usage = agent.usage({"application": handle.id})["application"]
    assert usage is not None
    assert usage.cpu_ms >= 200, "its child, which does all the work, is not counted"
    assert usage.memory_mib > 5


def test_stop_and_restart__keep_the_port(engine: LocalEngine, tmp_path: Path) -> None:
    handle = engine.start(subject(engine, tmp_path / "app"))
    agent = Agent(engine, engine.start(ServiceSpec("load", "load", "")))
    assert get(agent, handle.port) == ""
    engine.stop(handle)
    assert agent.get(handle.host, handle.port, "/", timeout_s=5)[0] == 0
    assert engine.ended() == [], "what was stopped has not died"
    engine.restart(handle)
    assert get(agent, handle.port) == ""


def test_ended__tells_how_a_process_died(engine: LocalEngine, tmp_path: Path) -> None:
    handle = engine.start(subject(engine, tmp_path / "app", "print('last words', flush=True)\nraise SystemExit(3)\n"))
    deadline = time.monotonic() + WAIT_S
    while not engine.ended() and time.monotonic() < deadline:
        time.sleep(0.05)
    (end,) = engine.ended()
    assert (end.handle, end.exit_code) == (handle, 3)
    assert engine.logs(handle) == ["last words"]


def test_run_once__fails_with_the_log_of_the_command(engine: LocalEngine, tmp_path: Path) -> None:
    spec = subject(engine, tmp_path / "app", "print('no table')\nraise SystemExit(4)\n", name="app-setup")
    with pytest.raises(StackError) as caught:
        engine.run_once(spec, WAIT_S)
    assert "ended with status 4" in str(caught.value)
    assert caught.value.log == ("no table",)


def test_build__says_what_a_variant_without_a_local_form_lacks(engine: LocalEngine, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot be run without Docker"):
        engine.build(BuildSpec("subject", "app", tmp_path))
    with pytest.raises(StackError, match="cannot run the image"):
        engine.image("nginx", "other")


def test_servers__name_the_package_of_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="there is no wrk") as caught:
        Servers(str(tmp_path))["wrk"]
    assert "apt-get install wrk" in str(caught.value)


def test_ports__of_two_runs_differ_and_are_free_again_after_release() -> None:
    first, second = Ports(), Ports()
    taken = [one.reserve() for one in (first, second, first, second)]
    assert len(set(taken)) == 4
    first.release()
    second.release()


def test_sweep__ends_what_a_killed_run_has_left_and_nothing_else(engine: LocalEngine, tmp_path: Path) -> None:
    alive = engine.start(subject(engine, tmp_path / "app"))
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, sys, time\nfrom pathlib import Path\n"
        "from tests.integration.local.test_local_engine import make_engine, subject\n"
        "engine = make_engine('killed')\nengine.open()\n"
        "handle = engine.start(subject(engine, Path(sys.argv[1]) / 'killed'))\n"
        "print(engine.run_id, flush=True)\ntime.sleep(600)\n",
        encoding="utf-8",
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)},
    ) as killed:  # fmt: skip
        assert killed.stdout is not None
        run_id = killed.stdout.readline().strip()
        assert run_id, "the run did not begin"
        killed.send_signal(signal.SIGKILL)
    assert marked(run_id), "it should have left something"
    assert any(run_id in name for name in sweep_folders())
    assert marked(run_id) == []
    assert engine.ended() == [], f"{alive.name} belongs to a living run"
