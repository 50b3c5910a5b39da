"""What runs leave for later runs: the folder that it is kept in, and how it is made once."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench_action.model.errors import StackError

_COMPLETE = ".complete"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The folder: root's where others may read it, the user's cache, else a temporary one."""
    candidates = [Path("/var/cache")] if os.geteuid() == 0 else _caches_of_a_user(environ)
    temporary = Path(tempfile.gettempdir()) / f"bench-action-cache-{os.getuid()}"
    return first_usable([*(folder / "bench-action" for folder in candidates), temporary])


def _caches_of_a_user(environ: Mapping[str, str]) -> list[Path]:
    folders = (environ.get("XDG_CACHE_HOME", ""), str(Path(environ.get("HOME", "")) / ".cache"))
    return [Path(folder) for folder in folders if Path(folder).is_absolute()]


def first_usable(folders: Sequence[Path]) -> Path:
    """The first that is, or can be made, ours to write to: what others wrote there, we would run. Raises StackError."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            if os.access(folder, os.W_OK) and folder.stat().st_uid == os.geteuid():
                return folder
    raise StackError("there is no folder to keep virtual environments in", advice="set XDG_CACHE_HOME or TMPDIR")


def made_once(folder: Path, make: Callable[[], None]) -> None:
    """Have a folder that `make` makes, also over what is left of one half made; a second run waits for the first."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _COMPLETE).is_file():
            make()
            (folder / _COMPLETE).touch()
