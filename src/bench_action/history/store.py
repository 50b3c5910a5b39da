"""The interfaces of a history (`Store`) and of the place that holds its files (`Place`)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench_action.history.layout import Index
from bench_action.history.record import Record
from bench_action.model.errors import PublishError


class Store(Protocol):
    """Records of many runs. Every method raises InputError for bad records, PublishError for a failing place."""

    def append(self, records: Iterable[Record]) -> int:
        """Write the records of new runs, all records of a run together, and return how many were new.

        Records from the future are refused: reported, and not written.
        """
        ...

    def read(self, since: str = "", cells: Collection[str] = ()) -> Iterator[Record]:
        """Read records of runs that began at `since` (ISO 8601, or a prefix of it) or later, the oldest first.

        `cells` (`variant · profile`): only of these; of all if empty.
        """
        ...

    def index(self) -> Index:
        """Read the index, which lists the contents of each month."""
        ...

    def mark(self, marks: Iterable[tuple[str, str]]) -> None:
        """Mark records by (run id, cell) so that they are never thinned: each is the first after a change."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a place at one moment.

    `version` identifies the moment (a commit, or the index's name); empty if there is nothing yet. `files`: path →
    git's name of the file, empty if unknown. `read` reads several files.
    """

    version: str
    files: Mapping[str, str]
    read: Callable[[Collection[str]], dict[str, bytes]]


class Place(Protocol):
    """A folder or branch that holds a history. It knows files, not records, and raises PublishError and InputError."""

    @property
    def name(self) -> str:
        """Name of the place in messages."""
        ...

    def lock(self) -> AbstractContextManager[object]:
        """Keep other writers out from before a snapshot until after its write, if the place can do that."""
        ...

    def take_snapshot(self) -> Snapshot:
        """Take a snapshot of the place as it is now."""
        ...

    def write(self, snapshot: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """Replace files of a snapshot in one step, leave all others, and return the new version.

        Raises ConflictError if the place has changed since the snapshot, UncertainError if the outcome is unknown.
        """
        ...

    def contains(self, snapshot: Snapshot, version: str) -> bool:
        """Return whether a snapshot descends from a version, which may be that of a write that failed."""
        ...


class ConflictError(PublishError):
    """Another writer was faster; `version` is what this write would have created, empty if it did not get that far."""

    def __init__(self, what: str, *, version: str = "") -> None:
        super().__init__(what)
        self.version = version


class UncertainError(ConflictError):
    """The write was sent, but no answer came back."""


class InconsistencyError(PublishError):
    """Index and records do not match, or earlier commits have disappeared."""
