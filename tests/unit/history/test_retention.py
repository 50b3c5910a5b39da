"""Which old records are kept."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.history.places import make_record

from bench_action.history.layout import name_shard
from bench_action.history.record import UnchangedCode
from bench_action.history.retention import choose_level, is_due, select_kept

pytestmark = pytest.mark.unit

SHARD = "records/2026-06.jsonl"
END = datetime(2026, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "level"), [(-400, "all"), (0, "all"), (90, "all"), (91, "day"), (366, "day"), (367, "week")]
)
def test_choose_level__by_the_last_day_of_the_month(days: int, level: str) -> None:
    assert choose_level(SHARD, END + timedelta(days=days)) == level


def test_is_due__only_for_fewer_records() -> None:
    now = END + timedelta(days=100)
    assert [is_due(SHARD, kept, now) for kept in ("all", "day", "week")] == [True, False, False]


times = st.datetimes(datetime(2026, 6, 1), datetime(2026, 6, 30))  # noqa: DTZ001
cells = st.sampled_from(["a", "b"])
machines = st.sampled_from(["one", "other"])
levels = st.sampled_from(["day", "week"])


@given(st.lists(st.tuples(times, cells, machines), max_size=30), st.integers(0, 29), levels)
def test_select_kept__one_per_bucket_of_each_series_and_marked_records(
    given_records: list[tuple[datetime, str, str]], marked: int, level: str
) -> None:
    records = [
        make_record(f"run-{n}", at.replace(tzinfo=UTC).isoformat(), cell, fingerprint=machine)
        for n, (at, cell, machine) in enumerate(given_records)
    ]
    marks = [(records[marked].run_id, records[marked].cell)] if marked < len(records) else []
    kept = select_kept(records, level, marks)  # type: ignore[arg-type]
    buckets = [(record.cell, record.fingerprint, _bucket(record.at, level)) for record in records]
    assert kept == sorted(set(kept))
    assert {buckets[place] for place in kept} == set(buckets), "no series loses a day or week that it had"
    assert len(kept) <= len(set(buckets)) + len(marks)
    assert all(any(records[place].run_id == run for place in kept) for run, _ in marks)
    again = [records[place] for place in kept]
    assert select_kept(again, level, marks) == list(range(len(again))), "thinning again changes nothing"  # type: ignore[arg-type]


def test_select_kept__runs_of_unchanged_code_are_all_kept() -> None:
    code = UnchangedCode(verdict="unchanged")
    records = [make_record(f"run-{n}", unchanged=code if n % 2 else None) for n in range(6)]
    assert select_kept(records, "week") == [0, 1, 3, 5]


def test_select_kept__level_all_keeps_all() -> None:
    records = [make_record(f"run-{n}") for n in range(5)]
    assert select_kept(records, "all") == list(range(5))


def test_name_shard__is_the_month_of_the_start() -> None:
    assert name_shard(make_record(at="2026-07-01T00:30:00+02:00").at) == SHARD


def _bucket(at: str, level: str) -> object:
    day = datetime.fromisoformat(at).date()
    return day if level == "day" else day.isocalendar()[:2]
