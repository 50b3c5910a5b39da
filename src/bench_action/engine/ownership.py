"""Which run owns an object, so that the next run can find and remove what a killed one left behind."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# A run older than this is dead: a job on GitHub's own runners takes 6 h at most.
_LIFETIME_S = 6 * 3600


@dataclass(frozen=True, slots=True)
class Process:
    """A process on this machine, distinguishable from a later one with the same number."""

    boot_id: str
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
            namespace = str(Path("/proc/self/ns/pid").readlink())
        except OSError:
            return None
        return cls(boot_id, namespace, pid, stat.rpartition(")")[2].split()[19])

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read back what `str` wrote; None for any other text."""
        parts = text.split("/")
        if len(parts) != 4 or not parts[2].isdecimal():
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    def __str__(self) -> str:
        return f"{self.boot_id}/{self.pid_namespace}/{self.pid}/{self.started}"

    def has_exited(self) -> bool:
        """Return True only if we can know: same boot, same process namespace, and no such process."""
        me = Process.from_pid(os.getpid())
        if me is None or (me.boot_id, me.pid_namespace) != (self.boot_id, self.pid_namespace):
            return False
        return Process.from_pid(self.pid) != self


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
    """Return whether the run that wrote these two values is dead; False if they are unreadable."""
    owner = Process.parse(process)
    if owner is not None and owner.has_exited():
        return True
    return expires_at.isdecimal() and int(expires_at) < now
