"""Seeds of every kind, with this machine's real PostgreSQL, its pg_dump, and Redis."""

import gzip
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.integration.local.test_local_engine import PASSWORD, WAIT_S, make_engine
from tests.packing import PACK
from tests.probes import make_probe

from bench_action.config.load import load_project
from bench_action.config.seed_files import open_seed
from bench_action.engine.local import LocalEngine
from bench_action.engine.protocol import Handle, ServiceSpec
from bench_action.model.errors import InputError, StackError
from bench_action.stack.postgres import Postgres
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.redis import Redis
from bench_action.stack.seeding import seeder as seeder_module
from bench_action.stack.seeding.check import count_rows, list_losses
from bench_action.stack.seeding.psql import SeedDatabase
from bench_action.stack.seeding.redis import RedisSeed
from bench_action.stack.seeding.seeder import Monitor, Seeder, Target, create_extensions
from bench_action.stack.server import Login

pytestmark = pytest.mark.integration

USER = "postgres"

CONFIG = """\
services: {{postgres: {{image: "postgres:17"}}, redis: {{image: "redis:8"}}}}
seed: {seed}
variants: {{app: {{image: x}}}}
"""
SHOP = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE item (id integer PRIMARY KEY, text text NOT NULL);
INSERT INTO item SELECT n, 'ALTER TABLE item OWNER TO nobody; \\ ' || n FROM generate_series(1, 1000) n;
CREATE TABLE "odd name" (a text);
INSERT INTO "odd name" VALUES (E'\\\\restrict me\\nGRANT ALL ON item TO reader;');
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
CREATE VIEW v AS SELECT count(*) FROM item;
GRANT SELECT ON item TO reader;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
COMMENT ON EXTENSION pg_trgm IS 'mine';
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    engine = make_engine("seeding")
    engine.open([])
    yield engine
    engine.remove()


@pytest.fixture(scope="module")
def server(engine: LocalEngine) -> Postgres:
    handle = engine.start(ServiceSpec("postgres", "postgres", "postgres:17", env=PASSWORD))
    postgres = Postgres(engine, handle, Login(USER, PASSWORD["POSTGRES_PASSWORD"], "seeded"))
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(postgres.probe))])
    postgres.open()
    return postgres


@pytest.fixture(scope="module")
def redis_handle(engine: LocalEngine) -> Handle:
    handle = engine.start(ServiceSpec("redis", "redis", "redis:8"))
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(Redis(engine, handle).probe))])
    return handle


@pytest.fixture
def database(server: Postgres) -> Postgres:
    """An empty database, in a cluster without the roles of dumps."""
    server.renew()
    return server


@pytest.fixture(scope="module")
def dump(server: Postgres) -> Iterator[Callable[..., Path]]:
    """Dump the shop, whose owner and reader do not exist any more."""
    server.execute_as(USER, "postgres", "CREATE ROLE shop SUPERUSER LOGIN PASSWORD 'x'; CREATE ROLE reader")
    server.execute_as(USER, "postgres", "CREATE DATABASE source OWNER shop")
    server.execute_as(USER, "source", f"SET SESSION AUTHORIZATION shop; {SHOP}")
    port = server.handle.port

    def dump(path: Path, *options: str) -> Path:
        command = ["pg_dump", f"--dbname=postgresql://shop:x@127.0.0.1:{port}/source", f"--file={path}", *options]
        subprocess.run(command, check=True)
        return path

    yield dump
    server.drop_template("source")
    server.execute_as(USER, "postgres", "DROP ROLE IF EXISTS shop; DROP ROLE IF EXISTS reader")


Seed = Callable[[str], list[str]]


@pytest.fixture
def seed(engine: LocalEngine, database: Postgres, redis_handle: Handle, tmp_path: Path) -> Seed:
    """Apply what a configuration says; return the lines that the user sees."""

    def seed(configuration: str) -> list[str]:
        (tmp_path / "bench.yml").write_text(CONFIG.format(seed=configuration), encoding="utf-8")
        said: list[str] = []

        def run(command: Sequence[str]) -> None:
            said.append(" ".join(command))

        project = load_project(tmp_path / "bench.yml", "quick")
        targets: dict[str, Target] = {"postgres": SeedDatabase(database), "redis": RedisSeed(engine, redis_handle)}
        Seeder(engine, project, targets, run, said.append).seed("setup")
        return said

    return seed


def describe(server: Postgres, database: str) -> list[str]:
    """Describe what is in a database; its owner is another one, and an extension's index may be."""
    lines = server.describe_template(database)
    return [line for line in lines if "trgm" not in line and not line.startswith(("database of ", "privileges of "))]


