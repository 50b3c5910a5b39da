"""A store in any place: take a snapshot, plan the change, write it; if another writer was faster, start over."""

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from bench_action.history import changes
from bench_action.history.changes import Change
from bench_action.history.layout import (
    INDEX,
    Index,
    find_difference,
    name_blob,
    parse_index,
    require_history,
    select_shards,
)
from bench_action.history.record import REBUILT, Record, normalize_time
from bench_action.history.store import ConflictError, InconsistencyError, Place, Snapshot, UncertainError
from bench_action.model.errors import InputError, PublishError

_PATIENCE_S = 300.0  # for other writers: at GitHub, where a write takes seconds, twenty in parallel need two minutes
_UNCERTAIN = 4  # writes without an answer: more are no accident
_SNAPSHOTS = 5
_MONTHS_IN_MEMORY = 12
_LONGEST_PAUSE_S = 20.0


class History:
    """A Store. `warn` receives what a user should know although nothing failed."""

    def __init__(
        self,
        place: Place,
        *,
        warn: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._place, self._warn, self._now, self._sleep = place, warn, now, sleep
        self._patience_s = patience_s
        self._seen = ""  # the last version

    def index(self) -> Index:
        """Read the index."""
        return self._take_snapshot()[1]

    def read(self, since: str = "", cells: Collection[str] = ()) -> Iterator[Record]:
        """Read records, the oldest first; months are read as the iterator reaches them."""
        since = _parse_since(since)
        snapshot, index = self._take_snapshot()
        wanted = index.find_shards(since, cells)
        for start in range(0, len(wanted), _MONTHS_IN_MEMORY):
            months = self._read_consistent(snapshot, index, wanted[start : start + _MONTHS_IN_MEMORY])
            for path, content in months.items():
                records = changes.parse_shard(content, f"{self._place.name}, {path}")
                selected = (record for record in records if record.at >= since and (not cells or record.cell in cells))
                yield from sorted(selected, key=lambda record: record.at)

    def append(self, records: Iterable[Record]) -> int:
        """Append records of new runs, then thin months that have become old; if thinning fails, only warn."""
        unique = list({(record.run_id, record.cell): record for record in records}.values())
        accepted, refused = changes.refuse_future(unique, self._now())
        if refused:
            self._warn(refused)
        change = None
        if accepted:
            change = self._update(lambda snapshot, index: self._plan_append(snapshot, index, accepted))
        if change is None:
            return 0
        for warning in changes.warn_about_times(change, accepted):
            self._warn(warning)
        try:
            if changes.find_due(change.index, self._now()):
                self._update(self._plan_thinning)
        except (InputError, PublishError) as error:
            self._warn(f"old records were not thinned: {error.what}")
        return change.new

    def mark(self, marks: Iterable[tuple[str, str]]) -> None:
        """Mark records that must never be thinned."""
        wanted = set(marks)
        self._update(lambda _, index: changes.mark(index, wanted))

    def _plan_append(self, snapshot: Snapshot, index: Index, records: Sequence[Record]) -> Change | None:
        new = changes.select_new(index, records)
        contents = self._read_shards(snapshot, index, changes.name_shards(new) & set(index.shards))
        return changes.append(index, contents, new, set(snapshot.files))

    def _plan_thinning(self, snapshot: Snapshot, index: Index) -> Change | None:
        paths = changes.find_due(index, self._now())
        return changes.thin(index, self._read_shards(snapshot, index, paths), self._now()) if paths else None

    def _update(self, plan: Callable[[Snapshot, Index], Change | None]) -> Change | None:
        """Write a change, trying again if another writer was faster; None if there was nothing to change.

        Raises PublishError if no try succeeded for long enough.
        """
        tried: dict[str, Change] = {}
        began, uncertain, attempt = time.monotonic(), 0, 0
        while True:
            attempt += 1
            started = time.monotonic()
            try:
                with self._place.lock():
                    snapshot, index = self._take_snapshot()
                    change = plan(snapshot, index)
                    if change is None:  # perhaps because an earlier try succeeded, although its answer was lost
                        landed = (done for version, done in tried.items() if self._place.contains(snapshot, version))
                        return next(landed, None)
                    self._seen = self._write(snapshot, change, tried)
                    return change
            except ConflictError as error:
                uncertain += isinstance(error, UncertainError)
                ended = time.monotonic()
                if uncertain >= _UNCERTAIN or ended - began > self._patience_s:
                    raise PublishError(
                        f"could not write the history in {self._place.name} in {attempt} tries",
                        cause=str(error),
                        advice="append the same result again later; a run that is there already is not written twice",
                    ) from error
                self._sleep(choose_pause_s(ended - started, attempt))

    def _write(self, snapshot: Snapshot, change: Change, tried: dict[str, Change]) -> str:
        try:
            return self._place.write(snapshot, change.files, change.message)
        except ConflictError as error:
            if error.version:
                tried[error.version] = change
            raise

    def _take_snapshot(self) -> tuple[Snapshot, Index]:
        """Take a snapshot with a matching index, in several tries: an answer may be old, a folder half written."""
        for attempt in range(1, _SNAPSHOTS + 1):
            snapshot = self._place.take_snapshot()
            try:
                if self._seen and self._seen != snapshot.version and not self._place.contains(snapshot, self._seen):
                    raise moved_back_error(self._place.name, self._seen, snapshot.version)
                index = self._read_index(snapshot)
            except InconsistencyError:
                if attempt == _SNAPSHOTS:
                    raise
                self._sleep(0.05 * 2**attempt)
            else:
                self._seen = snapshot.version or self._seen
                return snapshot, index
        raise AssertionError  # the last try has raised

    def _read_index(self, snapshot: Snapshot) -> Index:
        require_history(snapshot.files, self._place.name)
        if INDEX not in snapshot.files:
            return changes.rebuild_index(snapshot.read(select_shards(snapshot.files)), self._place.name)
        index = parse_index(snapshot.read([INDEX])[INDEX], self._place.name)
        if difference := find_difference(index, snapshot.files):
            raise self._inconsistency_error(difference)
        return index

    def _read_consistent(self, snapshot: Snapshot, index: Index, paths: Collection[str]) -> dict[str, bytes]:
        """Read shards; if they no longer match the index, read them from a later snapshot."""
        for _ in range(_SNAPSHOTS - 1):
            try:
                return self._read_shards(snapshot, index, paths)
            except InconsistencyError:
                snapshot, index = self._take_snapshot()
        return self._read_shards(snapshot, index, paths)

    def _read_shards(self, snapshot: Snapshot, index: Index, paths: Collection[str]) -> dict[str, bytes]:
        contents = snapshot.read(sorted(paths)) if paths else {}
        for path, content in contents.items():
            if path not in index.shards or name_blob(content) != index.shards[path].blob:
                raise self._inconsistency_error(f"{path} does not match the index")
        return contents

    def _inconsistency_error(self, cause: str) -> InconsistencyError:
        return InconsistencyError(
            f"index and records of the history in {self._place.name} do not match",
            cause=f"{cause}: somebody edited it, or merged or force-pushed the branch",
            advice=f"nothing was written; go back to the last commit that bench-action made, or check the records and "
            f"delete {INDEX}: {REBUILT}",
        )


def choose_pause_s(took_s: float, attempt: int) -> float:
    """Choose the seconds until the next try: at random, within a window that grows with the time that a try takes."""
    return random.uniform(0, min(max(took_s, 0.01) * 2 ** min(attempt, 5), _LONGEST_PAUSE_S))


def moved_back_error(place: str, seen: str, now: str) -> InconsistencyError:
    """Build the error for a branch that no longer descends from what was seen in it."""
    tip = f"is at {now[:12]} now" if now else "is gone now"
    return InconsistencyError(
        f"the history in {place} was moved back: it was at {seen[:12]}, and {tip}",
        cause="somebody force-pushed or deleted the branch",
        advice=f"nothing was written; commit {seen} has the lost records: push it again, or append to the branch as it "
        "is in a new run",
    )


def _parse_since(since: str) -> str:
    """Parse a time, or a prefix of one such as 2026-11, which stays a prefix: text sorts as time."""
    try:
        if len(since) > 10:
            return normalize_time(since)
        datetime.fromisoformat(since + "2000-01-01"[len(since) :])
    except ValueError as error:
        raise InputError(
            f"{since!r} is not a time", advice="write it as 2026-11, 2026-11-23 or 2026-11-23T10:00:00Z"
        ) from error
    return since
