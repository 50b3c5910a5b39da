"""What a history offers (`Store`), and what it needs of the place where it lies (`Place`)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench_action.history.layout import Index
from bench_action.history.record import Record
from bench_action.model.errors import PublishError


class Store(Protocol):
    """Records of many runs. Everything raises InputError for what is wrong with them, PublishError for the place."""

    def append(self, records: Iterable[Record]) -> int:
        """Write the records of runs that are not there yet, each run's together; how many were new.

        Records from the future are refused: reported, and not written.
        """
        ...

    def read(self, since: str = "", cells: Collection[str] = ()) -> Iterator[Record]:
        """Records of runs that began at `since` (ISO 8601, or the beginning of it) or later, the oldest first.

        `cells` (`variant · profile`): of these only; all, where none is named.
        """
        ...

    def index(self) -> Index:
        """What is in which month."""
        ...

    def mark(self, marks: Iterable[tuple[str, str]]) -> None:
        """(run id, cell) of records that are never to be thinned, as each is the first after a change."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A place as it was at one moment. `at` names the moment; it is empty where there is nothing yet.

    `files` has git's name of each file by its path, empty where it is not known; `read` gets several at once.
    """

    at: str
    files: Mapping[str, str]
    read: Callable[[Collection[str]], dict[str, bytes]]


class Place(Protocol):
    """Where a history lies. It knows files and no records, and raises PublishError and InputError."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    def turn(self) -> AbstractContextManager[object]:
        """From before a look until after its write: a place that can keeps other writers out meanwhile."""
        ...

    def look(self) -> Snapshot:
        """As it is now."""
        ...

    def write(self, view: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """Replace files as one step from what was seen, and leave all others; how this moment is called.

        Raises OvertakenError where it is not as it was seen any more, UncertainError where nobody knows if it took.
        """
        ...

    def holds(self, view: Snapshot, moment: str) -> bool:
        """Whether what was seen comes from an earlier moment, also one that a failed write would have made."""
        ...


class OvertakenError(PublishError):
    """Another writer was faster; `moment` is what this write would have been, empty where it did not get so far."""

    def __init__(self, what: str, *, moment: str = "") -> None:
        super().__init__(what)
        self.moment = moment


class UncertainError(OvertakenError):
    """The write was sent, and no answer came."""


class DisagreementError(PublishError):
    """Index and records do not belong together, or the past is gone."""
