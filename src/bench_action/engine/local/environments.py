"""A virtual environment for each set of requirements, kept and found again by their hash."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench_action.model.errors import StackError

COMPLETE = ".complete"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where environments are kept: root's where others may read it, the user's cache, else a temporary folder."""
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


def make_environment(requirements: Path | None, cache: Path, environ: Mapping[str, str]) -> Path:
    """The Python of an environment with these requirements, made where it is not there yet. Raises StackError."""
    if requirements is None:
        return Path(sys.executable)
    folder = cache / f"venv-{_fingerprint(requirements)}"
    with only_one(cache / f"{folder.name}.lock"):
        if not (folder / COMPLETE).is_file():
            _make(folder, requirements, environ)
    return folder / "bin" / "python"


def _fingerprint(requirements: Path) -> str:
    digest = hashlib.sha256(f"{sys.version}\0{sys.executable}\0".encode())
    digest.update(requirements.read_bytes())
    return digest.hexdigest()[:16]


def _make(folder: Path, requirements: Path, environ: Mapping[str, str]) -> None:
    # our own pip installs into it: to give each environment one of its own takes as long as its requirements
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], requirements, environ)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--requirement", str(requirements)], requirements, environ)
    (folder / COMPLETE).touch()


def _run(command: list[str], requirements: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603
        command, env=dict(environ), cwd=requirements.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(
            f"the requirements {requirements.name} cannot be installed",
            where=f"{requirements.parent.name}/{requirements.name}",
            cause=f"{' '.join(command[1:4])} ended with status {done.returncode}",
            log=(done.stdout + done.stderr).splitlines()[-15:],
        )


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Two runs that need the same thing: the second waits for the first to make it."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
