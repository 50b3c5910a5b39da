"""A real stack: PostgreSQL and Redis through their clients, and how subjects are kept apart."""

import base64
from pathlib import Path

import pytest
from tests.docker.footprint import Footprint

from bench_action.config.schema import Request
from bench_action.config.seed_files import open_seed
from bench_action.load.generator import HttpRequest
from bench_action.model.errors import InputError
from bench_action.model.result import Statement, Work
from bench_action.stack.meters.work import count_work, list_queries, read_work
from bench_action.stack.postgres import Postgres
from bench_action.stack.redis import Redis
from bench_action.stack.seeding.feed import Unwatched
from bench_action.stack.seeding.psql import SeedDatabase, run_script
from bench_action.stack.seeding.redis import RedisSeed
from bench_action.stack.server import QueryError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Database, Subject

pytestmark = pytest.mark.docker

WAIT_S = 30.0


@pytest.fixture
def subject(stack: Stack) -> Subject:
    return stack.subject("closing", "head")


@pytest.fixture
def server(database: Database) -> Postgres:
    assert isinstance(database.server, Postgres)
    return database.server


@pytest.fixture
def database(subject: Subject) -> Database:
    assert subject.database is not None
    return subject.database


def find_cache(stack: Stack, variant: str) -> Redis:
    cache = stack.subject(variant, "head").cache
    assert cache is not None
    return cache


