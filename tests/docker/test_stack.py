"""A real stack: PostgreSQL and Redis as their clients see them, and what keeps subjects apart."""

import pytest
from tests.docker.footprint import Footprint

from bench_action.engine.protocol import Handle
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


def cache_of(stack: Stack, variant: str) -> Cache:
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


def test_execute__gives_rows_of_every_statement(server: Postgres) -> None:
    assert server.execute("SELECT generate_series(1, 3); SELECT 'a', NULL") == ["1", "2", "3", "a|"]


def test_execute__raises_what_is_refused_and_goes_on(server: Postgres) -> None:
    with pytest.raises(QueryError, match='relation "nothing" does not exist') as caught:
        server.execute("SELECT * FROM nothing")
    assert caught.value.where == "SELECT * FROM nothing"
    assert server.execute("SELECT 1") == ["1"]


def test_execute__is_not_misled_by_rows_that_look_like_refusals(server: Postgres) -> None:
    assert server.execute("SELECT 'ERROR: none'") == ["ERROR: none"]


def test_statements__are_those_of_the_subject_alone(server: Postgres, database: Database) -> None:
    def calls() -> dict[str, int]:
        return {text: calls for _, text, calls, _ in server.statements(database.name, database.role)}

    mine = "SELECT count(*) FROM item"
    before = calls().get(mine, 0)
    database.execute(mine)
    assert calls().get(mine, 0) == before
    for _ in range(3):
        server.execute_as(database.role, database.name, mine)
    assert calls()[mine] == before + 3


def test_role__may_neither_read_the_others_data_nor_make_anything_of_its_own(
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
    stack.renew(subject)  # others may have used it
    known = "SELECT reltuples FROM pg_class WHERE relname = 'item'"
    assert server.execute(known, database.name) == ["20"]
    assert server.execute("SELECT count(*) FROM item", database.name) == ["20"]


def test_renew__restores_the_seed_and_the_counter_while_clients_are_connected(
    stack: Stack, server: Postgres, subject: Subject, database: Database
) -> None:
    cache = cache_of(stack, "closing")
    stack.renew(subject)  # others may have used it
    assert server.connections(database.name, database.role) >= 10  # its pool
    psql = ["psql", "-XAt", server.url(database.role, database.name, "127.0.0.1")]
    client = stack.engine.session(server.handle, psql)
    client.send("INSERT INTO item (text) VALUES ('one more') RETURNING id;\n")
    assert client.read_line(WAIT_S) == "21"
    status, problem = stack.services.agent.get(subject.handle.host, subject.handle.port, "/", WAIT_S)
    assert (status, problem) == (200, "")
    assert cache.integer("counter") == 1

    stack.renew(subject)
    assert database.execute("SELECT count(*), max(id) FROM item") == ["20|20"]
    assert cache.integer("counter") == 0
    assert stack.services.agent.get(subject.handle.host, subject.handle.port, "/", WAIT_S) == (200, "")
    client.close()


def test_redis__keeps_the_numbers_of_subjects_apart(stack: Stack) -> None:
    redis = stack.services.redis
    assert redis is not None
    one, two = cache_of(stack, "unescaped"), cache_of(stack, "lost-row")
    assert one.number != two.number
    handle: Handle = redis.handle
    for cache, value in ((one, "5"), (two, "-7")):
        stack.engine.exec(handle, ["redis-cli", "-n", str(cache.number), "set", "a key", value])
    assert (one.integer("a key"), two.integer("a key")) == (5, -7)
    one.flush()
    assert (one.integer("a key"), two.integer("a key")) == (0, -7)
    two.flush()


def test_redis__counts_commands(stack: Stack) -> None:
    redis = stack.services.redis
    assert redis is not None
    before = redis.command_calls().get("incr", 0)
    for _ in range(3):
        stack.engine.exec(redis.handle, ["redis-cli", "incr", "something"])
    assert redis.command_calls()["incr"] == before + 3
    stack.engine.exec(redis.handle, ["redis-cli", "del", "something"])