def test_describe_template__reads_any_name_and_any_text(database: Postgres) -> None:
    """A line of a function's body is not a table, and a name may contain a quote."""
    body = "BEGIN\ntable item;\npsql:<stdin>:1: ERROR: none\nEND"
    database.execute_as(
        USER,
        "seeded",
        f'CREATE TABLE "it\'s ""one""" AS SELECT 1 AS n; SET check_function_bodies = off;'
        f"CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS $${body}$$",
    )
    lines = database.describe_template("seeded")
    assert any(line.startswith("function ") and body in line for line in lines)
    assert lines[-1] == 'public."it\'s ""one""": 1'


FORMS = ["plain", "plain gz", "inserts zst", "create", "custom", "custom zst", "tar", "directory"]


@pytest.mark.parametrize("form", FORMS)
def test_seed__takes_every_form_of_pg_dump(
    seed: Seed, dump: Callable[..., Path], database: Postgres, tmp_path: Path, form: str
) -> None:
    form, _, packed = form.partition(" ")
    options = {"inserts": ["--inserts"], "create": ["--create", "--clean", "--if-exists"]}
    path = dump(tmp_path / "shop.dump", *options.get(form, [f"--format={form}"]))
    if packed:
        content = PACK[packed](path.read_bytes())
        path = tmp_path / "seed"  # a name says nothing
        path.write_bytes(content)
    database.execute("ALTER ROLE shop RENAME TO was_shop; ALTER ROLE reader RENAME TO was_reader")
    try:
        said = seed(path.name)
    finally:
        database.execute("ALTER ROLE was_shop RENAME TO shop; ALTER ROLE was_reader RENAME TO reader")
    assert describe(database, "seeded") == describe(database, "source")
    assert database.execute_as(USER, "seeded", "SELECT md5(string_agg(text, ',' ORDER BY id)) FROM item") == (
        database.execute_as(USER, "source", "SELECT md5(string_agg(text, ',' ORDER BY id)) FROM item")
    )
    if form in {"custom", "tar", "directory"}:
        assert said == []
    else:
        (line,) = said
        assert line.startswith(f"{path.name}: skipped ")
        assert "the owner shop" in line
        assert "reader" in line


@pytest.mark.parametrize("form", ["custom", "tar", "directory"])
def test_seed__leaves_the_same_out_of_an_archive_as_of_a_plain_dump(
    seed: Seed, server: Postgres, database: Postgres, tmp_path: Path, form: str
) -> None:
    server.execute_as(USER, "postgres", "CREATE ROLE member; CREATE DATABASE secured")
    try:
        server.execute_as(
            USER,
            "secured",
            "CREATE TABLE note (id int PRIMARY KEY); INSERT INTO note VALUES (1), (2);"
            "ALTER TABLE note ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY theirs ON note TO member USING (true); CREATE POLICY everybodys ON note USING (id = 1);"
            "SELECT lo_from_bytea(77, 'large')",
        )
        port = server.handle.port
        target = f"--dbname=postgresql://{USER}:{PASSWORD['POSTGRES_PASSWORD']}@127.0.0.1:{port}/secured"
        dump = ["pg_dump", target, f"--file={tmp_path / 'a.dump'}", "--schema=public", "--blobs", f"--format={form}"]
        subprocess.run(dump, check=True)
    finally:
        server.drop_template("secured")
        server.execute_as(USER, "postgres", "DROP ROLE member")
    (line,) = seed("a.dump")
    assert line == (
        "a.dump: skipped 1 statement about the role member, which this server does not have; "
        "1 statement that would create what exists"
    )
    rows = "SELECT count(*) FROM note; SELECT polname FROM pg_policy; SELECT convert_from(lo_get(77), 'UTF8')"
    assert database.execute_as(USER, "seeded", rows) == ["2", "everybodys", "large"]


def test_seed__an_error_in_an_archive_names_the_statement(
    seed: Seed, server: Postgres, database: Postgres, dump: Callable[..., Path], tmp_path: Path
) -> None:
    dump(tmp_path / "a.dump", "--format=custom")
    database.execute_as(USER, "seeded", "CREATE TABLE item (id int)")
    with pytest.raises(InputError, match='relation "item" already exists') as caught:
        seed("a.dump")
    assert "seed: a.dump, `pg_restore --section=pre-data --file=-`, line " in caught.value.where
    assert "(CREATE TABLE)" in caught.value.where


