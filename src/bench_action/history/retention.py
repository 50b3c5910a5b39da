"""Thinning of old records, which is no hard cut: which lines of a month stay. Pure.

The history of the branch keeps what is thinned: it goes in an ordinary commit.
"""

import calendar
from collections.abc import Collection, Hashable, Sequence
from datetime import UTC, date, datetime
from typing import Final

from bench_action.history.layout import Kept
from bench_action.history.record import Record

ALL_DAYS: Final = 90
DAILY_DAYS: Final = 366
_ORDER: Final[Sequence[Kept]] = ("all", "day", "week")


def level_of(shard: str, now: datetime) -> Kept:
    """How much of a month is kept, by the age of its last day: all, one a day, or one a week."""
    age_days = (now.astimezone(UTC).date() - _last_day(shard)).days
    return "all" if age_days <= ALL_DAYS else "day" if age_days <= DAILY_DAYS else "week"


def is_due(shard: str, kept: Kept, now: datetime) -> bool:
    """Whether a month is to be thinned further than it was."""
    return _ORDER.index(level_of(shard, now)) > _ORDER.index(kept)


def thin(records: Sequence[Record], level: Kept, marks: Collection[tuple[str, str]] = ()) -> list[int]:
    """Places of the records that stay, in their order: the first of each day or week, and every marked one.

    A cell of one benchmark on one kind of machine, against one control, is a series; each is thinned for itself.
    `marks` are (run id, cell).
    """
    marked = set(marks)
    first: dict[Hashable, int] = {}
    for place, record in enumerate(records):
        bucket = (_series(record), place if level == "all" else _bucket(record.at, level))
        if bucket not in first or record.at < records[first[bucket]].at:
            first[bucket] = place
    kept = set(first.values())
    return [n for n, record in enumerate(records) if n in kept or (record.run_id, record.cell) in marked]


def _series(record: Record) -> Hashable:
    return record.benchmark, record.cell, record.fingerprint, record.control_id, record.ref


def _bucket(at: str, level: Kept) -> Hashable:
    day = date.fromisoformat(at[:10])
    return day if level == "day" else day.isocalendar()[:2]


def _last_day(shard: str) -> date:
    year, month = (int(part) for part in shard.removeprefix("records/").removesuffix(".jsonl").split("-"))
    return date(year, month, calendar.monthrange(year, month)[1])
