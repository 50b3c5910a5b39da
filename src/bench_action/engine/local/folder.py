"""A run's folder: data, logs, and who owns it, so that the next run can clean up after a killed one."""

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

from bench_action.engine.local.accounts import Account, find_left
from bench_action.engine.local.processes import find_family, find_marked, find_working_in, kill_all
from bench_action.engine.local.shared_memory import free_shared_memory
from bench_action.engine.ownership import Ownership, is_abandoned, read_own_file
from bench_action.model.errors import StackError

_PREFIX = "bench-action-run-"
_OWNER, _PROCESSES, _HOME = "owner.json", "started", "home"
_NEEDED_MIB = 500  # an empty cluster takes 40 MiB, each database 8; the rest is for the write-ahead log
_TRIES, _PAUSE_S = 5, 0.1  # a process that is exiting may still write into it
_MEMORY = Path("/dev/shm")  # noqa: S108 (data in memory, as on a container's tmpfs)


class RunFolder:
    """The folder that contains everything of one run. Only we may write to it.

    `home` in it belongs to the account that services and subjects run as, and so do the folders that `give` is for.
    """

    def __init__(self, owner: Ownership) -> None:
        self._owner = owner
        self._account: Account | None = None
        self.path = _choose_parent() / f"{_PREFIX}{owner.run_id}"
        self.home = self.path / _HOME

    def make(self, account: Account | None) -> None:
        """Create the folder, and in it a home for the account that services run as. Raises StackError."""
        self._account = account
        try:
            self.path.mkdir(mode=0o700)
            # these decide which processes a later run kills, perhaps as root
            (self.path / _OWNER).write_text(json.dumps(asdict(self._owner)), encoding="utf-8")
            (self.path / _PROCESSES).touch()
            self.home.mkdir(mode=0o700)
            if account is not None:
                account.own(self.home)
                self.path.chmod(0o711)  # it may open what it has the name of, and list or change nothing
        except OSError as error:
            raise StackError(
                f"could not create the run's folder {self.path}: {error}", advice="set TMPDIR to another folder"
            ) from error

    def record(self, name: str, pid: int) -> None:
        """Record a process: its current number for the agent, its number and start time for a later clean-up."""
        pidfile = self.path / f"{name}.pid"
        pidfile.write_text(str(pid), encoding="ascii")
        pidfile.chmod(0o644)  # the agent may run under the account
        with (self.path / _PROCESSES).open("a", encoding="ascii") as file:
            file.write(f"{pid} {psutil.Process(pid).create_time()}\n")

    def give(self, path: Path) -> None:
        """Give a folder and everything in it to the account that services run as."""
        if self._account is not None:
            self._account.own(path)

    def remove(self) -> None:
        """Remove the folder if it exists. Raises StackError."""
        _remove(self.path)


def sweep_folders() -> list[str]:
    """Kill and remove what dead runs left behind, and return the names of their folders. Raises StackError."""
    swept = []
    for folder in _find_abandoned():
        kill_all(partial(_find_processes, folder), wait_s=5.0)
        _remove(folder)
        swept.append(folder.name)
    return swept


def _find_processes(folder: Path) -> list[psutil.Process]:
    recorded = [line.split() for line in read_own_file(folder / _PROCESSES).splitlines()]
    families = [member for pid, started in recorded for member in find_family(int(pid), float(started))]
    hidden = find_left((folder / _HOME).lstat().st_uid) if (folder / _HOME).exists() else []
    return [*families, *find_marked(folder.name.removeprefix(_PREFIX)), *find_working_in(folder), *hidden]


def _remove(folder: Path) -> None:
    for data in folder.glob("*-data"):
        free_shared_memory(data)
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_S)
    raise StackError(f"could not remove the run's folder {folder}", advice=f"rm -r {folder}")


def _find_abandoned() -> Iterator[Path]:
    # both places: free memory decided where each run went
    for parent in dict.fromkeys((_MEMORY, Path(tempfile.gettempdir()))):
        for folder in parent.glob(f"{_PREFIX}*"):
            try:
                if folder.lstat().st_uid != os.getuid():
                    continue
                read_own_file(folder / _PROCESSES)  # which says what to kill
                owner = json.loads(read_own_file(folder / _OWNER))
                abandoned = is_abandoned(owner["process"], str(owner["expires_at"]), now=time.time())
            except (OSError, ValueError, KeyError):
                continue  # somebody else's, or being created right now
            if abandoned:
                yield folder


def _choose_parent() -> Path:
    """Choose memory if enough is free, so that the speed of a disk does not affect the measurement."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED_MIB * 1024**2:
        return _MEMORY
    return Path(tempfile.gettempdir())