def test_seed__steps_run_in_their_order(seed: Seed, database: Postgres, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("CREATE TABLE a (n int);", encoding="utf-8")
    (tmp_path / "b.sql").write_bytes("INSERT INTO a VALUES (1) -- ü".encode("utf-16"))
    assert seed(
        "[a.sql, {run: [manage.py, loaddata]}, b.sql, {file: none.sql, after: ready}]".replace("none", "a")
    ) == ["manage.py loaddata"]
    assert database.execute_as(USER, "seeded", "SELECT n FROM a") == ["1"]


def test_seed__an_error_names_file_line_and_kind_and_quotes_nothing(seed: Seed, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("CREATE TABLE a (n int);\n\nINSERT INTO\n a VALUES ('secret');\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        seed("a.sql")
    assert "seed: a.sql, line 4, in statement 2 (INSERT INTO), which begins on line 3" in str(caught.value)
    assert "nothing was measured" in str(caught.value)
    assert "secret" not in str(caught.value)
    (tmp_path / "a.sql").write_text(
        "CREATE TABLE b (n int);\nCOPY b FROM stdin;\n1\nx\n\\.\nSELECT 1;\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="invalid input syntax for type integer") as caught:
        seed("a.sql")
    assert "in statement 2 (COPY), which begins on line 2" in caught.value.where


def test_seed__an_early_error_ends_a_large_script(seed: Seed, tmp_path: Path) -> None:
    line = "INSERT INTO nowhere VALUES (1);\n"
    (tmp_path / "a.sql").write_text(line * 200_000, encoding="utf-8")
    with pytest.raises(InputError, match="does not exist") as caught:
        seed("a.sql")
    assert "line 1, in statement 1 (INSERT INTO), which begins on line 1" in caught.value.where


def test_seed__a_large_script_may_end_in_data(seed: Seed, database: Postgres, tmp_path: Path) -> None:
    rows = "".join(f"{n}\t{'x' * 60}\n" for n in range(50_000))
    script = f"CREATE TABLE a (n int, t text);\nSELECT generate_series(1, 9);\nCOPY a FROM stdin;\n{rows}"
    (tmp_path / "a.sql").write_text(script, encoding="utf-8")
    assert seed("a.sql") == []
    assert database.execute_as(USER, "seeded", "SELECT count(*) FROM a") == ["50000"]
    (tmp_path / "a.sql").write_text("SELECT 1;\n\\! touch /tmp/never", encoding="utf-8")
    with pytest.raises(InputError, match="backslash command"):
        seed("a.sql")


def test_seed__a_newer_archive_is_explained(seed: Seed, dump: Callable[..., Path], tmp_path: Path) -> None:
    content = bytearray(dump(tmp_path / "a.dump", "--format=custom").read_bytes())
    content[6] = 99  # the minor version of the format
    (tmp_path / "a.dump").write_bytes(content)
    with pytest.raises(InputError, match="unsupported version") as caught:
        seed("a.dump")
    assert "use an image of that version or later" in caught.value.advice


def test_seed__a_damaged_file_is_explained(seed: Seed, tmp_path: Path) -> None:
    lines = "".join(f"SELECT '{number * 7919 % 1_000_003}';\n" for number in range(50_000))
    packed = gzip.compress(lines.encode())
    (tmp_path / "a.sql").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="the seed failed: it cannot be unpacked") as caught:
        seed("a.sql")
    assert caught.value.where == "seed: a.sql"
    (tmp_path / "a.sql").write_bytes(b"SELECT '\xff';")
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        seed("a.sql")


def test_monitor__a_working_statement_is_waited_for_and_a_hang_is_not(
    seed: Seed, database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeder_module, "_REPORT_S", 0.2)
    monkeypatch.setattr(seeder_module, "_PROBE_S", 0.2)
    monkeypatch.setattr(seeder_module, "_HANG_S", 0.5)
    (tmp_path / "a.sql").write_text("CREATE TABLE a (n int); SELECT pg_sleep(1.5);", encoding="utf-8")
    said = seed("a.sql")
    assert said[0].startswith("seeding a.sql: 100 % (0 kB), ")
    (tmp_path / "a.sql").write_text("BEGIN; LOCK TABLE a; COMMIT;", encoding="utf-8")
    database.execute("BEGIN; LOCK TABLE a")
    with pytest.raises(StackError, match="the seed hangs") as caught:
        seed("a.sql")
    assert "lock" in caught.value.cause


def test_monitor__a_program_that_has_not_connected_yet_is_waited_for(
    database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeder_module, "_PROBE_S", 0.0)
    monkeypatch.setattr(seeder_module, "_HANG_S", 0.0)
    monitor = Monitor("a.sql", print, SeedDatabase(database))
    for _ in range(3):
        monitor.wait()


def test_create_extensions__and_what_to_do_about_one_that_is_not_there(database: Postgres) -> None:
    create_extensions(database, ["hstore", "earthdistance"])
    rows = database.execute_as(USER, "seeded", "SELECT extname FROM pg_extension ORDER BY 1")
    assert {"cube", "earthdistance", "hstore"} <= set(rows)
    with pytest.raises(InputError, match="could not create the extension nowhere") as caught:
        create_extensions(database, ["nowhere"])
    assert "image" in caught.value.advice


def test_count_rows__notices_what_a_start_took_away(database: Postgres) -> None:
    database.execute_as(
        USER,
        "seeded",
        "CREATE TABLE a AS SELECT generate_series(1, 100); CREATE TABLE b AS SELECT generate_series(1, 100)",
        'CREATE SCHEMA s; CREATE TABLE s."C d" AS SELECT generate_series(1, 3); CREATE TABLE empty (n int)',
        "CREATE TABLE big AS SELECT generate_series(1, 150000); CREATE TABLE parts (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE part PARTITION OF parts DEFAULT; INSERT INTO parts SELECT generate_series(1, 7)",
    )
    seeded = count_rows(database)
    assert seeded == {
        "public.a": 100, "public.b": 100, 's."C d"': 3, "public.empty": 0, "public.big": 100_000, "public.parts": 7
    }  # fmt: skip
    assert list_losses(seeded, seeded) == []
    database.execute_as(
        USER, "seeded", 'TRUNCATE a; DELETE FROM b WHERE generate_series > 95; DROP TABLE s."C d"; DELETE FROM big'
    )
    losses = list_losses(seeded, count_rows(database))
    assert [str(loss) for loss in losses] == [
        "a was emptied (100 rows were seeded, 0 are left)",
        "big was emptied (100000 rows were seeded, 0 are left)",
        's."C d" (3 rows) was dropped',
    ]


def cli(handle: Handle, *words: str) -> str:
    command = ["redis-cli", "-p", str(handle.port), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_redis__is_filled_from_commands(seed: Seed, redis_handle: Handle, tmp_path: Path) -> None:
    commands = "# comment\nSET a \"one\\n\\xff\"\n\nSELECT 3\nHSET h 'x y' 2\nSADD s 1 2 3\n"
    (tmp_path / "cache.redis").write_text(commands, encoding="utf-8")
    cli(redis_handle, "flushall")
    seed("cache.redis")
    assert cli(redis_handle, "--no-raw", "get", "a") == '"one\\n\\xff"'
    assert cli(redis_handle, "-n", "3", "hget", "h", "x y") == "2"
    (tmp_path / "more.redis").write_text("RPUSH list 1\nSELECT 5\n", encoding="utf-8")
    seed("[more.redis, cache.redis, more.redis]")
    assert cli(redis_handle, "lrange", "list", "0", "-1") == "1\n1"
    (tmp_path / "cache.redis").write_text("SET a\n", encoding="utf-8")
    with pytest.raises(InputError, match="Redis refused commands") as caught:
        seed("cache.redis")
    assert "wrong number of arguments" in str(caught.value)
    (tmp_path / "cache.redis").write_text('GET a\nSET a "b\n', encoding="utf-8")
    with pytest.raises(InputError, match="a quote is never closed") as caught:
        seed("cache.redis")
    assert caught.value.where == "seed: cache.redis, line 2"


def test_redis__is_filled_from_an_rdb_file_again_and_again(
    engine: LocalEngine, seed: Seed, redis_handle: Handle, tmp_path: Path
) -> None:
    cli(redis_handle, "flushall")
    for words in ("set a 1", "set short 2 ex 1000", "zadd z 1 x", "xadd stream 1-1 k v", "-n 9 rpush list 1 2"):
        cli(redis_handle, *words.split())
    cli(redis_handle, "eval", "for i = 1, 3000 do redis.call('set', 'key:' .. i, ('v'):rep(50)) end", "0")
    cli(redis_handle, "--rdb", str(tmp_path / "cache"))
    cli(redis_handle, "flushall")
    target = RedisSeed(engine, redis_handle)
    with open_seed(tmp_path / "cache") as file:
        monitor = Monitor("cache", print, target, file)
        target.add("RDB file", file, monitor)
    target.apply(monitor)
    cli(redis_handle, "flushall")
    target.apply(monitor)
    assert cli(redis_handle, "dbsize") == "3004"
    assert cli(redis_handle, "get", "a") == "1"
    assert 900 < int(cli(redis_handle, "ttl", "short")) <= 1000
    assert cli(redis_handle, "ttl", "a") == "-1"
    assert cli(redis_handle, "xlen", "stream") == "1"
    assert cli(redis_handle, "-n", "9", "lrange", "list", "0", "-1") == "1\n2"
    (tmp_path / "cache").write_bytes(b"REDIS9999" + (tmp_path / "cache").read_bytes()[9:])
    with pytest.raises(InputError, match="the RDB file could not be loaded") as caught:
        seed("cache")
    assert "or later" in caught.value.advice
