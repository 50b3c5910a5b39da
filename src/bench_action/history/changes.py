"""What a step does to the files of a history: append, mark, thin, make the index anew. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench_action.history.layout import (
    INDEX,
    README,
    Index,
    appended,
    blob_name,
    describe,
    render_index,
    render_readme,
    run_hash,
    shard_of,
)
from bench_action.history.record import Record, parse_line
from bench_action.history.retention import is_due, level_of
from bench_action.history.retention import thin as kept_places
from bench_action.model.errors import InputError
from bench_action.model.wording import plural

_OVERLAP = timedelta(days=1)  # runs side by side end in any order
_AT_ONCE = 3  # months thinned by one append


@dataclass(frozen=True, slots=True)
class Change:
    """Files to replace as one step, the index that is among them, and how many records are new."""

    files: dict[str, bytes]
    index: Index
    message: str
    new: int = 0
    newest_before: str = ""


def fresh(index: Index, records: Sequence[Record]) -> list[Record]:
    """Those whose run was never written."""
    known = index.runs()
    return [record for record in records if run_hash(record.run_id) not in known]


def shards_of(records: Sequence[Record]) -> set[str]:
    """The months that they belong to."""
    return {shard_of(record.at) for record in records}


def append(
    index: Index, contents: Mapping[str, bytes], records: Sequence[Record], there: Collection[str]
) -> Change | None:
    """Records of new runs, each at the end of its month. `contents`: those of these months that exist."""
    if not records and (INDEX in there or not index.shards):
        return None
    files, shards = {}, dict(index.shards)
    for path in sorted(shards_of(records)):
        own = [record for record in records if shard_of(record.at) == path]
        files[path], shards[path] = appended(contents.get(path, b""), shards.get(path), own)
    if README not in there:
        files[README] = render_readme()
    later = index.model_copy(update={"shards": shards})
    files[INDEX] = render_index(later)
    runs = list(dict.fromkeys(record.run_id for record in records))
    message = f"Append {plural(len(records), 'record')} of {', '.join(runs[:3])}{', …' if len(runs) > 3 else ''}"
    return Change(files, later, message if runs else "Make the index anew", len(records), index.newest)


def mark(index: Index, marks: Collection[tuple[str, str]]) -> Change | None:
    """Records that are never to be thinned."""
    if not (new := set(marks) - set(index.marks)):
        return None
    later = index.model_copy(update={"marks": tuple(sorted({*index.marks, *new}))})
    return Change({INDEX: render_index(later)}, later, f"Keep {plural(len(new), 'record')} after a change")


def due(index: Index, now: datetime) -> list[str]:
    """Months that have become old enough to be thinned; a few at a time."""
    today = _sane(index, now)
    return [path for path, shard in sorted(index.shards.items()) if is_due(path, shard.kept, today)][:_AT_ONCE]


def thin(index: Index, contents: Mapping[str, bytes], now: datetime) -> Change:
    """The months in `contents` with fewer lines; a line that stays is left as it is. Raises InputError."""
    files, shards, gone = {}, dict(index.shards), 0
    for path, content in contents.items():
        lines = [line for line in content.split(b"\n") if line.strip()]
        records = list(parse(content, path))
        level = level_of(path, _sane(index, now))
        places = kept_places(records, level, index.marks)
        rest = b"".join(lines[place] + b"\n" for place in places)
        gone += len(lines) - len(places)
        if rest != content:
            files[path] = rest
        # `first` and `cells` are right still, as the first of each cell stays; `runs` stays, as no run comes twice
        known = {"records": len(places), "bytes": len(rest), "blob": blob_name(rest), "kept": level}
        shards[path] = shards[path].model_copy(update=known)
    later = index.model_copy(update={"shards": shards})
    return Change(
        {**files, INDEX: render_index(later)}, later, f"Thin {plural(gone, 'record')} in {', '.join(contents)}"
    )


def rebuild(contents: Mapping[str, bytes], place: str) -> Index:
    """The index of months that have lost theirs. Raises InputError for a broken line."""
    shards = {}
    for path, content in contents.items():
        records = list(parse(content, f"{place}, {path}"))
        if not records:
            raise InputError(f"{path} of the history has no records", where=place, advice="delete it")
        shards[path] = describe(content, None, records)
    return Index(shards=shards)


def parse(content: bytes, where: str) -> Iterator[Record]:
    """The records of a month, as they stand. Raises InputError with the line's number."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield parse_line(line, f"{where}, line {number}")


def is_from_the_future(at: str, now: datetime) -> bool:
    """Whether a run began more than a day after now: a clock is wrong."""
    return at > _text(now + _OVERLAP)


def refuse_future(records: Sequence[Record], now: datetime) -> tuple[list[Record], str]:
    """Leave out what is from the future, which would be the newest run for years; and one sentence about that."""
    kept = [record for record in records if not is_from_the_future(record.at, now)]
    if len(kept) == len(records):
        return kept, ""
    newest = max(record.at for record in records)
    return kept, (
        f"{plural(len(records) - len(kept), 'record')} not appended: the run of {newest} is from the future, as it is "
        f"{_text(now)} by this machine's clock. One of the two clocks is wrong: set it, and measure again"
    )


def odd_times(done: Change, records: Sequence[Record]) -> Iterator[str]:
    """Report a run that is much older than the newest: it is stored all the same."""
    times = sorted(record.at for record in records)
    if not done.new:
        return
    if done.newest_before and times[0] < _text(_moment(done.newest_before) - _OVERLAP):
        yield (
            f"a run of {times[0]} was appended after one of {done.newest_before}: unless it is an old one, a clock "
            f"went back. It is in {shard_of(times[0])}"
        )


def _sane(index: Index, now: datetime) -> datetime:
    """A clock that runs ahead, ours or that of one run, must not make everything old: the earlier of both."""
    return min(now, _moment(index.newest)) if index.newest else now


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
