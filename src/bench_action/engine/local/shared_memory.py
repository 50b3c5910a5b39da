"""What a killed PostgreSQL leaves outside its folder: one small segment of System V shared memory."""

import contextlib
import ctypes
from pathlib import Path

from bench_action.engine.ownership import read_own_file

_SEGMENTS = Path("/proc/sysvipc/shm")
_IPC_RMID = 0  # <linux/ipc.h>


def free_shared_memory(data: Path) -> None:
    """Remove the segment named by `postmaster.pid` in a data directory; a server that shut down cleanly leaves none.

    Line 1 of that file is the server's process, line 7 the key and the number of its segment (pidfile.h).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        owner = data.lstat().st_uid  # an account that may have put anything there
        lines = read_own_file(data / "postmaster.pid", owner).splitlines()
        segment = int(lines[6].split()[1])
        if (str(segment), lines[0].strip(), str(owner)) in _list_segments():
            ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)


def _list_segments() -> set[tuple[str, str, str]]:
    """List number, creator and owner of every segment; a number alone may belong to another process by now."""
    rows = [line.split() for line in _SEGMENTS.read_text(encoding="ascii").splitlines()[1:]]
    return {(row[1], row[4], row[7]) for row in rows}
