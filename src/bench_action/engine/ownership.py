"""Who owns what a run made: how the next run finds, and removes, what a killed one has left."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# A run that takes longer than this has been forgotten: the longest job that GitHub allows is 6 h on its own runners.
_LIFETIME_S = 6 * 3600


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine, told apart from a later one with the same number."""

    boot_id: str
    pid_namespace: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process with this number now, None where there is none (or no /proc)."""
        try:
            # the name in parentheses may hold spaces; the start time is field 22 (proc_pid_stat(5))
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            namespace = str(Path("/proc/self/ns/pid").readlink())
        except OSError:
            return None
        return cls(boot_id, namespace, pid, stat.rpartition(")")[2].split()[19])

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The inverse of `str`; None for anything else."""
        parts = text.split("/")
        if len(parts) != 4 or not parts[2].isdecimal():
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    def __str__(self) -> str:
        return f"{self.boot_id}/{self.pid_namespace}/{self.pid}/{self.started}"

    def is_gone(self) -> bool:
        """True only where this can be known: same boot, same process namespace, and no such process."""
        me = Process.of(os.getpid())
        if me is None or (me.boot_id, me.pid_namespace) != (self.boot_id, self.pid_namespace):
            return False
        return Process.of(self.pid) != self


@dataclass(frozen=True, slots=True)
class Ownership:
    """Written onto every object that a run makes. `job`: which job of a workflow it runs in, empty elsewhere."""

    run_id: str
    process: str
    expires_at: int
    repository: str
    job: str = ""

    @classmethod
    def of_this_process(cls, run_id: str, repository: str, job: str = "") -> Self:
        """For a run that begins now."""
        return cls(run_id, str(Process.of(os.getpid()) or ""), int(time.time()) + _LIFETIME_S, repository, job)


def is_abandoned(process: str, expires_at: str, *, now: float) -> bool:
    """Whether the run that wrote these two marks is gone. In doubt (marks unreadable) it is not."""
    owner = Process.parse(process)
    if owner is not None and owner.is_gone():
        return True
    return expires_at.isdecimal() and int(expires_at) < now
