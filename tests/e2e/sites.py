"""The engines that tests run on: what a run has there, and how to kill parts of it."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Protocol

import psutil
from tests.docker.footprint import Footprint

from bench_action.engine.local.processes import MARK

_FOLDER = "bench-action-run-"
_MEMORY = Path("/dev/shm")  # noqa: S108
_PLACES = (_MEMORY, Path("/tmp"))  # noqa: S108
_SETTLE_S = 10.0


class Site(Protocol):
    """One engine, seen from outside the tool."""

    name: str

    def running(self) -> list[str]:
        """Return the names of running services and subjects."""

    def kill(self, name: str) -> None:
        """Kill a service or subject as the kernel does when memory is short."""

    def left(self) -> list[str]:
        """Return what this session's runs have left; a test asserts that it is nothing."""

    def remove(self) -> None:
        """Remove what a test has left, so that it does not disturb the next one."""


class DockerSite:
    """Containers, found by their labels."""

    name = "docker"

    def __init__(self, footprint: Footprint) -> None:
        self._footprint = footprint

    def running(self) -> list[str]:
        return [name.rpartition("-")[2] for name in self._footprint.containers()]

    def kill(self, name: str) -> None:
        self._footprint.client.api.kill(self._footprint.container(name))

    def left(self) -> list[str]:
        return self._footprint.left()

    def remove(self) -> None:
        self._footprint.remove()


class LocalSite:
    """Processes, folders and shared memory of this machine, without those of other runs.

    PATH has a folder that is unique to this session, which every process of a run inherits. PostgreSQL's processes
    overwrite their environment; their working directory identifies them.
    """

    name = "local"

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._token = f"/nonexistent/{repository}"
        self._shared_before = _list_shared_memory()
        self._folders_before = set(_list_run_folders())

    def path(self, path: str) -> str:
        """Add this session's folder to a PATH."""
        return f"{self._token}:{path}"

    def running(self) -> list[str]:
        return sorted(map(_read_name, self.list_pid_files()))

    def kill(self, name: str) -> None:
        (file,) = [file for file in self.list_pid_files() if _read_name(file) == name]
        os.kill(int(file.read_text(encoding="ascii")), signal.SIGKILL)

    def left(self) -> list[str]:
        ours = [f"process {process.pid}" for process in self._list_processes()]
        ours += [str(folder) for folder in _list_run_folders() if _read_repository(folder) == self._repository]
        deadline = time.monotonic() + _SETTLE_S
        # the owner of these is unknown: another run removes its own in a moment, but what ours has left stays
        while (others := self._list_unowned()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return ours + others

    def remove(self) -> None:
        for process in self._list_processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._shared_before, self._folders_before = _list_shared_memory(), set(_list_run_folders())

    def _list_unowned(self) -> list[str]:
        folders = [
            folder
            for folder in _list_run_folders()
            if folder not in self._folders_before and _read_repository(folder) is None
        ]
        return [*map(str, folders), *sorted(_list_shared_memory() - self._shared_before)]

    def list_pid_files(self, *, sessions: bool = False) -> list[Path]:
        """List the files with the numbers of this session's services and subjects, or of its sessions."""
        folders = [folder for folder in _list_run_folders() if _read_repository(folder) == self._repository]
        files = [file for folder in folders for file in folder.glob("*.pid")]
        return [file for file in files if file.stem.startswith("session-") == sessions]

    def _list_processes(self) -> list[psutil.Process]:
        processes = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                environment = process.environ()
                marked = MARK in environment and self._token in environment.get("PATH", "")
                where = str(Path(f"/proc/{process.pid}/cwd").readlink())
                if marked or (_FOLDER in where and where.endswith("(deleted)")):
                    processes.append(process)
        return processes


def _read_name(file: Path) -> str:
    """Read the name of a service, without its slot."""
    return re.sub(r"^[a-z]\d*-", "", file.stem)


def _list_run_folders() -> list[Path]:
    return [folder for place in _PLACES for folder in place.glob(f"{_FOLDER}*")]


def _read_repository(folder: Path) -> str | None:
    """Return the repository of a run's folder; None if the folder does not say, because it was removed in part."""
    try:
        return str(json.loads((folder / "owner.json").read_text(encoding="utf-8"))["repository"])
    except (OSError, ValueError, KeyError):
        return None


def _list_shared_memory() -> set[str]:
    """List what a killed PostgreSQL leaves: System V segments that no process is attached to, and POSIX ones."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]]
    segments = {f"System V segment {row[1]}" for row in rows if row[6] == "0"}
    maps = ""
    files = list(_MEMORY.glob("PostgreSQL.*"))
    for process in psutil.process_iter() if files else ():
        with contextlib.suppress(OSError):
            maps += Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace")
    return segments | {str(file) for file in files if str(file) not in maps}
