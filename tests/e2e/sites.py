"""Where a test's runs are: what of them is there on an engine, and how to kill a part of them."""

import contextlib
import json
import os
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
    """One engine, as seen from outside of the tool."""

    name: str

    def running(self) -> list[str]:
        """Names of services and subjects that run."""

    def kill(self, name: str) -> None:
        """As the kernel does it when memory is short."""

    def left(self) -> list[str]:
        """Everything of this session's runs, for an assertion that it is nothing."""

    def remove(self) -> None:
        """After a test that has left something, so that the next one is not disturbed."""


class DockerSite:
    """Containers, by their labels."""

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
    """Processes, folders and shared memory of this machine; other runs on it are not looked at.

    Runs of this session have a folder of its own in PATH, which everything that they start inherits. PostgreSQL's
    own processes write over their environment; they are known by where they work.
    """

    name = "local"

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._token = f"/nonexistent/{repository}"
        self._shared_before = _shared_memory()
        self._folders_before = set(_run_folders())

    def path(self, path: str) -> str:
        """PATH for a run of this session."""
        return f"{self._token}:{path}"

    def running(self) -> list[str]:
        return sorted(file.stem for file in self._pid_files() if not file.stem.startswith("session-"))

    def kill(self, name: str) -> None:
        (file,) = [file for file in self._pid_files() if file.stem == name]
        os.kill(int(file.read_text(encoding="ascii")), signal.SIGKILL)

    def left(self) -> list[str]:
        ours = [f"process {process.pid}" for process in self._processes()]
        ours += [str(folder) for folder in _run_folders() if _repository(folder) == self._repository]
        deadline = time.monotonic() + _SETTLE_S
        # whose these are cannot be told: another run's are gone in a moment, what ours has left is not
        while (others := self._nobodys()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return ours + others

    def remove(self) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._shared_before, self._folders_before = _shared_memory(), set(_run_folders())

    def _nobodys(self) -> list[str]:
        folders = [one for one in _run_folders() if one not in self._folders_before and _repository(one) is None]
        return [*map(str, folders), *sorted(_shared_memory() - self._shared_before)]

    def _pid_files(self) -> list[Path]:
        folders = [folder for folder in _run_folders() if _repository(folder) == self._repository]
        return [file for folder in folders for file in folder.glob("*.pid")]

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                environment = process.environ()
                marked = MARK in environment and self._token in environment.get("PATH", "")
                where = str(Path(f"/proc/{process.pid}/cwd").readlink())
                if marked or (_FOLDER in where and where.endswith("(deleted)")):
                    found.append(process)
        return found


def _run_folders() -> list[Path]:
    return [folder for place in _PLACES for folder in place.glob(f"{_FOLDER}*")]


def _repository(folder: Path) -> str | None:
    """Whose a run's folder is; None where it does not say, as one that was not removed to the end."""
    try:
        return str(json.loads((folder / "owner.json").read_text(encoding="utf-8"))["repository"])
    except (OSError, ValueError, KeyError):
        return None


def _shared_memory() -> set[str]:
    """What PostgreSQL leaves when it is killed: System V segments that nobody is attached to, and POSIX ones."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]]
    segments = {f"System V segment {row[1]}" for row in rows if row[6] == "0"}
    maps = ""
    files = list(_MEMORY.glob("PostgreSQL.*"))
    for process in psutil.process_iter() if files else ():
        with contextlib.suppress(OSError):
            maps += Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace")
    return segments | {str(file) for file in files if str(file) not in maps}
