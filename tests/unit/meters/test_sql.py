"""Which statements count as queries."""

import pytest

from bench_action.meters.sql import Statement, is_query, queries_between

pytestmark = pytest.mark.unit

QUERIES = [
    "SELECT * FROM item",
    "select id from item where id = $1",
    "  \n\tSELECT 1 FROM item",
    "INSERT INTO item (text) VALUES ($1) RETURNING id",
    "UPDATE item SET text = $1",
    "DELETE FROM item",
    "MERGE INTO item USING other ON item.id = other.id WHEN MATCHED THEN DELETE",
    "WITH old AS (SELECT 1) DELETE FROM item USING old",
    "(SELECT 1) UNION (SELECT 2)",
    "((SELECT 1))",
    "VALUES (1), (2)",
    "TABLE item",
    "/* controller=home */ SELECT * FROM item",
    "-- the newest first\nSELECT * FROM item",
    "/* a\n * b */ -- c\n SELECT 1 FROM item",
    "SELECT version FROM schema_versions",
    "SELECT * FROM pg_typeset",
    "SELECT settings FROM current_settings",
]
OTHERS = [
    "BEGIN", "begin isolation level repeatable read", "COMMIT", "ROLLBACK", "SAVEPOINT a", "RELEASE SAVEPOINT a",
    "START TRANSACTION", "SET timezone TO 'UTC'", "SHOW standard_conforming_strings", "RESET ALL", "DISCARD ALL",
    "DEALLOCATE ALL", "CLOSE ALL", "UNLISTEN *", "LISTEN a", "CREATE TABLE a ()", "COPY item FROM STDIN", "VACUUM",
    "SELECTED", "-- SELECT 1", "/* SELECT 1 */ COMMIT", "", "  ",
]  # fmt: skip
UPKEEP = {
    "asyncpg, at each release": "SELECT pg_advisory_unlock_all()",
    "asyncpg, types": "WITH RECURSIVE typeinfo_tree(oid, ns) AS (SELECT 1) SELECT * FROM typeinfo_tree",
    "Django, time zone": "SELECT set_config('TimeZone', $1, false)",
    "psycopg2, hstore": "SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid",
    "SQLAlchemy, version": "select pg_catalog.version()",
    "SQLAlchemy, schema": "select current_schema()",
    "a client's version": "SELECT version()",
    "a setting": "SELECT current_setting($1)",
    "catalogues": "SELECT c.relname FROM pg_catalog.pg_class c",
}


@pytest.mark.parametrize("text", QUERIES)
def test_is_query__counts_what_an_application_asks(text: str) -> None:
    assert is_query(text)


@pytest.mark.parametrize("text", OTHERS)
def test_is_query__leaves_out_what_is_no_query(text: str) -> None:
    assert not is_query(text)


@pytest.mark.parametrize("text", UPKEEP.values(), ids=UPKEEP)
def test_is_query__leaves_out_the_upkeep_of_drivers(text: str) -> None:
    assert not is_query(text)


def test_queries_between__counts_calls_and_rows_of_queries_only() -> None:
    before: list[Statement] = [("1", "SELECT a FROM b", 10, 200), ("2", "COMMIT", 10, 0)]
    after: list[Statement] = [
        ("1", "SELECT a FROM b", 15, 300),
        ("2", "COMMIT", 17, 0),
        ("3", "INSERT INTO b VALUES ($1)", 2, 2),
        ("4", "SELECT pg_advisory_unlock_all()", 7, 7),
    ]
    assert queries_between(before, after) == {"SELECT a FROM b": (5, 100), "INSERT INTO b VALUES ($1)": (2, 2)}


def test_queries_between__statements_of_one_text_are_one() -> None:
    after: list[Statement] = [("1", "SELECT a FROM b", 2, 4), ("9", "SELECT a FROM b", 3, 6)]
    assert queries_between([], after) == {"SELECT a FROM b": (5, 10)}


def test_queries_between__nothing_new_is_nothing() -> None:
    reading: list[Statement] = [("1", "SELECT a FROM b", 10, 200)]
    assert queries_between(reading, reading) == {}
    assert queries_between([], []) == {}
