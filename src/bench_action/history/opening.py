"""Open the store that a user names: a folder, a repository on this machine, or the address of a repository."""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench_action.config.paths import find_top
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.folder import Folder
from bench_action.history.git import Git
from bench_action.history.history import History
from bench_action.history.repository import Remote, Repository
from bench_action.history.store import Place, Store
from bench_action.model.errors import InputError

_ADDRESS = re.compile(r"(https?|ssh|git|file)://|[\w.-]+@[\w.-]+:")


@contextlib.contextmanager
def open_history(
    location: str, branch: str = DEFAULT_BRANCH, *, warn: Callable[[str], None] = lambda _: None
) -> Iterator[Store]:
    """Open the store at a folder, a git repository (bare or not) or its address, for as long as the context lasts.

    Raises InputError, PublishError.
    """
    with contextlib.ExitStack() as stack:
        yield History(_find_place(location, branch, stack), warn=warn)


def is_repository(path: Path) -> bool:
    """Return whether a folder is the top of a repository; a folder further inside a work tree is a plain folder.

    Raises InputError for one there that looks like a bare repository: its files could name programs that git runs.
    """
    if (path / ".git").exists():
        return True
    if not (path / "HEAD").is_file() or not (path / "objects").is_dir():
        return False
    if (top := find_top(path.resolve())) is not None:
        raise InputError(
            f"{path} looks like a bare repository inside the work tree {top}",
            cause="a pull request could have written its files, which name programs that git runs",
            advice="keep the history elsewhere, or name a branch of the repository itself",
        )
    return True


def _find_place(location: str, branch: str, stack: contextlib.ExitStack) -> Place:
    if _ADDRESS.match(location):
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-action-history-")))
        Git(scratch).require("init", "--quiet", "--bare")
        return Remote(scratch, location, branch)
    path = Path(location)
    return Repository(path, branch) if is_repository(path) else Folder(path)
