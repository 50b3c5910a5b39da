"""A history in a plain folder: several writers at once on one machine, and one that is killed does no harm.

A change is first written whole beside the files, then made to count by one rename, then moved to its places. Whoever
comes next finishes what a killed writer has begun.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from bench_action.history.layout import INDEX, blob_name, shards_in
from bench_action.history.store import OvertakenError, Snapshot
from bench_action.model.errors import InputError, PublishError

_PENDING: Final = ".pending"
_UNFINISHED: Final = ".unfinished"
_RECORDS: Final = "records"
_LOCK_S = 60.0


class Folder:
    """A Place: a folder, which is made at the first write."""

    def __init__(self, path: Path, *, lock_s: float = _LOCK_S) -> None:
        """Raises InputError where `path` is no folder."""
        self._path, self._lock_s = path, lock_s
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is no folder", advice="--store: a folder or a git repository")

    @property
    def name(self) -> str:
        """As `Place` says."""
        return str(self._path)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Alone, as far as writers on this machine go."""
        with self._explained():
            self._path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with self._explained():
                self._lock(handle)
                self._settle()
            yield
        finally:
            os.close(handle)  # which unlocks

    def look(self) -> Snapshot:
        """What is there; a change that a killed writer has left is made first."""
        if (self._path / _PENDING).exists():
            with contextlib.suppress(PublishError), self.turn():  # whoever may only read sees what there is
                pass
        with self._explained():
            files = dict.fromkeys(self._names(), "")
            at = blob_name((self._path / INDEX).read_bytes()) if INDEX in files else ""
        return Snapshot(at, files, self._read)

    def write(self, view: Snapshot, files: Mapping[str, bytes], message: str) -> str:  # noqa: ARG002 - no place for it
        """Within a turn, so that nobody else can be faster who takes turns."""
        with self._explained():
            index = self._path / INDEX
            if (blob_name(index.read_bytes()) if index.exists() else "") != view.at:
                raise OvertakenError(f"{index} has changed meanwhile")
            self._prepare(files)
            self._settle()
        return blob_name(files[INDEX])

    def holds(self, view: Snapshot, moment: str) -> bool:  # noqa: ARG002
        """A folder has no past that could be asked for."""
        return True

    def _names(self) -> Iterator[str]:
        if not self._path.exists():
            return
        for entry in self._path.iterdir():
            if entry.name == _RECORDS and entry.is_dir():
                yield from shards_in(f"{_RECORDS}/{one.name}" for one in entry.iterdir())
            elif entry.name not in {_PENDING, _UNFINISHED}:
                yield entry.name

    def _read(self, paths: Collection[str]) -> dict[str, bytes]:
        with self._explained():
            return {path: (self._path / path).read_bytes() for path in paths}

    def _prepare(self, files: Mapping[str, bytes]) -> None:
        """A whole change beside the files; from its rename on it counts."""
        place = self._path / _UNFINISHED
        for path, content in files.items():
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _sync(target.parent)
        _sync(place)
        place.rename(self._path / _PENDING)
        _sync(self._path)

    def _settle(self) -> None:
        """Move a change to its places; again, where that was begun. What does not count yet is removed."""
        shutil.rmtree(self._path / _UNFINISHED, ignore_errors=True)
        place = self._path / _PENDING
        if not place.exists():
            return
        for source in sorted(one for one in place.rglob("*") if one.is_file()):
            target = self._path / source.relative_to(place)
            target.parent.mkdir(exist_ok=True)
            source.replace(target)
            _sync(target.parent)
        _sync(self._path)
        shutil.rmtree(place)

    def _lock(self, handle: int) -> None:
        until = time.monotonic() + self._lock_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise PublishError(
                        f"another process has kept {self._path} for {self._lock_s:.0f} s", advice="end it, or wait"
                    ) from None
                time.sleep(0.01)
            else:
                return

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PublishError(
                f"the history in {self._path} cannot be read or written",
                cause=str(error),
                advice="rights, and room on its disk; or another --store",
            ) from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
