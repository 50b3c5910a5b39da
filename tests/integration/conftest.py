"""A real PostgreSQL and a real Redis on loopback, and every variant of the applications as a process.

Each has a free port. All of it ends with the session, or with the test that requested it.
"""

import atexit
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from redis import Redis

from bench_action.engine.local.ports import Ports

_PORTS = Ports()
atexit.register(_PORTS.release)
APPS = Path(__file__).resolve().parents[2] / "apps"
TEMPLATE = "seeded"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Variant:
    """A way to serve one of the applications."""

    name: str
    folder: str
    command: tuple[str, ...]
    profile: str

    @property
    def tuned(self) -> bool:
        return self.profile == "tuned"


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("django", "django", ("-m", "gunicorn"), "published"),
        Variant("django-tuned", "django", ("-m", "gunicorn"), "tuned"),
        Variant("aiohttp", "aiohttp", ("-m", "todo_aiohttp"), "published"),
        Variant("aiohttp-tuned", "aiohttp", ("-m", "todo_aiohttp"), "tuned"),
    )
}


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    def json(self) -> Any:
        assert self.headers.get_content_type() == "application/json"
        return json.loads(self.text)


@dataclass(frozen=True)
class Postgres:
    """A server that we may do everything with."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside any transaction, and return its rows."""
        with closing(psycopg2.connect(self.url(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True)
class Services:
    """What an application depends on."""

    postgres: Postgres
    redis_port: int
    databases: Iterator[int] = field(default_factory=lambda: iter(range(1, 64)))

    def redis(self, database: int) -> "Redis":
        return Redis(port=self.redis_port, db=database, decode_responses=True)


@dataclass(frozen=True)
class Application:
    """A running variant, with a separate database and Redis number."""

    variant: Variant
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    postgres: Postgres
    database: str
    redis: "Redis"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def request(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send one request on a separate connection."""
        with closing(self.connect()) as connection:
            connection.request(method, path, body)
            return self.read(connection)

    @staticmethod
    def read(connection: http.client.HTTPConnection) -> Reply:
        """Read the answer to the request that was sent last."""
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read().decode())

    def get(self, path: str = "/") -> Reply:
        return self.request("GET", path)

    def post(self, data: object) -> Reply:
        """Send JSON to `/items`; bytes are sent as they are."""
        return self.request("POST", "/items", data if isinstance(data, bytes) else json.dumps(data).encode())

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return self.postgres.execute(statement, database=self.database)

    def items(self) -> list[tuple[Any, ...]]:
        return self.sql("SELECT id, text, date_posted FROM item ORDER BY id")

    def counter(self) -> int:
        return int(self.redis.get("counter") or 0)

    def listens(self) -> bool:
        return _listens(self.port)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once the condition holds; fail when it does not hold in time."""
        _wait_until(condition, f"{self.variant.name}: {what}", STOP_TIMEOUT_S)

    def reset(self) -> None:
        """Go back to the seed."""
        self.sql("DELETE FROM item WHERE id > 20")
        self.redis.delete("counter")


StartApplication = Callable[[str], Application]


def _wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s without success for: {what}")
        time.sleep(0.02)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    """A port that no other test gets, not even one that lets the system choose: a probe would ask a stranger."""
    return _PORTS.reserve()


def _program(name: str) -> str:
    """Find a program; Debian keeps PostgreSQL's server out of the path."""
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name) or (str(candidates[0]) if candidates else None)
    if found is None:
        pytest.fail(f"{name} is needed, and is not installed (Debian: postgresql, redis-server)")
    return found


@contextmanager
def _running(
    arguments: list[str], log: Path, stop: signal.Signals, **options: Any
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process in a separate session, and leave none of that session behind."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_start(process: "subprocess.Popen[bytes]", ready: Callable[[], bool], log: Path) -> None:
    def ready_or_dead() -> bool:
        return process.poll() is not None or ready()

    _wait_until(ready_or_dead, f"{process.args!r} to start", START_TIMEOUT_S)
    if process.poll() is not None:
        pytest.fail(f"{process.args!r} ended with status {process.returncode}:\n{log.read_text()[-2000:]}")


@contextmanager
def _postgres() -> Iterator[Postgres]:
    # pytest's own folders are closed to the account that PostgreSQL must run as when we are root.
    account: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="apps-postgres-") as folder:
        if account:
            shutil.chown(folder, account["user"], account["group"])
        data = f"{folder}/data"
        initdb = [_program("initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, capture_output=True, cwd=folder, **account)
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "max_connections": 200,
            # Not UTC: an application that had to set the zone itself would be seen sending a query.
            "timezone": "Europe/Vienna",
            "shared_preload_libraries": "pg_stat_statements",
        }
        command = [_program("postgres"), "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
        server = Postgres(port)
        log = Path(folder, "log")
        with _running(command, log, signal.SIGINT, cwd=folder, **account) as process:

            def ready() -> bool:
                try:
                    return server.execute("SELECT 1") == [(1,)]
                except psycopg2.OperationalError:
                    return False

            _await_start(process, ready, log)
            server.execute(f"CREATE DATABASE {TEMPLATE}")
            server.execute("CREATE EXTENSION pg_stat_statements")
            server.execute((APPS / "seed.sql").read_text(), database=TEMPLATE)
            yield server


@contextmanager
def _redis() -> Iterator[int]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="apps-redis-") as folder:
        options = f"--bind 127.0.0.1 --port {port} --dir {folder} --appendonly no --databases 64 --save".split()
        log = Path(folder, "log")
        with _running([_program("redis-server"), *options, ""], log, signal.SIGTERM) as process:
            _await_start(process, lambda: _listens(port), log)
            yield port


@contextmanager
def _application(variant: Variant, services: Services, logs: Path) -> Iterator[Application]:
    number = next(services.databases)
    database = f"todo_{number}"
    services.postgres.execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
    port = _free_port()
    log = logs / f"{variant.name}-{number}.log"
    environment = {
        **os.environ,
        "DATABASE_URL": services.postgres.url(database),
        "REDIS_URL": f"redis://127.0.0.1:{services.redis_port}/{number}",
        "PORT": str(port),
        "TODO_PROFILE": variant.profile,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, *variant.command]
    with (
        services.redis(number) as redis,
        _running(command, log, signal.SIGTERM, cwd=APPS / variant.folder, env=environment) as process,
    ):
        running = Application(variant, port, process, log, services.postgres, database, redis)
        _await_start(process, lambda: _healthy(running), log)
        yield running


def _healthy(application: Application) -> bool:
    try:
        return application.get("/health").status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """PostgreSQL with the seed in a template database, and Redis."""
    with _postgres() as postgres, _redis() as redis_port:
        yield Services(postgres, redis_port)


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the applications' standard output and error go."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def all_running(services: Services, logs: Path) -> Iterator[dict[str, Application]]:
    """Every variant, running."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(_application(variant, services, logs)) for name, variant in VARIANTS.items()}


@pytest.fixture
def every_app(all_running: dict[str, Application]) -> list[Application]:
    """Every variant, with the seed's rows and no counter."""
    for application in all_running.values():
        application.reset()
    return list(all_running.values())


@pytest.fixture(params=list(VARIANTS))
def app(request: pytest.FixtureRequest, all_running: dict[str, Application]) -> Application:
    """Each variant in turn, with the seed's rows and no counter."""
    application = all_running[request.param]
    application.reset()
    return application


@pytest.fixture
def start_application(services: Services, logs: Path) -> Iterator[StartApplication]:
    """Start a variant for one test alone, which may end it."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(_application(VARIANTS[name], services, logs))
