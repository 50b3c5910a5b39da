"""What a PostgreSQL that was killed leaves outside of its folder: one small segment of System V shared memory."""

import contextlib
import ctypes
from pathlib import Path

_SEGMENTS = Path("/proc/sysvipc/shm")
_IPC_RMID = 0  # <linux/ipc.h>


def free_shared_memory(data: Path) -> None:
    """Remove the segment that `postmaster.pid` in a data directory names; nothing where its server has ended orderly.

    Lines 1 and 7 of that file are the server's process, and the key and the number of its segment (pidfile.h).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        segment = int(lines[6].split()[1])
        if (str(segment), lines[0].strip()) in _made():
            ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)


def _made() -> set[tuple[str, str]]:
    """Number and maker of every segment: a number alone may be somebody else's by now."""
    rows = [line.split() for line in _SEGMENTS.read_text(encoding="ascii").splitlines()[1:]]
    return {(row[1], row[4]) for row in rows}
