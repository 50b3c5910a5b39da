"""A real stack: PostgreSQL and Redis through their clients, and how subjects are kept apart."""

import pytest
from tests.docker.footprint import Footprint

from bench_action.engine.protocol import Handle
from bench_action.model.result import Statement, Work
from bench_action.stack.meters.work import count_work, list_queries, read_work
from bench_action.stack.postgres import Postgres, QueryError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Cache, Database, Subject

pytestmark = pytest.mark.docker

WAIT_S = 30.0


@pytest.fixture(scope="module")
def server(stack: Stack) -> Postgres:
    assert stack.services.postgres is not None
    return stack.services.postgres


@pytest.fixture
def subject(stack: Stack) -> Subject:
    return stack.subject("closing", "head")


@pytest.fixture
def database(subject: Subject) -> Database:
    assert subject.database is not None
    return subject.database


def find_cache(stack: Stack, variant: str) -> Cache:
    cache = stack.subject(variant, "head").cache
    assert cache is not None
    return cache


def test_stack__keeps_every_service_off_the_disk_and_the_host(stack: Stack, footprint: Footprint) -> None:
    for name, handle in stack.services.handles.items():
        container = footprint.client.api.inspect_container(handle.id)
        declared = container["Config"]["Volumes"]
        assert declared, name
        assert set(container["HostConfig"]["Tmpfs"]) == set(declared)
        assert [mount for mount in container["Mounts"] if mount["Type"] == "volume"] == []
        assert not container["HostConfig"]["PortBindings"]


def test_stack__gives_subjects_room_for_many_connections(stack: Stack, server: Postgres, subject: Subject) -> None:
    for command, least in (("ulimit -n", 4096), ("cat /proc/sys/net/core/somaxconn", 4096)):
        status, output = stack.engine.exec(subject.handle, ["sh", "-c", command])
        assert status == 0
        assert int(output) >= least
    assert int(server.execute("SHOW max_connections")[0]) == 500


def test_stack__measures_how_long_each_subject_took_to_start(stack: Stack) -> None:
    assert all(subject.startup_s > 0 for subject in stack.subjects)


def test_execute__returns_the_rows_of_every_statement(server: Postgres) -> None:
    assert server.execute("SELECT generate_series(1, 3); SELECT 'a', NULL") == ["1", "2", "3", "a|"]


def test_execute__raises_a_refusal_and_can_go_on(server: Postgres) -> None:
    with pytest.raises(QueryError, match='relation "nothing" does not exist') as caught:
        server.execute("SELECT * FROM nothing")
    assert caught.value.where == "SELECT * FROM nothing"
    assert server.execute("SELECT 1") == ["1"]


def test_execute__is_not_misled_by_rows_that_look_like_refusals(server: Postgres) -> None:
    assert server.execute("SELECT 'ERROR: none'") == ["ERROR: none"]


def test_statements__are_those_of_one_database_by_any_role(server: Postgres, stack: Stack, subject: Subject) -> None:
    database, other = subject.database, stack.subject("aiohttp", "head").database
    assert database is not None
    assert other is not None
    mine = "SELECT count(*) FROM item"
    before = read_work(subject)
    server.execute_as(other.role, other.name, mine)
    assert count_work(before, read_work(subject)) == Work(queries=0, rows=0, cache_commands=0)
    server.create_role("visitor")
    server.execute(f'GRANT pg_read_all_data TO visitor; GRANT visitor TO "{database.role}"')
    before = read_work(subject)
    server.execute_as(database.role, database.name, mine)
    server.execute_as(database.role, database.name, f"SET ROLE visitor; {mine}")
    server.execute_as("visitor", database.name, mine)
    after = read_work(subject)
    server.execute("DROP ROLE visitor")
    assert count_work(before, after) == Work(queries=3, rows=3, cache_commands=0)
    assert list_queries(before, after) == (Statement(text=mine, calls=3, rows=3),)


