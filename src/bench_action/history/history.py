"""A store in any place: look, work out the change, write it if nobody was faster, else look again."""

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from bench_action.history import changes
from bench_action.history.changes import Change
from bench_action.history.layout import INDEX, Index, blob_name, demand_ours, disagreement, parse_index, shards_in
from bench_action.history.record import Record, utc
from bench_action.history.store import DisagreementError, OvertakenError, Place, Snapshot, UncertainError
from bench_action.model.errors import BenchError, InputError, PublishError

_PATIENCE_S = 300.0  # for other writers: at GitHub, where a write takes seconds, twenty at once need two minutes
_UNCERTAIN = 4  # writes without an answer, then it is no accident
_LOOKS = 5
_AT_ONCE = 12  # months in memory
_LONGEST_PAUSE_S = 20.0


class History:
    """A Store. `tell` hears what a person should know though nothing failed."""

    def __init__(
        self,
        place: Place,
        *,
        tell: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._place, self._tell, self._now, self._sleep = place, tell, now, sleep
        self._patience_s = patience_s
        self._seen = ""

    def index(self) -> Index:
        """As `Store` says."""
        return self._look()[1]

    def read(self, since: str = "", cells: Collection[str] = ()) -> Iterator[Record]:
        """As `Store` says; the months are read as they are asked for."""
        since = _beginning(since)
        view, index = self._look()
        wanted = index.needed(since, cells)
        for start in range(0, len(wanted), _AT_ONCE):
            for path, content in self._contents(view, index, wanted[start : start + _AT_ONCE]).items():
                found = changes.parse(content, f"{self._place.name}, {path}")
                of_interest = (one for one in found if one.at >= since and (not cells or one.cell in cells))
                yield from sorted(of_interest, key=lambda record: record.at)

    def append(self, records: Iterable[Record]) -> int:
        """As `Store` says. Then months that have become old are thinned; that this fails is only told."""
        unique = list({(one.run_id, one.cell): one for one in records}.values())
        given, refused = changes.refuse_future(unique, self._now())
        if refused:
            self._tell(refused)
        done = self._update(lambda view, index: self._appended(view, index, given)) if given else None
        if done is None:
            return 0
        for line in changes.odd_times(done, given):
            self._tell(line)
        try:
            self._thin(done.index)
        except BenchError as error:
            self._tell(f"old records were not thinned: {error.what}")
        return done.new

    def mark(self, marks: Iterable[tuple[str, str]]) -> None:
        """As `Store` says."""
        wanted = set(marks)
        self._update(lambda _, index: changes.mark(index, wanted))

    def _thin(self, index: Index) -> None:
        if changes.due(index, self._now()):
            self._update(self._thinned)

    def _thinned(self, view: Snapshot, index: Index) -> Change | None:
        paths = changes.due(index, self._now())
        return changes.thin(index, self._fetch(view, index, paths), self._now()) if paths else None

    def _appended(self, view: Snapshot, index: Index, records: Sequence[Record]) -> Change | None:
        fresh = changes.fresh(index, records)
        contents = self._fetch(view, index, changes.shards_of(fresh) & set(index.shards))
        return changes.append(index, contents, fresh, set(view.files))

    def _update(self, plan: Callable[[Snapshot, Index], Change | None]) -> Change | None:
        """The change that was made; None where nothing was to be done. Raises PublishError after long enough."""
        tried: dict[str, Change] = {}
        began, uncertain, attempt = time.monotonic(), 0, 0
        while True:
            attempt += 1
            started = time.monotonic()
            try:
                with self._place.turn():
                    view, index = self._look()
                    change = plan(view, index)
                    if change is None:
                        return next((one for moment, one in tried.items() if self._place.holds(view, moment)), None)
                    self._seen = self._write(view, change, tried)
                    return change
            except OvertakenError as error:
                uncertain += isinstance(error, UncertainError)
                ended = time.monotonic()
                if uncertain >= _UNCERTAIN or ended - began > self._patience_s:
                    raise self._defeat(error, attempt) from error
                self._sleep(pause_s(ended - started, attempt))

    def _write(self, view: Snapshot, change: Change, tried: dict[str, Change]) -> str:
        try:
            return self._place.write(view, change.files, change.message)
        except OvertakenError as error:
            if error.moment:
                tried[error.moment] = change
            raise

    def _defeat(self, error: OvertakenError, attempt: int) -> PublishError:
        return PublishError(
            f"the history in {self._place.name} could not be written in {attempt} tries",
            cause=str(error),
            advice="append the same result again later; a run that is there already is not written twice",
        )

    def _look(self) -> tuple[Snapshot, Index]:
        """A view with an index that belongs to it; looks again, as an answer may be old and a folder half written."""
        for attempt in range(1, _LOOKS + 1):
            view = self._place.look()
            try:
                self._demand_past(view)
                index = self._index(view)
            except DisagreementError:
                if attempt == _LOOKS:
                    raise
                self._sleep(0.05 * 2**attempt)
            else:
                self._seen = view.at or self._seen
                return view, index
        raise AssertionError  # the last look has raised

    def _demand_past(self, view: Snapshot) -> None:
        if self._seen and self._seen != view.at and not self._place.holds(view, self._seen):
            raise moved_back(self._place.name, self._seen, view.at)

    def _index(self, view: Snapshot) -> Index:
        demand_ours(view.files, self._place.name)
        if INDEX not in view.files:
            return changes.rebuild(view.read(shards_in(view.files)), self._place.name)
        index = parse_index(view.read([INDEX])[INDEX], self._place.name)
        if difference := disagreement(index, view.files):
            raise self._disagreement(difference)
        return index

    def _contents(self, view: Snapshot, index: Index, paths: Collection[str]) -> dict[str, bytes]:
        """As `_fetch`, of a later moment where that one is gone."""
        for _ in range(_LOOKS - 1):
            try:
                return self._fetch(view, index, paths)
            except DisagreementError:
                view, index = self._look()
        return self._fetch(view, index, paths)

    def _fetch(self, view: Snapshot, index: Index, paths: Collection[str]) -> dict[str, bytes]:
        found = view.read(sorted(paths)) if paths else {}
        for path, content in found.items():
            if path not in index.shards or blob_name(content) != index.shards[path].blob:
                raise self._disagreement(f"{path} is not what the index says of it")
        return found

    def _disagreement(self, cause: str) -> DisagreementError:
        return DisagreementError(
            f"index and records of the history in {self._place.name} disagree",
            cause=f"{cause}: somebody edited it, or merged or force-pushed the branch",
            advice=f"nothing was written; go back to the last commit of "
            f"bench-action's own, or check the records and delete {INDEX}, which the next append makes anew",
        )


def pause_s(took_s: float, attempt: int) -> float:
    """Seconds until the next try: at random within a window that grows from how long a try takes."""
    return random.uniform(0, min(max(took_s, 0.01) * 2 ** min(attempt, 5), _LONGEST_PAUSE_S))


def moved_back(place: str, seen: str, now: str) -> DisagreementError:
    """The past that was seen is not the past any more."""
    return DisagreementError(
        f"the history in {place} was moved back: it had {seen[:12]}, and {now[:12] or 'is gone'} now",
        cause="somebody force-pushed or deleted the branch",
        advice=f"nothing was written; what it had is in commit {seen}: push that again, or append to what is there now "
        "with a new run",
    )


def _beginning(since: str) -> str:
    """A moment as records have it; a prefix such as 2026-11 stays one, as text sorts as time."""
    try:
        datetime.fromisoformat(since) if len(since) > 10 else datetime.fromisoformat(since + "2000-01-01"[len(since) :])
        return utc(since) if len(since) > 10 else since
    except ValueError as error:
        raise InputError(
            f"{since!r} is no time", advice="such as 2026-11, 2026-11-23 or 2026-11-23T10:00:00Z"
        ) from error
