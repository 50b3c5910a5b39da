"""A history in a plain folder: processes of one machine may write in parallel, and a killed writer does no harm.

A change is first written in full next to the files, then made final by one rename, then moved into place. The next
process finishes what a killed writer has begun.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from bench_action.history.layout import INDEX, name_blob, select_shards
from bench_action.history.store import ConflictError, Snapshot
from bench_action.model.errors import InputError, PublishError

_PENDING: Final = ".pending"
_UNFINISHED: Final = ".unfinished"
_RECORDS: Final = "records"
_LOCK_S = 60.0


class Folder:
    """A Place: a folder, which the first write creates."""

    def __init__(self, path: Path, *, lock_s: float = _LOCK_S) -> None:
        """Refuse a `path` that is not a folder with InputError. `lock_s`: how long to wait for other writers."""
        self._path, self._lock_s = path, lock_s
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is not a folder", advice="--store takes a folder or a git repository")

    @property
    def name(self) -> str:
        """Name of the place in messages."""
        return str(self._path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers of this machine out."""
        with self._translate_errors():
            self._path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with self._translate_errors():
                self._wait_for_lock(handle)
                self._finish_pending()
            yield
        finally:
            os.close(handle)  # which unlocks

    def take_snapshot(self) -> Snapshot:
        """Take a snapshot, after finishing the change that a killed writer has left."""
        if (self._path / _PENDING).exists():
            with contextlib.suppress(PublishError), self.lock():  # a user who may only read sees the files as they are
                pass
        with self._translate_errors():
            files = dict.fromkeys(self._list_files(), "")
            version = name_blob((self._path / INDEX).read_bytes()) if INDEX in files else ""
        return Snapshot(version, files, self._read)

    def write(self, snapshot: Snapshot, files: Mapping[str, bytes], message: str) -> str:  # noqa: ARG002 - not stored
        """Write files while the lock is held, so that nobody who takes the lock can be faster."""
        with self._translate_errors():
            index = self._path / INDEX
            if (name_blob(index.read_bytes()) if index.exists() else "") != snapshot.version:
                raise ConflictError(f"{index} has changed in the meantime")
            self._write_pending(files)
            self._finish_pending()
        return name_blob(files[INDEX])

    def contains(self, snapshot: Snapshot, version: str) -> bool:  # noqa: ARG002
        """Return True: a folder has no past that could be checked."""
        return True

    def _list_files(self) -> Iterator[str]:
        if not self._path.exists():
            return
        for entry in self._path.iterdir():
            if entry.name == _RECORDS and entry.is_dir():
                yield from select_shards(f"{_RECORDS}/{file.name}" for file in entry.iterdir())
            elif entry.name not in {_PENDING, _UNFINISHED}:
                yield entry.name

    def _read(self, paths: Collection[str]) -> dict[str, bytes]:
        with self._translate_errors():
            return {path: (self._path / path).read_bytes() for path in paths}

    def _write_pending(self, files: Mapping[str, bytes]) -> None:
        """Write a whole change next to the files; its rename makes it final."""
        unfinished = self._path / _UNFINISHED
        for path, content in files.items():
            target = unfinished / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _sync(target.parent)
        _sync(unfinished)
        unfinished.rename(self._path / _PENDING)
        _sync(self._path)

    def _finish_pending(self) -> None:
        """Move a final change into place, also one that was moved in part, and remove an unfinished one."""
        shutil.rmtree(self._path / _UNFINISHED, ignore_errors=True)
        pending = self._path / _PENDING
        if not pending.exists():
            return
        for source in sorted(path for path in pending.rglob("*") if path.is_file()):
            target = self._path / source.relative_to(pending)
            target.parent.mkdir(exist_ok=True)
            source.replace(target)
            _sync(target.parent)
        _sync(self._path)
        shutil.rmtree(pending)

    def _wait_for_lock(self, handle: int) -> None:
        until = time.monotonic() + self._lock_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise PublishError(
                        f"another process has locked {self._path} for {self._lock_s:.0f} s", advice="end it, or wait"
                    ) from None
                time.sleep(0.01)
            else:
                return

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PublishError(
                f"could not read or write the history in {self._path}",
                cause=str(error),
                advice="check the folder's permissions and the free space on its disk, or choose another --store",
            ) from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
