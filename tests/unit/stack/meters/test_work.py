"""Work between two readings, and when there is none to tell."""

import pytest

from bench_action.model.result import Statement, Work
from bench_action.stack.meters.work import Reading, statements_between, work_between

pytestmark = pytest.mark.unit

BEFORE = Reading([("10 1", "SELECT a FROM b", 5, 50)], {"get": 3, "info": 1}, "0 then")


def test_work_between__adds_up_queries_rows_and_commands() -> None:
    after = Reading([("10 1", "SELECT a FROM b", 7, 70), ("16 2", "CALL p()", 1, 0)], {"get": 8, "info": 2}, "0 then")
    assert work_between(BEFORE, after) == Work(queries=3, rows=20, cache_commands=5)
    assert statements_between(BEFORE, after) == (
        Statement(text="SELECT a FROM b", calls=2, rows=20),
        Statement(text="CALL p()", calls=1, rows=0),
    )


@pytest.mark.parametrize(
    "after",
    [
        Reading([("10 1", "SELECT a FROM b", 4, 50)], {"get": 3, "info": 2}, "0 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 10)], {"get": 3, "info": 2}, "0 then"),
        Reading([], {"get": 3, "info": 2}, "0 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"get": 3, "info": 2}, "2 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"get": 3, "info": 2}, "0 now"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"get": 2, "info": 2}, "0 then"),
        Reading([("10 1", "SELECT a FROM b", 9, 90)], {"get": 9, "config|resetstat": 1}, "0 then"),
    ],
    ids=["calls went back", "rows went back", "gone", "evicted", "reset", "cache went back", "cache was reset"],
)
def test_work_between__is_not_told_where_counters_were_reset_or_lost(after: Reading) -> None:
    assert work_between(BEFORE, after) is None