def test_statements__count_everything_that_does_work(server: Postgres, subject: Subject) -> None:
    database = subject.database
    assert database is not None
    server.execute_as(database.role, database.name, "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'")
    before = read_work(subject)
    server.execute_as(
        database.role,
        database.name,
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
    server.execute("SELECT pg_stat_statements_reset()")
    assert count_work(before, read_work(subject)) is None
    before = read_work(subject)
    redis = stack.services.redis
    assert redis is not None
    stack.engine.exec(redis.handle, ["redis-cli", "config", "resetstat"])
    assert count_work(before, read_work(subject)) is None


DATA = "CREATE TABLE seeded (n int);\nCOPY seeded FROM stdin;\n1\n2\n\\.\n"


@pytest.mark.parametrize(
    "end",
    [
        "",
        "\n",
        "\n;\nINSERT INTO seeded SELECT; DELETE FROM seeded WHERE n IS NULL",
        "\n-- PostgreSQL database dump complete\n",
        "\nSELECT 1",
        "\n;;\n",
        "SELECT pg_sleep(0.1) -- last",
    ],
)
def test_run_script__ends_with_the_script(server: Postgres, database: Database, end: str) -> None:
    server.run_script(database.role, database.name, f"DROP TABLE IF EXISTS seeded; {DATA}{end}", WAIT_S)
    assert server.execute("SELECT count(*) FROM seeded", database.name) == ["2"]


def test_run_script__data_may_end_with_the_script(server: Postgres, database: Database) -> None:
    server.run_script(database.role, database.name, "CREATE TABLE open (n int); COPY open FROM stdin;\n1\n2\n", WAIT_S)
    assert server.execute("SELECT count(*) FROM open", database.name) == ["2"]


@pytest.mark.parametrize(
    ("script", "what", "place"),
    [
        (
            "SELECT 1;\nSELECT nothing\n  secret;",
            "syntax|column",
            ("line 3, in statement 2, which begins on line 2", ""),
        ),
        ("SELECT 1;\nSELEC secret;", "syntax error", ("line 2, in statement 2, which begins on line 2", "")),
        ("CREATE TABLE o (n int);\nCOPY o FROM stdin;\n1\nsecret\n\\.\n", "invalid input syntax", ("line 5", "")),
        ("ALTER TABLE item OWNER TO shop;", 'role "shop" does not exist', ("line 1", "--no-owner --no-privileges")),
        ("CREATE EXTENSION postgres_fdw;", "permission denied to create extension", ("line 1", "only a superuser")),
        ("SELECT 'secret", "a quoted text is never closed", ("line 1", "close")),
    ],
)
def test_run_script__names_the_place_and_quotes_nothing(
    server: Postgres, database: Database, script: str, what: str, place: tuple[str, str]
) -> None:
    with pytest.raises(QueryError, match=what) as caught:
        server.run_script(database.role, database.name, script, WAIT_S)
    assert caught.value.where.startswith(place[0])
    assert place[1] in caught.value.advice
    assert "secret" not in str(caught.value) + "".join(caught.value.log)


def test_execute__data_may_end_with_the_statements(server: Postgres) -> None:
    for end in ("\\.\n", "", "\\.\n;"):
        server.execute(f"CREATE TABLE talk (n int);\nCOPY talk FROM stdin;\n1\n2\n{end}")
        assert server.execute("SELECT count(*) FROM talk; DROP TABLE talk") == ["2"]


def test_execute__a_row_cannot_end_the_conversation(server: Postgres) -> None:
    assert server.execute(r"SELECT E'a\nbench-action-end-1\nb'") == ["a", "bench-action-end-1", "b"]


def test_passwords__are_different_and_on_no_command_line(
    server: Postgres, stack: Stack, subject: Subject, database: Database
) -> None:
    own, superusers = (server.url(role, "x").split(":")[2].split("@")[0] for role in (database.role, "postgres"))
    assert own != superusers
    other = stack.subject("aiohttp", "head").database
    assert other is not None
    assert own not in server.url(other.role, "x")
    database.execute("SELECT 1")  # so that there is a psql process
    _, lines = stack.engine.exec(server.handle, ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"])
    assert "psql" in lines
    assert own not in lines
    assert superusers not in lines


def test_role__may_neither_read_other_subjects_data_nor_create_databases_or_roles(
    server: Postgres, stack: Stack, database: Database
) -> None:
    other = stack.subject("aiohttp", "head").database
    assert other is not None
    with pytest.raises(QueryError, match="permission denied for table item"):
        server.execute_as(database.role, other.name, "SELECT * FROM item")
    with pytest.raises(QueryError, match="permission denied to create database"):
        server.execute_as(database.role, database.name, "CREATE DATABASE mine")
    with pytest.raises(QueryError, match="permission denied to create role"):
        server.execute_as(database.role, database.name, "CREATE ROLE mine")


def test_seed__is_known_to_the_planner_before_anything_is_measured(
    stack: Stack, server: Postgres, subject: Subject, database: Database
) -> None:
    stack.renew(subject)  # other tests may have used it
    known = "SELECT reltuples FROM pg_class WHERE relname = 'item'"
    assert server.execute(known, database.name) == ["20"]
    assert server.execute("SELECT count(*) FROM item", database.name) == ["20"]


def test_renew__restores_the_seed_and_the_counter_while_clients_are_connected(
    stack: Stack, server: Postgres, subject: Subject, database: Database
) -> None:
    cache = find_cache(stack, "closing")
    stack.renew(subject)  # other tests may have used it
    assert server.connections(database.name, database.role) >= 10  # its pool
    psql = ["psql", "-XAt", server.url(database.role, database.name, "127.0.0.1")]
    client = stack.engine.session(server.handle, psql)
    client.send("INSERT INTO item (text) VALUES ('one more') RETURNING id;\n")
    assert client.read_line(WAIT_S) == "21"
    status, problem = stack.agent.get(subject.handle.host, subject.handle.port, "/", WAIT_S)
    assert (status, problem) == (200, "")
    assert cache.integer("counter") == 1

    stack.renew(subject)
    assert database.execute("SELECT count(*), max(id) FROM item") == ["20|20"]
    assert cache.integer("counter") == 0
    assert stack.agent.get(subject.handle.host, subject.handle.port, "/", WAIT_S) == (200, "")
    client.close()


def test_redis__keeps_the_numbers_of_subjects_apart(stack: Stack) -> None:
    redis = stack.services.redis
    assert redis is not None
    first, second = find_cache(stack, "unescaped"), find_cache(stack, "lost-row")
    assert first.number != second.number
    handle: Handle = redis.handle
    for cache, value in ((first, "5"), (second, "-7")):
        stack.engine.exec(handle, ["redis-cli", "-n", str(cache.number), "set", "a key", value])
    assert (first.integer("a key"), second.integer("a key")) == (5, -7)
    first.flush()
    assert (first.integer("a key"), second.integer("a key")) == (0, -7)
    second.flush()


def test_redis__counts_commands(stack: Stack) -> None:
    redis = stack.services.redis
    assert redis is not None
    before = redis.command_calls().get("incr", 0)
    for _ in range(3):
        stack.engine.exec(redis.handle, ["redis-cli", "incr", "something"])
    assert redis.command_calls()["incr"] == before + 3
    stack.engine.exec(redis.handle, ["redis-cli", "del", "something"])


def test_redis__a_value_with_lines_is_a_value(stack: Stack) -> None:
    redis, cache = stack.services.redis, find_cache(stack, "unescaped")
    assert redis is not None
    forged = "5\nbench-action-end-0\ncmdstat_get:calls=3,usec=1\n7"
    stack.engine.exec(redis.handle, ["redis-cli", "-n", str(cache.number), "set", "forged", forged])
    before = redis.command_calls()["get"]
    assert cache.integer("forged") == 0
    assert redis.command_calls()["get"] == before + 1
    cache.flush()
