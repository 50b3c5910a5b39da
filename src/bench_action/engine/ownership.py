"""Which run owns an object, so that the next run can find and remove what a killed one left behind."""

import contextlib
import errno
import os
import secrets
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# A run whose process cannot be looked up is dead after this time: a job on GitHub's own runners takes 6 h at most.
_LIFETIME_S = 6 * 3600
_MEMORY = Path("/dev/shm")  # noqa: S108 (its file is read only if it is ours)
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Process:
    """A process on this machine, distinguishable from a later one with the same number.

    `machine` distinguishes boots, and copies of a virtual machine that share one.
    """

    machine: str
    pid_namespace: str
    pid: int
    started: str

    @classmethod
    def from_pid(cls, pid: int) -> Self | None:
        """Look up the process that has this number now; None if it does not exist or /proc is not available."""
        try:
            # the name in parentheses may contain spaces; the start time is field 22 (proc_pid_stat(5))
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            machine = f"{boot_id}.{_identify_instance()}"
            namespace = str(Path("/proc/self/ns/pid").readlink())
        except OSError:
            return None
        return cls(machine, namespace, pid, stat.rpartition(")")[2].split()[19])

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read back what `str` wrote; None for any other text."""
        parts = text.split("/")
        if len(parts) != 4 or not parts[2].isdecimal():
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    def __str__(self) -> str:
        return f"{self.machine}/{self.pid_namespace}/{self.pid}/{self.started}"

    def is_running(self) -> bool | None:
        """Return whether it still runs; None if it is of another machine, boot or process namespace."""
        me = Process.from_pid(os.getpid())
        if me is None or (me.machine, me.pid_namespace) != (self.machine, self.pid_namespace):
            return None
        return Process.from_pid(self.pid) == self


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a run writes on every object that it creates. `job` is its workflow job, empty outside a workflow."""

    run_id: str
    process: str
    expires_at: int
    repository: str
    job: str = ""

    @classmethod
    def claim(cls, run_id: str, repository: str, job: str = "") -> Self:
        """Claim a run that starts now for this process."""
        process = Process.from_pid(os.getpid()) or ""
        return cls(run_id, str(process), int(time.time()) + _LIFETIME_S, repository, job)


def is_abandoned(process: str, expires_at: str, *, now: float) -> bool:
    """Return whether the run that wrote these two values is dead; False if they are unreadable.

    The time counts only if the process cannot be looked up: a run may be long, a machine asleep, a clock wrong.
    """
    owner = Process.parse(process)
    running = owner.is_running() if owner is not None else None
    if running is not None:
        return not running
    return expires_at.isdecimal() and int(expires_at) < now


def read_own_file(path: Path, uid: int | None = None) -> str:
    """Read a regular file of this user, or of user `uid`, in a folder where others may write too.

    No link is followed, and a pipe does not block. Raises OSError for anything else, and for more than 1 MiB.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != (os.getuid() if uid is None else uid):
            raise PermissionError(errno.EPERM, "not a file of this user", str(path))
        if found.st_size > _LARGEST_FILE:
            raise OSError(errno.EFBIG, "too large", str(path))
        return file.read()


def _identify_instance() -> str:
    """Read the id that this user's first run since the boot has made up. Raises OSError.

    Copies of a virtual machine share its boot id and its processes' numbers, but not this, if they were made before.
    """
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    path = folder / f"bench-action-instance-{os.getuid()}"
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=f"{path.name}-", encoding="ascii") as file:
            file.write(secrets.token_hex(8))
            file.flush()
            with contextlib.suppress(FileExistsError):  # another run was faster
                os.link(file.name, path)  # whole or not at all
    return read_own_file(path)
