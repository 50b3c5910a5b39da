"""Thin old records gradually: choose which lines of a month are kept. Pure.

Thinned records stay in the history of the branch, as an ordinary commit removes them.
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


def choose_level(shard: str, now: datetime) -> Kept:
    """Choose how much of a month to keep, by the age of its last day: all, one record per day, or one per week."""
    year, month = (int(part) for part in shard.removeprefix("records/").removesuffix(".jsonl").split("-"))
    last_day = date(year, month, calendar.monthrange(year, month)[1])
    age_days = (now.astimezone(UTC).date() - last_day).days
    return "all" if age_days <= ALL_DAYS else "day" if age_days <= DAILY_DAYS else "week"


def is_due(shard: str, kept: Kept, now: datetime) -> bool:
    """Return whether a month should be thinned further than it was."""
    return _ORDER.index(choose_level(shard, now)) > _ORDER.index(kept)


def select_kept(records: Sequence[Record], level: Kept, marks: Collection[tuple[str, str]] = ()) -> list[int]:
    """Select the places of the records to keep, in order: the first of each day or week, and every marked one.

    Runs of unchanged code are all kept, as their errors are counted.

    A cell of one benchmark on one kind of machine, against one control, is a series; each series is thinned separately.
    `marks` are (run id, cell).
    """
    marked = set(marks)
    first: dict[Hashable, int] = {}
    for place, record in enumerate(records):
        series = (record.benchmark, record.cell, record.fingerprint, record.control_id, record.ref)
        bucket = (series, place if level == "all" else _choose_bucket(record.at, level))
        if bucket not in first or record.at < records[first[bucket]].at:
            first[bucket] = place
    kept = set(first.values())
    return [
        place
        for place, record in enumerate(records)
        if place in kept or record.unchanged is not None or (record.run_id, record.cell) in marked
    ]


def _choose_bucket(at: str, level: Kept) -> Hashable:
    day = date.fromisoformat(at[:10])
    return day if level == "day" else day.isocalendar()[:2]
