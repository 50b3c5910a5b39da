"""A run's folder: data, logs, and who owns it, so that the next run can clear up after one that was killed."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil

from bench_action.engine.local.processes import Account, end_all, family, marked, working_in
from bench_action.engine.local.shared_memory import free_shared_memory
from bench_action.engine.ownership import Ownership, is_abandoned
from bench_action.model.errors import StackError

_PREFIX = "bench-action-run-"
_OWNER, _STARTED = "owner.json", "started"
_NEEDED_MIB = 500  # an empty cluster takes 40 MiB, each database 8, and the log of what is written the rest
_TRIES, _PAUSE_S = 5, 0.1  # a process that is just ending may still write into it
_MEMORY = Path("/dev/shm")  # noqa: S108 (data in memory, as on a container's tmpfs)


class RunFolder:
    """Where everything of one run lies."""

    def __init__(self, owner: Ownership) -> None:
        self._owner = owner
        self._account: Account | None = None
        self.path = _place() / f"{_PREFIX}{owner.run_id}"

    def make(self, account: Account | None) -> None:
        """Make it. Raises StackError where there is no room."""
        self._account = account
        try:
            self.path.mkdir(mode=0o700)
            self.give(self.path)
            # ours also where the folder is not: what they say decides whom a later run, perhaps root's, ends
            (self.path / _OWNER).write_text(json.dumps(asdict(self._owner)), encoding="utf-8")
            (self.path / _STARTED).touch()
        except OSError as error:
            raise StackError(
                f"the run's folder {self.path} cannot be made: {error}", advice="TMPDIR names another place"
            ) from error

    def note(self, name: str, pid: int) -> None:
        """Remember a process, for the agent (its present number) and for whoever may have to clear up."""
        (self.path / f"{name}.pid").write_text(str(pid), encoding="ascii")
        with (self.path / _STARTED).open("a", encoding="ascii") as file:
            file.write(f"{pid} {psutil.Process(pid).create_time()}\n")

    def give(self, path: Path) -> None:
        """Everything below a path to the account that services run as."""
        if self._account is None:
            return
        for folder, _, files in os.walk(path):
            os.chown(folder, self._account.uid, self._account.gid)
            for name in files:
                os.chown(Path(folder) / name, self._account.uid, self._account.gid)

    def remove(self) -> None:
        """Remove it; nothing where it is gone. Raises StackError where it cannot be removed."""
        _remove(self.path)


def sweep_folders() -> list[str]:
    """End and remove what runs that are gone have left; the names of their folders. Raises StackError."""
    swept = []
    for folder in _left():
        end_all(partial(_processes, folder), wait_s=5.0)
        _remove(folder)
        swept.append(folder.name)
    return swept


def _processes(folder: Path) -> list[psutil.Process]:
    return [*_noted(folder), *marked(folder.name.removeprefix(_PREFIX)), *working_in(folder)]


def _remove(folder: Path) -> None:
    for data in folder.glob("*-data"):
        free_shared_memory(data)
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_S)
    raise StackError(f"the run's folder {folder} cannot be removed", advice=f"rm -r {folder}")


def _left() -> Iterator[Path]:
    # also where today's runs would not go: that depends on how much memory is free
    for place in dict.fromkeys((_MEMORY, Path(tempfile.gettempdir()))):
        for folder in place.glob(f"{_PREFIX}*"):
            try:
                if any((folder / name).lstat().st_uid != os.getuid() for name in (_OWNER, _STARTED)):
                    continue
                owner = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
                gone = is_abandoned(owner["process"], str(owner["expires_at"]), now=time.time())
            except (OSError, ValueError, KeyError):
                continue  # somebody else's, or being made at this moment
            if gone:
                yield folder


def _noted(folder: Path) -> list[psutil.Process]:
    lines = (folder / _STARTED).read_text(encoding="ascii").splitlines()
    noted = [line.split() for line in lines]
    return [member for pid, started in noted for member in family(int(pid), float(started))]


def _place() -> Path:
    """Memory, where there is enough of it, as a disk's mood is not what is measured."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED_MIB * 1024**2:
        return _MEMORY
    return Path(tempfile.gettempdir())
