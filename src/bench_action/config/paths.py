"""Which files a configuration may name: those of its own repository, of a limited size.

A pull request writes the configuration and may commit links, and what the tool reads can end in an image, a log or a
comment. One function decides for every path: the configuration itself, seed, build context, Dockerfile, requirements.
"""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_MIB = 2**20
Role = Literal["configuration", "seed", "build context", "Dockerfile", "requirements"]
LARGEST: dict[Role, int] = {"configuration": _MIB, "seed": 64 * _MIB, "Dockerfile": _MIB, "requirements": _MIB}  # bytes


@dataclass(frozen=True, slots=True)
class PathProblem:
    """Why a path cannot be used; `absent`: it does not exist, which may be no fault."""

    text: str
    absent: bool = False


def root_of(file: Path) -> Path:
    """The folder that every path of the configuration `file` must be inside: its work tree's top, else its own folder.

    The work tree is found along the path as it is written, so that a folder that is a link cannot choose another root.
    """
    written = Path.cwd() / file.parent
    found = find_top(written) or find_top(written.resolve())
    return (found or written).resolve()


def problem_of(path: Path, root: Path, role: Role) -> PathProblem | None:
    """What is wrong with a path that a configuration names, links followed; None if nothing is."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        return PathProblem("cannot be followed: its links form a loop, or a folder is not readable")
    if not real.is_relative_to(root):
        return PathProblem(f"is outside of {root}")
    if ".git" in real.relative_to(root).parts:
        return PathProblem("is inside of .git")
    try:
        facts = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        return PathProblem("does not exist", absent=True)
    except OSError as error:
        return PathProblem(f"cannot be read: {error.strerror}")
    return _problem_of_kind(facts.st_mode, facts.st_size, role)


def _problem_of_kind(mode: int, size: int, role: Role) -> PathProblem | None:
    if role == "build context":
        return None if stat.S_ISDIR(mode) else PathProblem("is not a folder")
    if not stat.S_ISREG(mode):
        return PathProblem("is not a regular file")
    if size > LARGEST[role]:
        return PathProblem(f"is larger than {LARGEST[role] // _MIB} MiB, the most for a {role}")
    return None


def find_top(folder: Path) -> Path | None:
    """Find the nearest folder upward that has a `.git`: that of a repository, a worktree or a submodule."""
    return next((place for place in (folder, *folder.parents) if is_git_dir(place / ".git")), None)


def is_git_dir(path: Path) -> bool:
    """Whether this is a repository's folder, or the file by which a worktree or a submodule names one."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(8) == b"gitdir: "
        return (path / "HEAD").is_file() and ((path / "objects").is_dir() or (path / "commondir").is_file())
    except OSError:
        return False
