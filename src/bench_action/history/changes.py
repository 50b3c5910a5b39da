"""Plan changes to the files of a history: append, mark, thin, rebuild the index. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench_action.history.layout import (
    INDEX,
    README,
    Index,
    append_records,
    describe_shard,
    hash_run,
    name_blob,
    name_shard,
    render_index,
    render_readme,
)
from bench_action.history.record import Record, parse_line
from bench_action.history.retention import choose_level, is_due, select_kept
from bench_action.model.errors import InputError
from bench_action.model.wording import plural

_OVERLAP = timedelta(days=1)  # runs in parallel end in any order
_THINNED_PER_APPEND = 3  # months


@dataclass(frozen=True, slots=True)
class Change:
    """Files to replace in one step, the new index (also among the files), and the number of new records."""

    files: dict[str, bytes]
    index: Index
    message: str
    new: int = 0
    newest_before: str = ""


def select_new(index: Index, records: Sequence[Record]) -> list[Record]:
    """Select the records of runs that the history never had."""
    known = index.read_run_hashes()
    return [record for record in records if hash_run(record.run_id) not in known]


def name_shards(records: Sequence[Record]) -> set[str]:
    """Name the monthly files that the records belong to."""
    return {name_shard(record.at) for record in records}


def append(
    index: Index, contents: Mapping[str, bytes], records: Sequence[Record], existing: Collection[str]
) -> Change | None:
    """Append records of new runs, each to its month.

    `contents`: the months among `name_shards(records)` that exist; `existing`: paths of all files. None if there is
    nothing to write.
    """
    if not records and (INDEX in existing or not index.shards):
        return None
    files, shards = {}, dict(index.shards)
    for path in sorted(name_shards(records)):
        own = [record for record in records if name_shard(record.at) == path]
        files[path], shards[path] = append_records(contents.get(path, b""), shards.get(path), own)
    if README not in existing:
        files[README] = render_readme()
    updated = index.model_copy(update={"shards": shards})
    files[INDEX] = render_index(updated)
    runs = list(dict.fromkeys(record.run_id for record in records))
    message = f"Append {plural(len(records), 'record')} of {', '.join(runs[:3])}{', …' if len(runs) > 3 else ''}"
    return Change(files, updated, message if runs else "Rebuild the index", len(records), index.newest)


def mark(index: Index, marks: Collection[tuple[str, str]]) -> Change | None:
    """Mark records that must never be thinned. None if all of them are marked already."""
    if not (new := set(marks) - set(index.marks)):
        return None
    updated = index.model_copy(update={"marks": tuple(sorted({*index.marks, *new}))})
    return Change({INDEX: render_index(updated)}, updated, f"Keep {plural(len(new), 'record')} after a change")


def find_due(index: Index, now: datetime) -> list[str]:
    """Find months that are old enough to be thinned; a few at a time."""
    today = _limit_clock(index, now)
    due = [path for path, shard in sorted(index.shards.items()) if is_due(path, shard.kept, today)]
    return due[:_THINNED_PER_APPEND]


def thin(index: Index, contents: Mapping[str, bytes], now: datetime) -> Change:
    """Remove lines from the months in `contents`; the remaining lines do not change. Raises InputError."""
    files, shards, removed = {}, dict(index.shards), 0
    for path, content in contents.items():
        lines = [line for line in content.split(b"\n") if line.strip()]
        level = choose_level(path, _limit_clock(index, now))
        kept = select_kept(list(parse_shard(content, path)), level, index.marks)
        rest = b"".join(lines[place] + b"\n" for place in kept)
        removed += len(lines) - len(kept)
        if rest != content:
            files[path] = rest
        # `first` and `cells` stay correct, as the first record of each cell is kept; `runs` stays, so that no run of
        # this month is appended a second time
        known = {"records": len(kept), "bytes": len(rest), "blob": name_blob(rest), "kept": level}
        shards[path] = shards[path].model_copy(update=known)
    updated = index.model_copy(update={"shards": shards})
    message = f"Thin {plural(removed, 'record')} in {', '.join(contents)}"
    return Change({**files, INDEX: render_index(updated)}, updated, message)


def rebuild_index(contents: Mapping[str, bytes], place: str) -> Index:
    """Rebuild a lost index from the months. Raises InputError for a broken line."""
    shards = {}
    for path, content in contents.items():
        records = list(parse_shard(content, f"{place}, {path}"))
        if not records:
            raise InputError(f"{path} of the history has no records", where=place, advice="delete it")
        shards[path] = describe_shard(content, None, records)
    return Index(shards=shards)


def parse_shard(content: bytes, where: str) -> Iterator[Record]:
    """Parse the records of a month, in the order of its lines. Raises InputError with the line's number."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield parse_line(line, f"{where}, line {number}")


def is_from_the_future(at: str, now: datetime) -> bool:
    """Return whether a run began more than a day after now: some clock is wrong."""
    return at > _format_time(now + _OVERLAP)


def refuse_future(records: Sequence[Record], now: datetime) -> tuple[list[Record], str]:
    """Drop records from the future, which would be the newest run for years, and explain it in one sentence.

    The sentence is empty if nothing was dropped.
    """
    kept = [record for record in records if not is_from_the_future(record.at, now)]
    if len(kept) == len(records):
        return kept, ""
    newest = max(record.at for record in records)
    return kept, (
        f"{plural(len(records) - len(kept), 'record')} not appended: the run of {newest} is from the future, as this "
        f"machine's clock says {_format_time(now)}. One of the two clocks is wrong: set it, and measure again"
    )


def warn_about_times(change: Change, records: Sequence[Record]) -> Iterator[str]:
    """Yield a sentence if a run is much older than the newest one; it is stored anyway."""
    if not change.new or not change.newest_before:
        return
    oldest = min(record.at for record in records)
    if oldest < _format_time(datetime.fromisoformat(change.newest_before) - _OVERLAP):
        yield (
            f"a run of {oldest} was appended after one of {change.newest_before}: unless it is an old run, a clock "
            f"went back. It is in {name_shard(oldest)}"
        )


def _limit_clock(index: Index, now: datetime) -> datetime:
    """Return now, or the newest record's time if that is earlier: one clock that is ahead must not age every record."""
    return min(now, datetime.fromisoformat(index.newest)) if index.newest else now


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
