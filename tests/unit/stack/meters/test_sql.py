"""Which statements count as queries."""

import pytest
from asyncpg import introspection

from bench_action.stack.meters.sql import Statement, count_queries, is_query, normalise_statement

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
    "SELECT id FROM item WHERE tenant_id = current_setting($1)::int",
    "SELECT set_config($1, $2, $3)",
    "SELECT current_setting($1)",
    "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname = $1",
    "SELECT pg_advisory_unlock_all(), count(*) FROM item",
    "SELECT version() FROM item",
    "SELECT $1",
    "WITH RECURSIVE typeinfo_tree(oid, ns) AS (SELECT 1) SELECT * FROM typeinfo_tree",
    "CALL refresh($1)",
    "COPY item TO STDOUT",
    "COPY item FROM STDIN",
    "FETCH FORWARD 100 FROM c",
    "DECLARE c CURSOR FOR SELECT 1",
    "DO $$ BEGIN PERFORM 1; END $$",
    "LOCK TABLE item",
    "NOTIFY a",
    "CREATE TABLE a ()",
    "VACUUM",
    "SET @ a = ( SELECT count ( * ) FROM `book` )",
    "(text not available)",
]
OTHERS = [
    "BEGIN",
    "begin isolation level repeatable read",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "RELEASE SAVEPOINT a",
    "START TRANSACTION",
    "SET timezone TO 'UTC'",
    "SHOW standard_conforming_strings",
    "RESET ALL",
    "DISCARD ALL",
    "DEALLOCATE ALL",
    "CLOSE ALL",
    "UNLISTEN *",
    "LISTEN a",
    "-- SELECT 1",
    "/* SELECT 1 */ COMMIT",
    "",
    "  ",
]
UPKEEP = {
    "asyncpg, at each release": "SELECT pg_advisory_unlock_all()",
    "asyncpg, types": introspection.INTRO_LOOKUP_TYPES,
    "asyncpg, types of PostgreSQL 13": introspection.INTRO_LOOKUP_TYPES_13,
    "asyncpg, a type by its name": introspection.TYPE_BY_NAME,
    "Django, hstore": "SELECT oid, typarray FROM pg_type WHERE typname = $1",
    "SQLAlchemy, version": "select pg_catalog.version()",
    "SQLAlchemy, schema, commented": "select current_schema() /* controller='home' */",
    "a client's version": "SELECT version()",
}


@pytest.mark.parametrize("text", QUERIES)
def test_is_query__counts_what_an_application_sends(text: str) -> None:
    assert is_query(text)


@pytest.mark.parametrize("text", OTHERS)
def test_is_query__leaves_out_what_is_not_a_query(text: str) -> None:
    assert not is_query(text)


@pytest.mark.parametrize("text", UPKEEP.values(), ids=UPKEEP)
def test_is_query__leaves_out_the_upkeep_of_drivers(text: str) -> None:
    assert not is_query(text)


def test_count_queries__counts_calls_and_rows_of_queries_only() -> None:
    before: list[Statement] = [("1", "SELECT a FROM b", 10, 200), ("2", "COMMIT", 10, 0)]
    after: list[Statement] = [
        ("1", "SELECT a FROM b", 15, 300),
        ("2", "COMMIT", 17, 0),
        ("3", "INSERT INTO b VALUES ($1)", 2, 2),
        ("4", "SELECT pg_advisory_unlock_all()", 7, 7),
    ]
    assert count_queries(before, after) == {"SELECT a FROM b": (5, 100), "INSERT INTO b VALUES ($1)": (2, 2)}


def test_count_queries__adds_up_statements_with_the_same_text() -> None:
    after: list[Statement] = [("1", "SELECT a FROM b", 2, 4), ("9", "SELECT a FROM b", 3, 6)]
    assert count_queries([], after) == {"SELECT a FROM b": (5, 10)}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('SELECT  a.b\n FROM "A b" -- c', 'select a . b from "A b"'),
        ("/* a /* b */ c */ SELECT 'it''s', $1, 2.5::int", "select ? , ? , ? :: int"),
        ("SELECT 'an open one", "select ?"),
        ("/* an open one", ""),
    ],
)
def test_normalise_statement__keeps_tokens_and_leaves_out_comments_and_constants(text: str, tokens: str) -> None:
    assert normalise_statement(text) == tokens


@pytest.mark.parametrize("part", ["/* ", "'", '"', "-", "$", "/*'", "( "])
def test_normalise_statement__reads_no_character_twice(part: str) -> None:
    assert is_query("SELECT " + part * (1_000_000 // len(part)))  # reading characters again and again would take hours


def test_count_queries__is_none_if_counters_decreased_or_disappeared() -> None:
    assert count_queries([("1", "SELECT a FROM b", 1000, 0)], [("1", "SELECT a FROM b", 400, 0)]) is None
    assert count_queries([("1", "SELECT a FROM b", 1000, 0)], [("2", "SELECT c FROM d", 400, 0)]) is None


def test_count_queries__is_empty_if_nothing_was_run() -> None:
    reading: list[Statement] = [("1", "SELECT a FROM b", 10, 200)]
    assert count_queries(reading, reading) == {}
    assert count_queries([], []) == {}
