"""A virtual environment for each set of requirements, kept for later runs if it is known what must be in it.

pip runs code of the requirements (build backends), so it gets neither our environment nor root's rights.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bench_action.engine.local.accounts import Account, give, run_as
from bench_action.engine.local.cache import make_once
from bench_action.engine.local.processes import MARK, kill_all
from bench_action.engine.protocol import LocalForm
from bench_action.model.errors import InputError, StackError

_REFERENCE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[ =]*(?P<path>[^\s#]\S*)", re.MULTILINE)
_HASHES = re.compile(r"^[^#\n]*--(?:hash=|require-hashes)", re.MULTILINE)
_LARGEST = 2**20  # bytes of a file with requirements
_UNUSED = shutil.ignore_patterns(".git", "__pycache__")
# what pip needs of our environment: where packages are, and how to get there
_KEPT = re.compile(r"PATH|LANG|LC_ALL|TZ|PIP_\w+|(?i:\w+_proxy)|SSL_CERT_\w+|REQUESTS_CA_BUNDLE")
_CONFIGURATION = (".config/pip/pip.conf", ".pip/pip.conf")
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Environments:
    """Makes the environments of one run.

    `account`: under which pip runs, None for our own. `folder`: the run's, for what no later run may use.
    """

    run_id: str
    cache: Path
    folder: Path
    account: Account | None
    environ: Mapping[str, str] = field(repr=False)

    def make(self, form: LocalForm) -> Path:
        """Return the Python of an environment with a subject's requirements, creating it if necessary.

        Raises InputError for requirements that cannot be read, StackError for those that cannot be installed.
        """
        if form.requirements is None:
            return Path(sys.executable)
        files = list_files(form.requirements, form.root.resolve())
        requirements = self._make_readable(form, files)
        contents = [path.read_bytes() for path in files]
        # pip then accepts nothing but what these files name, with its hash
        lasting = hashed = any(_HASHES.search(text.decode(errors="replace")) for text in contents)
        if not hashed:
            resolved = self._resolve(requirements)
            contents, lasting = [describe_install(item).encode() for item in resolved], not _any_editable(resolved)
        digest = hashlib.sha256(f"{sys.version}\0{sys.executable}\0".encode())
        for content in contents:
            digest.update(hashlib.sha256(content).digest())
        place = (self.cache if lasting else self.folder) / f"venv-{digest.hexdigest()[:16]}"
        make_once(place, partial(self._install, place, requirements, hashed=hashed))
        return place / "bin" / "python"

    def _make_readable(self, form: LocalForm, files: Sequence[Path]) -> Path:
        """Return the requirements, or their copy, with what is next to them, if the account cannot read them."""
        requirements = files[0]
        if self.account is None or all(map(self.account.can_read, (form.folder, *files))):
            return requirements
        top = Path(os.path.commonpath([form.folder.resolve(), *files]))
        copy = Path(tempfile.mkdtemp(prefix="requirements-", dir=self.folder))
        copy.chmod(0o711)
        folder = copy / form.folder.resolve().relative_to(top)
        shutil.copytree(form.folder, folder, symlinks=True, ignore=_UNUSED, dirs_exist_ok=True)
        for path in files:
            target = copy / path.relative_to(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copyfile(path, target)
        self.account.own(copy)
        return copy / requirements.relative_to(top)

    def _resolve(self, requirements: Path) -> list[dict[str, Any]]:
        """Return what pip would install now, as its "installation report" describes it."""
        options = ["--dry-run", "--ignore-installed", "--report", "-", "--requirement", str(requirements)]
        command = [*self._pip(requirements), "install", "--quiet", *options]
        report = self._run(command, requirements, self.account)
        return list(json.loads(report)["install"])

    def _install(self, place: Path, requirements: Path, *, hashed: bool) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o755)
        if self.account is not None:
            self.account.own(place)
        self._run([*_make_command(sys.executable, "venv"), "--without-pip", str(place)], requirements, self.account)
        target = ["--python", str(place / "bin" / "python")]
        options = ["--quiet", *(["--require-hashes"] if hashed else []), "--requirement", str(requirements)]
        self._run([*self._pip(requirements), *target, "install", *options], requirements, self.account)
        if self.account is not None:
            give(place, os.geteuid(), os.getegid())  # no application may change what a later run uses

    def _pip(self, requirements: Path) -> list[str]:
        """Return the command of pip; uv's environments have none, so they get one in a separate environment."""
        if find_spec("pip") is not None:
            return _make_command(sys.executable, "pip")
        place = self.cache / f"pip-{hashlib.sha256(f'{sys.version}{sys.executable}'.encode()).hexdigest()[:16]}"
        make_once(
            place,
            partial(self._run, [*_make_command(sys.executable, "venv"), "--clear", str(place)], requirements, None),
        )
        return _make_command(str(place / "bin" / "python"), "pip")

    def _run(self, command: Sequence[str], requirements: Path, account: Account | None) -> str:
        """Run a step, and end what it has left running. Raises StackError with its last lines."""
        if account is not None and not account.can_run(Path(command[0])):
            account = None
        with self._make_home(account) as home:
            env = {name: value for name, value in self.environ.items() if _KEPT.fullmatch(name)}
            env |= {"HOME": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", MARK: self.run_id}
            done = subprocess.run(  # noqa: S603
                command,
                env=env,
                cwd=requirements.parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                umask=0o022,
                **run_as(account),
            )
            if account is not None:
                kill_all(account.find_processes, wait_s=_END_S)
        if done.returncode:
            raise StackError(
                f"could not install the requirements {requirements.name}",
                where=f"{requirements.parent.name}/{requirements.name}",
                cause=f"{' '.join(command[2:5])} exited with status {done.returncode}",
                log=(done.stdout + done.stderr).splitlines()[-15:],
            )
        return str(done.stdout)

    @contextmanager
    def _make_home(self, account: Account | None) -> Iterator[Path]:
        """Make a home with the user's configuration of pip, which root's account could not read; else use our own."""
        own = Path(self.environ.get("HOME") or "/nonexistent")
        if account is None:
            yield own
            return
        with tempfile.TemporaryDirectory(prefix="pip-", dir=self.folder) as folder:
            home = Path(folder)
            for name in _CONFIGURATION:
                if (own / name).is_file():
                    (home / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(own / name, home / name)
            account.own(home)
            yield home


def _make_command(program: str, module: str) -> list[str]:
    """Return the command of a module, which is not looked for in the working folder: a stranger's files are there."""
    return [program, "-P", "-m", module]


def list_files(requirements: Path, root: Path) -> list[Path]:
    """List a file with requirements and all that it refers to by `-r` and `-c`, links followed.

    Raises InputError for a file outside of `root`: pip would quote it. What is at a URL is not among them, as pip's
    report says what comes of it.
    """
    found: list[Path] = []
    waiting = [requirements.resolve()]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        text = _read(path, root).decode(errors="replace")
        found.append(path)
        names = [match["path"] for match in _REFERENCE.finditer(text)]
        waiting += [(path.parent / name).resolve() for name in names if "://" not in name]
    return found


def _read(path: Path, root: Path) -> bytes:
    try:
        facts = path.stat()
        if not path.is_relative_to(root) or ".git" in path.relative_to(root).parts:
            why = f"it is outside of {root}"
        elif stat.S_ISREG(facts.st_mode) and facts.st_size <= _LARGEST:
            return path.read_bytes()
        else:
            why = "it is not a regular file of at most 1 MiB"
    except OSError as error:
        why = error.strerror or "it cannot be read"
    raise InputError(
        f"could not read the requirements {path.name}", cause=why, advice="name a regular file of the same repository"
    )


def describe_install(item: Mapping[str, Any]) -> str:
    """Describe what pip would install by its content: a hash, a commit, or the files of a folder (PEP 610)."""
    info, metadata = item["download_info"], item["metadata"]
    content = info.get("vcs_info", {}).get("commit_id") or info.get("archive_info", {}).get("hashes") or info["url"]
    if "dir_info" in info:
        content = hash_folder(Path(unquote(urlsplit(info["url"]).path)))
    return f"{metadata['name']}=={metadata['version']} {json.dumps(content, sort_keys=True)}"


def hash_folder(folder: Path) -> str:
    """Hash the names and contents of a folder's regular files, without what git, Python and setuptools leave there."""
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in {".git", "__pycache__"} and ".egg-info" not in name)
        for path in (Path(parent) / name for name in sorted(files)):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                digest.update(f"{path.relative_to(folder)}\0{content}\0".encode())
    return digest.hexdigest()


def _any_editable(resolved: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether an environment would refer to the folder of this run's sources."""
    return any(item["download_info"].get("dir_info", {}).get("editable") for item in resolved)
