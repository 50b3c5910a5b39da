"""Which files a configuration may name: files of the same repository, up to a maximum size.

A pull request writes the configuration and may commit links, and what the tool reads can end up in an image, a log or a
comment. One function checks every path: the configuration itself, compose files and what they read, seed, build
context, Dockerfile, ignore files, requirements, and files and folders (`file`) that are copied into containers.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_MIB = 2**20
Role = Literal[
    "configuration", "seed", "build context", "Dockerfile", "ignore file", "requirements", "env_file", "file"
]
LARGEST: dict[Role, int] = {  # bytes
    "configuration": _MIB,
    "seed": 4096 * _MIB,
    "Dockerfile": _MIB,
    "ignore file": _MIB,
    "requirements": _MIB,
    "env_file": _MIB,
    "file": 64 * _MIB,
}
ALLOWED_FILES = "name a regular file of the same repository; without git, one in the configuration's own folder"


@dataclass(frozen=True, slots=True)
class PathProblem:
    """Why a path cannot be used. `absent`: it does not exist, which is not always an error."""

    text: str
    absent: bool = False


def find_root(file: Path) -> Path:
    """Find the folder that every path in the configuration `file` must be in: its work tree's top, else its own folder.

    Links in the path to `file` are not followed first, so that a folder that is a link cannot choose another root.
    """
    written = Path.cwd() / file.parent
    return (find_top(written) or find_top(written.resolve()) or written).resolve()


def find_problem(path: Path, root: Path, role: Role) -> PathProblem | None:
    """Find out, following links, why a path in a configuration cannot be used; None if it can."""
    try:
        real, cleaned = path.resolve(), Path(os.path.normpath(path)).resolve()
    except ValueError:
        return PathProblem("has a character that no name of a file has")
    except (OSError, RuntimeError):  # a loop of links, before Python 3.13
        return PathProblem("cannot be followed: its links form a loop, or a folder is not readable")
    if problem := _check_place(real, cleaned, root):
        return problem
    try:
        status = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        return PathProblem("does not exist", absent=True)
    except OSError as error:
        return PathProblem(f"cannot be read: {error.strerror}")
    return _check_kind_and_size(status.st_mode, status.st_size, role)


def _check_place(real: Path, cleaned: Path, root: Path) -> PathProblem | None:
    """Check where a path leads. `cleaned`: for programs that, like compose, remove `link/..` before following links."""
    if not real.is_relative_to(root):
        return PathProblem(f"is outside of {root}")
    if real != cleaned:
        return PathProblem("leads to two places, as `..` comes after a link")
    return PathProblem("is inside .git") if ".git" in real.relative_to(root).parts else None


def _check_kind_and_size(mode: int, size: int, role: Role) -> PathProblem | None:
    if role == "build context":
        return None if stat.S_ISDIR(mode) else PathProblem("is not a folder")
    if role == "file" and stat.S_ISDIR(mode):
        return None
    if not stat.S_ISREG(mode):
        return PathProblem("is not a regular file")
    if size > LARGEST[role]:
        return PathProblem(f"is larger than the {LARGEST[role] // _MIB} MiB allowed")
    return None


def find_top(folder: Path) -> Path | None:
    """Find the nearest folder, going up from `folder`, with the `.git` of a repository, a worktree or a submodule."""
    return next((parent for parent in (folder, *folder.parents) if is_git_dir(parent / ".git")), None)


def is_git_dir(path: Path) -> bool:
    """Whether this is a repository's folder, or the file with which a worktree or a submodule points to one."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(8) == b"gitdir: "
        return (path / "HEAD").is_file() and ((path / "objects").is_dir() or (path / "commondir").is_file())
    except OSError:
        return False
