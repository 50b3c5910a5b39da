"""What one run keeps for later ones: the cache folder, and folders in it that are made once."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench_action.model.errors import StackError

_COMPLETE = ".complete"


def find_cache_folder(environ: Mapping[str, str]) -> Path:
    """Return root's cache, which other accounts can read, or the user's; a temporary folder if neither is usable."""
    caches = [Path("/var/cache")]
    if os.geteuid() != 0:
        caches = [Path(environ.get("XDG_CACHE_HOME", "")), Path(environ.get("HOME", "")) / ".cache"]
    candidates = [folder / "bench-action" for folder in caches if folder.is_absolute()]
    temporary = Path(tempfile.gettempdir()) / f"bench-action-cache-{os.getuid()}"
    return find_usable([*candidates, temporary])


def find_usable(folders: Sequence[Path]) -> Path:
    """Return the first folder that we own and can write to, creating it if necessary. Raises StackError.

    It must be ours because we run what it contains.
    """
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            if os.access(folder, os.W_OK) and folder.stat().st_uid == os.geteuid():
                return folder
    raise StackError(
        "no usable cache folder found for virtual environments",
        cause="every candidate belongs to another user or cannot be written to",
        advice="set XDG_CACHE_HOME or TMPDIR",
    )


def make_once(folder: Path, make: Callable[[], object]) -> None:
    """Call `make` unless it has completed `folder` before. A second run waits for the first.

    `make` must be able to start over if an earlier call was interrupted.
    """
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _COMPLETE).is_file():
            make()
            (folder / _COMPLETE).unlink(missing_ok=True)  # what made the folder may have put a link there
            (folder / _COMPLETE).touch()
