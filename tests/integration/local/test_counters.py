"""An application that tampers with what counts its work, or with what the next subject of its slot finds."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.integration.local.test_local_engine import PASSWORD, WAIT_S, make_engine
from tests.probes import make_probe

from bench_action.engine.local import LocalEngine
from bench_action.engine.protocol import ServiceSpec
from bench_action.model.errors import StackError
from bench_action.stack.meters.work import count_work, read_work
from bench_action.stack.postgres import Postgres
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.redis import Redis
from bench_action.stack.server import Setup
from bench_action.stack.subject import Database, Subject

pytestmark = pytest.mark.integration

REDIS_PASSWORD = "the password of Redis"
TEMPLATE = "bench_action_web_head"


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    engine = make_engine("counters")
    engine.open([])
    yield engine
    engine.remove()


@pytest.fixture(scope="module")
def postgres(engine: LocalEngine) -> Postgres:
    handle = engine.start(ServiceSpec("postgres", "postgres", "postgres:17", env=PASSWORD))
    server = Postgres.connect(engine, handle, Setup(PASSWORD))
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(server.probe))])
    server.open()
    server.renew()
    server.execute("CREATE TABLE item AS SELECT 1 AS id")
    server.keep_as(TEMPLATE)
    return server


@pytest.fixture(scope="module")
def redis(engine: LocalEngine) -> Redis:
    settings = {"requirepass": REDIS_PASSWORD}
    handle = engine.start(ServiceSpec("redis", "redis", "redis:8", settings=settings))
    server = Redis.connect(engine, handle, Setup({}, settings))
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_probe(server.probe))])
    server.open()
    return server


@pytest.fixture
def subject(postgres: Postgres, redis: Redis) -> Subject:
    """A subject that has just entered its slot."""
    postgres.renew(TEMPLATE)
    redis.flush()
    facts: Any = {"databases": {"postgres": Database(postgres, TEMPLATE)}, "caches": {"redis": redis}}
    return cast(Subject, type("Entered", (), facts)())


def run(server: Postgres, *statements: str, database: str = "postgres") -> None:
    """Run statements as the application."""
    server.execute_as("postgres", database, *statements)


def test_passwords__are_in_no_command_line_and_in_no_statement(
    engine: LocalEngine, postgres: Postgres, redis: Redis
) -> None:
    postgres.renew(TEMPLATE)
    postgres.execute("SELECT 1")
    assert redis.probe() == ""
    _, clients = engine.exec(postgres.handle, ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"])
    assert "psql" in clients
    assert "redis-cli" in clients
    assert postgres._password not in clients
    assert f"-a\n{REDIS_PASSWORD}" not in clients
    statements = postgres.execute_as("bench_action", "bench_action", "SELECT query FROM pg_stat_statements")
    assert any(statement.startswith("CREATE ROLE bench_action") for statement in statements)
    assert postgres._password not in "\n".join(statements)


def test_work__counts_in_every_database_and_by_every_role(postgres: Postgres, subject: Subject) -> None:
    run(postgres, "DROP DATABASE IF EXISTS other", "CREATE DATABASE other")
    before = read_work(subject)
    for database in ("postgres", "other", "template1"):
        run(postgres, "SELECT 1 + 1", database=database)
    run(postgres, "SET ROLE pg_monitor; SELECT 1 + 1")
    work = count_work(before, read_work(subject))
    assert work is not None
    assert work.queries == 4
    run(postgres, "DROP DATABASE other")


@pytest.mark.parametrize(
    "tampering",
    [
        "SELECT pg_stat_statements_reset()",
        "SELECT pg_stat_statements_reset(0, 0, queryid) FROM pg_stat_statements WHERE query LIKE 'SELECT count%'",
        "SET pg_stat_statements.track = 'none'",
        "ALTER ROLE postgres SET pg_stat_statements.track = 'none'",
    ],
)
def test_work__is_unknown_if_counting_was_tampered_with(postgres: Postgres, subject: Subject, tampering: str) -> None:
    run(postgres, "CREATE EXTENSION pg_stat_statements", "SELECT count(*) FROM item")
    before = read_work(subject)
    run(postgres, tampering, *["SELECT count(*) FROM item"] * 3)
    assert count_work(before, read_work(subject)) is None


def test_work__is_unknown_if_most_is_done_uncounted(engine: LocalEngine, postgres: Postgres, subject: Subject) -> None:
    before = read_work(subject)
    uncounted = f"{postgres.address()['url']}?options=-c%20pg_stat_statements.track%3Dnone"
    loop = 'for i in $(seq 300); do echo "SELECT id FROM item;"; done | psql -XqAt "$0"'
    assert engine.exec(postgres.handle, ["sh", "-c", loop, uncounted])[0] == 0
    run(postgres, "SELECT pg_sleep(1.1)", "SELECT 1")  # statistics of a connection are there at the latest when it ends
    assert count_work(before, read_work(subject)) is None


def test_work__of_redis_is_unknown_after_a_reset_even_if_the_counts_were_restored(
    redis: Redis, subject: Subject
) -> None:
    redis._converse("GET a")
    before = read_work(subject)
    redis._converse("GET a\nGET a\nCONFIG RESETSTAT\n" + "INFO\nGET a\nFLUSHALL\nECHO a\nINFO keyspace\n" * 9)
    assert count_work(before, read_work(subject)) is None
    redis.flush()
    before = read_work(subject)
    redis._converse("GET a")
    work = count_work(before, read_work(subject))
    assert work is not None, "the next subject is counted as usual"
    assert work.cache_commands == 1


def test_renew__leaves_nothing_of_the_last_subject_on_the_server(postgres: Postgres, subject: Subject) -> None:
    del subject
    run(postgres, "ALTER ROLE postgres SET work_mem = '64kB'", "ALTER ROLE postgres SET enable_indexscan = off")
    run(postgres, "ALTER ROLE postgres CONNECTION LIMIT 1", "ALTER SYSTEM SET jit_above_cost = 0")
    run(postgres, "SELECT pg_reload_conf()", "DROP TABLE item")
    run(postgres, "CREATE DATABASE other IS_TEMPLATE true", "SELECT pg_create_physical_replication_slot('s', true)")
    client = postgres._connect("postgres", "template1")  # as DROP DATABASE does not end it
    client.send("BEGIN; SELECT 'busy';\n")
    assert client.read_line(WAIT_S) == "busy"
    postgres.renew(TEMPLATE)
    rows = "SHOW work_mem; SHOW enable_indexscan; SHOW jit_above_cost; SELECT count(*) FROM item"
    assert postgres.execute_as("postgres", "postgres", rows) == ["4MB", "on", "100000", "1"]
    others = "SELECT slot_name FROM pg_replication_slots UNION SELECT datname FROM pg_database WHERE datname = 'other'"
    assert postgres.execute(others) == []
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1'"
    assert postgres.execute(busy) == ["0"]
    assert postgres.execute("SELECT rolconnlimit FROM pg_authid WHERE rolname = 'postgres'") == ["-1"]
    client.close()


def test_renew__keeps_the_settings_and_privileges_of_the_database(postgres: Postgres) -> None:
    """CREATE DATABASE copies none of them from its template."""
    postgres.renew()
    postgres.execute("CREATE ROLE reader; CREATE ROLE keeper")
    before = postgres.execute_as("postgres", "postgres", "SHOW work_mem")
    run(
        postgres,
        "ALTER DATABASE postgres SET work_mem = '123kB'",
        "ALTER ROLE reader IN DATABASE postgres SET search_path = sales, 'it''s'",
        "REVOKE ALL ON DATABASE postgres FROM PUBLIC",
        "GRANT CREATE ON DATABASE postgres TO reader",
        "ALTER DATABASE postgres CONNECTION LIMIT 77",
        "ALTER DATABASE postgres OWNER TO keeper",
    )
    postgres.keep_as("bench_action_changed")
    postgres._state = ""  # templates are made before the first subject
    postgres.renew("bench_action_changed")
    found = (
        "SHOW work_mem; SELECT datconnlimit, pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'postgres';"
        "SELECT has_database_privilege('reader', 'postgres', privilege) FROM unnest(ARRAY['CONNECT', 'CREATE'])"
        "  AS privilege;"
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase"
        "  WHERE setrole = 'reader'::regrole AND datname = 'postgres'"
    )
    path = '{"search_path=sales, \\"it\'s\\""}'
    assert postgres.execute_as("postgres", "postgres", found) == ["123kB", "77|keeper", "f", "t", path]
    postgres.renew()
    assert postgres.execute_as("postgres", "postgres", "SHOW work_mem") == before
    postgres.drop_template("bench_action_changed")
    postgres.execute("DROP ROLE reader; DROP ROLE keeper")
    postgres._state = ""


_ALL_KINDS = """
CREATE TYPE mood AS ENUM ('glad');
CREATE DOMAIN few AS int;
CREATE SEQUENCE numbers;
CREATE TABLE own (n int, m few, how mood);
CREATE FUNCTION notice() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noticed BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION notice()"""


@pytest.mark.parametrize(
    "change",
    [
        "ALTER DATABASE postgres SET work_mem = '123kB'",
        "ALTER ROLE postgres IN DATABASE postgres SET work_mem = '123kB'",
        "REVOKE ALL ON DATABASE postgres FROM PUBLIC",
        "ALTER TABLE own ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own_rows ON own USING (n > 1)",
        "ALTER TABLE own SET (fillfactor = 70)",
        "ALTER TABLE own OWNER TO pg_monitor",
        "ALTER TABLE own ALTER n SET STATISTICS 500",
        "ALTER TABLE own DISABLE TRIGGER noticed",
        "GRANT SELECT ON own TO pg_monitor",
        "GRANT SELECT (n) ON own TO pg_monitor",
        "ALTER FUNCTION notice() SET work_mem = '1MB'",
        "ALTER FUNCTION notice() COST 5",
        "REVOKE EXECUTE ON FUNCTION notice() FROM PUBLIC",
        "CREATE MATERIALIZED VIEW seen AS SELECT n FROM own",
        "CREATE MATERIALIZED VIEW seen AS SELECT n FROM own WITH NO DATA",
        "CREATE VIEW seen WITH (security_barrier) AS SELECT n FROM own",
        "CREATE RULE quiet AS ON DELETE TO own DO INSTEAD NOTHING",
        "CREATE STATISTICS together ON n, m FROM own",
        "ALTER TYPE mood ADD VALUE 'calm'",
        "ALTER DOMAIN few ADD CHECK (VALUE < 5)",
        "ALTER SEQUENCE numbers CACHE 20",
        "CREATE EXTENSION pg_trgm",
        "CREATE AGGREGATE largest (int) (SFUNC = int4larger, STYPE = int)",
        "GRANT CREATE ON SCHEMA public TO pg_monitor",
    ],
)
def test_describe_template__shows_a_change_that_rows_do_not_show(postgres: Postgres, change: str) -> None:
    described = []
    for name, statement in {"bench_action_same": "SELECT 1", "bench_action_other": change}.items():
        postgres.renew()
        run(postgres, _ALL_KINDS)
        run(postgres, statement)
        postgres.keep_as(name)
        described.append(postgres.describe_template(name))
        postgres.drop_template(name)
    same, other = described
    assert same != other
    postgres.renew()
    run(postgres, _ALL_KINDS)
    postgres.keep_as("bench_action_again")
    assert postgres.describe_template("bench_action_again") == same
    postgres.drop_template("bench_action_again")


def test_flush__leaves_nothing_of_the_last_subject_on_redis(redis: Redis, subject: Subject) -> None:
    del subject
    redis._converse("SET a 1\nCONFIG SET maxclients 10\nACL SETUSER mine on nopass +@all")
    redis.flush()
    assert redis._converse("GET a\nCONFIG GET maxclients")[-1] != "10"
    assert "mine" not in "\n".join(redis._converse("ACL LIST"))


def test_renew__notices_who_was_in_the_data_of_another_subject(postgres: Postgres, subject: Subject) -> None:
    """Only one of them may have changed these, for another to be measured on."""
    del subject
    visits = [
        (TEMPLATE, "DELETE FROM item", TEMPLATE),
        (TEMPLATE, "SELECT pg_stat_reset()", TEMPLATE),
        ("bench_action", "CREATE TABLE planted ()", "bench_action"),
        ("template1", f"DROP DATABASE {TEMPLATE}", ""),
        ("template1", f"CREATE DATABASE {TEMPLATE}", TEMPLATE),
    ]
    for database, statement, noticed in visits:
        own = postgres._own_sessions
        run(postgres, statement, database=database)
        postgres._own_sessions = own  # as `run` is the application
        if noticed:
            with pytest.raises(StackError, match=f"an application was in the database {noticed}"):
                postgres.renew(TEMPLATE)
            postgres._visits.clear()
            postgres._own_sessions += database == "bench_action"
            postgres.renew(TEMPLATE)
