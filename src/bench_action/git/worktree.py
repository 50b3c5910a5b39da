"""Run git so that no file of a checkout can start a program. Nothing else in this package starts git.

A pull request writes the files of a work tree, and git looks for repositories, attributes and settings among files.
So the repository is found here, by its `.git` (which git refuses to commit), and named in every command; a folder that
only looks like a bare repository is never used as one. Attributes come from the tree and name filters: only LFS's
runs, by our own command line. What connects to a remote (`core.sshCommand`, credential helpers) is the user's.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from bench_action.config.paths import find_top, is_git_dir
from bench_action.model.errors import InputError

LONGEST_S: Final = 300.0
# if a git hook runs us, git has set these for the hook's own repository
_UNSET: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EXTERNAL_DIFF",
)
_SETTINGS: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_OPTIONS: Final = {
    "safe.bareRepository": "explicit",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "protocol.ext.allow": "never",
    "log.showSignature": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",  # no garbage collection that outlives us
    "maintenance.auto": "false",
}
_LFS: Final = {"clean": "git-lfs clean -- %f", "smudge": "git-lfs smudge -- %f", "process": "git-lfs filter-process"}
_NO_FILTER: Final = {"clean": "", "smudge": "", "process": ""}
_PASSWORD: Final = re.compile(r"(?<=://)[^/@\s']*@")
Done = subprocess.CompletedProcess[bytes]


class GitMissingError(InputError):
    """git is not installed, or could not be started."""


class GitTimeoutError(InputError):
    """git did not finish in time."""


def run_git(
    git_dir: Path,
    *arguments: str,
    work_tree: Path | None = None,
    environ: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    given: bytes = b"",
) -> Done:
    """Run git in the repository at `git_dir` (a `.git`, which may be a file, or a bare repository's folder).

    `environ`: git's whole environment; None for ours. A token belongs there and never on the command line, which every
    process of the machine may read. `settings`: more variables. Raises GitMissingError, GitTimeoutError.
    """
    environ = os.environ if environ is None else environ
    inherited = {name: text for name, text in environ.items() if name not in _UNSET}
    folder = work_tree or (git_dir.parent if git_dir.name == ".git" else git_dir)
    options = {**_OPTIONS, "safe.directory": str(folder)}
    command = ["git", f"--git-dir={git_dir}", *([f"--work-tree={work_tree}"] if work_tree else [])]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    try:
        return subprocess.run(
            [*command, *arguments],
            cwd=folder,
            env={**inherited, **_SETTINGS, **(settings or {})},
            input=given,
            capture_output=True,
            check=False,
            timeout=LONGEST_S,
        )
    except OSError as error:
        raise GitMissingError(f"could not run git: {error}", advice="install git") from error
    except subprocess.TimeoutExpired as error:
        raise GitTimeoutError(f"git {arguments[0]} did not finish within {LONGEST_S:.0f} s") from error


def explain_failure(done: Done) -> str:
    """Return the first error that git printed, without passwords: the lines after it are general advice."""
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return _PASSWORD.sub("", (errors or lines[-1:] or ["git printed nothing"])[0])


def find_git_dir(folder: Path) -> Path:
    """Find the repository that a user means by a folder: its `.git`, the folder if it is bare, or an outer one."""
    folder = folder.absolute()
    top = None if not is_git_dir(folder / ".git") and is_git_dir(folder) else find_top(folder)
    return folder if top is None else top / ".git"


@dataclass(frozen=True)
class WorkTree:
    """A repository's files at `top`, and its `git_dir`. `environ`: git's environment, None for our own."""

    top: Path
    git_dir: Path
    environ: Mapping[str, str] | None = field(default=None, repr=False)

    @classmethod
    def find(cls, folder: Path, environ: Mapping[str, str] | None = None) -> Self | None:
        """Find the work tree that `folder` is in; None if it is in none."""
        top = find_top(folder)
        return None if top is None else cls(top, top / ".git", environ)

    def move_to(self, top: Path) -> "WorkTree":
        """Return the same repository with its files in another folder."""
        return replace(self, top=top)

    def run(self, *arguments: str, settings: Mapping[str, str] | None = None, given: bytes = b"") -> Done:
        """Run git, and return its result even if it failed. Raises GitMissingError, GitTimeoutError."""
        environ = os.environ if self.environ is None else self.environ
        return run_git(
            self.git_dir,
            *arguments,
            work_tree=self.top,
            environ=_add_git_settings(environ, self._filters),
            settings=settings,
            given=given,
        )

    def ask(self, *arguments: str) -> str:
        """Run git and return its output; empty if it fails or is not installed."""
        try:
            done = self.run(*arguments)
        except InputError:
            return ""
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""

    @property
    def has_lfs(self) -> bool:
        """Whether the LFS filter is configured and can run."""
        return any(name == "filter.lfs.process" and value for name, value in self._filters.items())

    @cached_property
    def _filters(self) -> Mapping[str, str]:
        """Settings that disable every configured filter except LFS's, which they point to its own program."""
        try:
            done = run_git(
                self.git_dir, "config", "--null", "--name-only", "--get-regexp", r"^filter\.", environ=self.environ
            )
        except (GitMissingError, GitTimeoutError):
            return {}
        keys = done.stdout.decode(errors="surrogateescape").split("\0")
        drivers = {key.removeprefix("filter.").rpartition(".")[0] for key in keys if key}
        settings: dict[str, str] = {}
        path = (os.environ if self.environ is None else self.environ).get("PATH")
        for driver in drivers:
            commands = _LFS if driver == "lfs" and shutil.which("git-lfs", path=path) else _NO_FILTER
            settings |= {f"filter.{driver}.{name}": value for name, value in commands.items()}
            settings[f"filter.{driver}.required"] = "false"
        return settings


def _add_git_settings(environ: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Add settings of git to an environment. Unlike `-c`, this allows names that contain `=`."""
    count = environ.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdecimal() else 0
    more = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (name, value) in enumerate(settings.items(), start=first):
        more |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return {**environ, **more}