def test_stack__keeps_every_service_off_the_disk_and_the_host(stack: Stack, footprint: Footprint) -> None:
    for name, handle in ((name, handle) for slot in stack.slots for name, handle in slot.handles.items()):
        container = footprint.client.api.inspect_container(handle.id)
        declared = container["Config"]["Volumes"]
        assert declared, name
        volumes = {mount["Destination"]: mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"}
        assert {*(container["HostConfig"].get("Tmpfs") or {}), *volumes} == set(declared)
        for volume in volumes.values():
            assert footprint.client.api.inspect_volume(volume)["Options"]["type"] == "tmpfs"
        assert not container["HostConfig"]["PortBindings"]


# What an application tries: names and addresses of others, on their ports, and the tool's own account on its server.
ATTACK = """
import asyncio, os, socket, sys
import asyncpg
names, addresses = sys.argv[1].split(), sys.argv[2].split()
for name in names:
    try:
        print("NAME", name, socket.gethostbyname(name))
    except OSError:
        pass
for address in addresses:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        print("REACHED", address)
    except OSError:
        pass
async def sign_in():
    user = {"host": "postgres", "user": "bench_action", "database": "bench_action", "timeout": 5}
    for password in {"", "bench_action", os.environ["DATABASE_URL"].split(":")[2].split("@")[0]}:
        try:
            await asyncpg.connect(**user, password=password)
            print("SIGNED IN")
        except (asyncpg.PostgresError, OSError) as error:
            print("refused", type(error).__name__)
asyncio.run(sign_in())
"""


def test_subject__reaches_nothing_of_another_subject_and_no_account_of_ours(
    stack: Stack, footprint: Footprint, subject: Subject, server: Postgres
) -> None:
    other = stack.subject("aiohttp", "head")
    handles = [*other.services.values(), *other.handles]
    names = [*(handle.address for handle in handles), "aiohttp", stack.load.address]
    networks = [
        (network["IPAddress"], network["Gateway"], handle.port)
        for handle in handles
        for network in footprint.client.api.inspect_container(handle.id)["NetworkSettings"]["Networks"].values()
    ]
    addresses = [f"{host}:{port}" for address, gateway, port in networks for host in (address, gateway)]
    assert len(addresses) >= 6
    connect = "import socket; print(socket.create_connection(('postgres', 5432)), socket.gethostbyname('redis'))"
    own = stack.engine.exec(subject.handle, ["python", "-c", connect])
    assert own[0] == 0, "it does reach its own services"
    attack = ["python", "-c", ATTACK, " ".join(names), " ".join(addresses)]
    status, output = stack.engine.exec(subject.handle, attack)
    assert status == 0, output
    found = [line for line in output.splitlines() if not line.startswith("refused")]
    assert [line.split()[:2] for line in found] in ([], [["NAME", stack.load.address]]), "wrk's container has no server"
    assert "refused InvalidPasswordError" in output
    _, environment = stack.engine.exec(subject.handle, ["env"])
    assert server._password not in environment


def test_stack__gives_subjects_room_for_many_connections(stack: Stack, server: Postgres, subject: Subject) -> None:
    for command, least in (("ulimit -n", 4096), ("cat /proc/sys/net/core/somaxconn", 4096)):
        status, output = stack.engine.exec(subject.handle, ["sh", "-c", command])
        assert status == 0
        assert int(output) >= least
    assert int(server.execute("SHOW max_connections")[0]) == 500


def test_stack__measures_how_long_each_subject_took_to_start(stack: Stack) -> None:
    assert all(subject.startup_s > 0 and subject.renewal_s > 0 for subject in stack.subjects)


def test_execute__returns_the_rows_of_every_statement(server: Postgres) -> None:
    assert server.execute("SELECT generate_series(1, 3); SELECT 'a', NULL") == ["1", "2", "3", "a|"]


def test_execute__raises_a_refusal_and_can_go_on(server: Postgres) -> None:
    with pytest.raises(QueryError, match='relation "nothing" does not exist') as caught:
        server.execute("SELECT * FROM nothing")
    assert caught.value.where == "SELECT * FROM nothing"
    assert server.execute("SELECT 1") == ["1"]


def test_execute__is_not_misled_by_rows_that_look_like_refusals(server: Postgres) -> None:
    assert server.execute("SELECT 'ERROR: none'") == ["ERROR: none"]


def test_statements__are_those_of_the_application_by_any_role(server: Postgres, stack: Stack, subject: Subject) -> None:
    other = stack.subject("aiohttp", "head").database
    assert other is not None
    mine, user, name = "SELECT count(*) FROM item", server.login.user, server.login.database
    before = read_work(subject)
    assert isinstance(other.server, Postgres)
    other.server.execute_as(user, name, mine)
    assert count_work(before, read_work(subject)) == Work(queries=0, rows=0, cache_commands=0)
    server.execute_as(user, "bench_action", "CREATE ROLE visitor; GRANT pg_read_all_data TO visitor")
    before = read_work(subject)
    server.execute_as(user, name, mine)
    server.execute_as(user, name, f"SET ROLE visitor; {mine}")
    elsewhere = mine.replace("item", "pg_class")
    server.execute_as(user, "bench_action", elsewhere)
    after = read_work(subject)
    server.execute("DROP ROLE visitor")
    assert count_work(before, after) == Work(queries=3, rows=3, cache_commands=0)
    assert list_queries(before, after) == (
        Statement(text=mine, calls=2, rows=2),
        Statement(text=elsewhere, calls=1, rows=1),
    )


def test_statements__count_everything_that_does_work(server: Postgres, subject: Subject) -> None:
    user, name = server.login.user, server.login.database
    server.execute_as(user, name, "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'")
    before = read_work(subject)
    server.execute_as(
        user,
        name,
        "BEGIN; SET LOCAL a.b = 'c'; SAVEPOINT a",
        "SELECT id FROM item WHERE text = current_setting('a.b')",
        "CALL p()",
        "COPY item TO stdout",
        "DECLARE c CURSOR FOR SELECT 1; FETCH c; CLOSE c",
        "COMMIT",
    )
    kinds = [query.text.split()[0] for query in list_queries(before, read_work(subject))]
    assert sorted(kinds) == ["CALL", "COPY", "DECLARE", "FETCH", "SELECT"]


def test_count_work__is_none_after_counters_were_reset(server: Postgres, stack: Stack, subject: Subject) -> None:
    before = read_work(subject)
    server.execute_as(server.login.user, "bench_action", "SELECT pg_stat_statements_reset()")
    assert count_work(before, read_work(subject)) is None
    before = read_work(subject)
    assert subject.cache is not None
    stack.engine.exec(subject.cache.handle, ["redis-cli", "config", "resetstat"])
    assert count_work(before, read_work(subject)) is None
    stack.renew(subject)
    before = read_work(subject)
    assert count_work(before, read_work(subject)) is not None, "the next subject in the slot is counted as usual"


DATA = "CREATE TABLE seeded (n int);\nCOPY seeded FROM stdin;\n1\n2\n\\.\n"


def run(stack: Stack, database: Database, text: str) -> str:
    assert isinstance(database.server, Postgres)
    return run_script(stack.engine, SeedDatabase(database.server), [text], Unwatched())


@pytest.mark.parametrize(
    "end",
    ["", "\n;\nINSERT INTO seeded SELECT; DELETE FROM seeded WHERE n IS NULL", "\nSELECT 1", "\n;;\n-- last"],
)
def test_run_script__ends_with_the_script(stack: Stack, database: Database, end: str) -> None:
    run(stack, database, f"DROP TABLE IF EXISTS seeded; {DATA}{end}")
    assert database.execute("SELECT count(*) FROM seeded") == ["2"]


def test_run_script__data_may_end_with_the_script(stack: Stack, database: Database) -> None:
    run(stack, database, "CREATE TABLE open (n int); COPY open FROM stdin;\n1\n2\n")
    assert database.execute("SELECT count(*) FROM open") == ["2"]


def test_run_script__leaves_out_what_does_not_exist_here(stack: Stack, database: Database) -> None:
    skipped = run(stack, database, "ALTER TABLE item OWNER TO shop; GRANT ALL ON item TO reader;")
    assert skipped.startswith("skipped 2 statements about the owner shop and the role reader")


@pytest.mark.parametrize(
    ("script", "what", "place"),
    [
        (
            "SELECT 1;\nSELECT nothing\n  secret;",
            "syntax|column",
            "line 3, in statement 2 (SELECT), which begins on line 2",
        ),
        (
            "CREATE TABLE o (n int);\nCOPY o FROM stdin;\n1\nsecret\n\\.\n",
            "invalid input syntax",
            "line 5, in statement 2",
        ),
        ("SELECT 'secret", "a quoted text is never closed", "line 1"),
    ],
)
def test_run_script__names_the_place_and_quotes_nothing(
    stack: Stack, database: Database, script: str, what: str, place: str
) -> None:
    with pytest.raises(InputError, match=what) as caught:
        run(stack, database, script)
    assert caught.value.where.startswith(place)
    assert "secret" not in str(caught.value) + "".join(caught.value.log)


def test_redis_seed__fills_a_container_from_an_rdb_file_and_again_after_a_flush(stack: Stack, tmp_path: Path) -> None:
    redis = stack.slots[0].caches["redis"]
    dump = "redis-cli -n 15 set a 1 >/dev/null; redis-cli --rdb /tmp/rdb >/dev/null 2>&1; base64 </tmp/rdb"
    _, output = stack.engine.exec(redis.handle, ["sh", "-c", dump])
    (tmp_path / "cache").write_bytes(base64.b64decode(output))
    seed = RedisSeed(stack.engine, redis.handle)
    with open_seed(tmp_path / "cache") as file:
        seed.add("RDB file", file, Unwatched())
    for _ in range(2):
        stack.engine.exec(redis.handle, ["redis-cli", "-n", "15", "flushdb"])
        seed.apply(Unwatched())
        assert stack.engine.exec(redis.handle, ["redis-cli", "-n", "15", "get", "a"])[1].strip() == "1"


def test_execute__data_may_end_with_the_statements(server: Postgres) -> None:
    for end in ("\\.\n", "", "\\.\n;"):
        server.execute(f"CREATE TABLE talk (n int);\nCOPY talk FROM stdin;\n1\n2\n{end}")
        assert server.execute("SELECT count(*) FROM talk; DROP TABLE talk") == ["2"]


def test_execute__a_row_cannot_end_the_conversation(server: Postgres) -> None:
    assert server.execute(r"SELECT E'a\nbench-action-end-1\nb'") == ["a", "bench-action-end-1", "b"]


def test_passwords__are_different_and_on_no_command_line(server: Postgres, stack: Stack, database: Database) -> None:
    assert len({server._password, server.login.password}) == 2
    database.execute("SELECT 1")  # so that there is a psql process
    _, lines = stack.engine.exec(server.handle, ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"])
    assert "psql" in lines
    assert server._password not in lines
    assert server.login.password not in lines


def test_seed__is_known_to_the_planner_before_anything_is_measured(
    stack: Stack, subject: Subject, database: Database
) -> None:
    stack.renew(subject)  # other tests may have used it
    assert database.execute("SELECT reltuples FROM pg_class WHERE relname = 'item'") == ["20"]
    assert database.execute("SELECT count(*) FROM item") == ["20"]


def test_renew__restores_the_seed_and_the_counter_while_clients_are_connected(
    stack: Stack, server: Postgres, subject: Subject, database: Database
) -> None:
    cache = find_cache(stack, "closing")
    stack.renew(subject)  # other tests may have used it
    assert database.connections() >= 10  # its pool
    psql = ["psql", "-XAt", server.address()["url"].replace("@postgres:", "@127.0.0.1:")]
    client = stack.engine.session(server.handle, psql)
    client.send("INSERT INTO item (text) VALUES ('one more') RETURNING id;\n")
    assert client.read_line(WAIT_S) == "21"
    home = HttpRequest.from_config(subject.handle, Request())
    assert stack.agent.get(home, WAIT_S).status == 200
    assert cache.integer("counter") == 1

    stack.renew(subject)
    assert database.execute("SELECT count(*), max(id) FROM item") == ["20|20"]
    assert cache.integer("counter") == 0
    assert stack.agent.get(home, WAIT_S).status == 200
    client.close()


def test_redis__finds_a_key_in_any_database_and_empties_all(stack: Stack) -> None:
    first, second = find_cache(stack, "unescaped"), find_cache(stack, "lost-row")
    for cache, number, value in ((first, "0", "5"), (second, "7", "-7")):
        stack.engine.exec(cache.handle, ["redis-cli", "-n", number, "set", "a key", value])
    assert (first.integer("a key"), second.integer("a key")) == (5, -7)
    second.flush()
    assert (first.integer("a key"), second.integer("a key")) == (5, 0)
    first.flush()


def test_redis__counts_commands(stack: Stack) -> None:
    redis = find_cache(stack, "unescaped")
    before = redis.command_calls().get("incr", 0)
    for _ in range(3):
        stack.engine.exec(redis.handle, ["redis-cli", "incr", "something"])
    assert redis.command_calls()["incr"] == before + 3
    stack.engine.exec(redis.handle, ["redis-cli", "del", "something"])


def test_redis__a_value_with_lines_is_a_value(stack: Stack) -> None:
    cache = find_cache(stack, "unescaped")
    forged = "5\nbench-action-end-0\ncmdstat_get:calls=3,usec=1\n7"
    stack.engine.exec(cache.handle, ["redis-cli", "set", "forged", forged])
    before = cache.command_calls().get("get", 0)
    assert cache.integer("forged") == 0
    assert cache.command_calls()["get"] == before + 1
    cache.flush()
