"""Count work between two readings, and notice counters that were reset."""

import pytest

from bench_action.model.result import Statement, Work
from bench_action.stack.meters.work import Reading, count_work, list_queries

pytestmark = pytest.mark.unit

BEFORE = Reading([("10 1", "SELECT a FROM b", 5, 50)], {"cache": {"get": 3, "info": 1}}, "0 then")


def test_count_work__adds_up_queries_rows_and_commands() -> None:
    rows = [("10 1", "SELECT a FROM b", 7, 70), ("16 2", "CALL p()", 1, 0)]
    after = Reading(rows, {"cache": {"get": 8, "info": 2}}, "0 then")
    assert count_work(BEFORE, after) == Work(queries=3, rows=20, cache_commands=5)
    assert list_queries(BEFORE, after) == (
        Statement(text="SELECT a FROM b", calls=2, rows=20),
        Statement(text="CALL p()", calls=1, rows=0),
    )


@pytest.mark.parametrize(
    "after",
    [
        Reading([("10 1", "SELECT a FROM b", 4, 50)], {"cache": {"get": 3, "info": 2}}, "0 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 10)], {"cache": {"get": 3, "info": 2}}, "0 then"),
        Reading([], {"cache": {"get": 3, "info": 2}}, "0 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"cache": {"get": 3, "info": 2}}, "2 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"cache": {"get": 3, "info": 2}}, "0 now"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"cache": {"get": 2, "info": 2}}, "0 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"cache": {"get": 9, "config|resetstat": 1}}, "0 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"cache": {"get": 9, "info": 2}}, "0 then", whole=False),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {}, "0 then"),
    ],
    ids=["calls", "rows", "missing", "evicted", "reset", "commands", "cache reset", "evaded", "no cache"],
)
def test_count_work__is_none_if_counters_were_reset_or_lost(after: Reading) -> None:
    assert count_work(BEFORE, after) is None


def test_count_work__adds_up_all_servers_and_caches() -> None:
    before = Reading([("main 1", "SELECT 1", 5, 5), ("other 1", "SELECT 1", 1, 1)], {"a": {"get": 1}, "b": {"get": 2}})
    after = Reading([("main 1", "SELECT 1", 6, 6), ("other 1", "SELECT 1", 4, 4)], {"a": {"get": 2}, "b": {"get": 9}})
    assert count_work(before, after) == Work(queries=4, rows=4, cache_commands=8)
