"""Which store a user means: a folder, a repository on this machine, or the address of one."""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench_action.history import DEFAULT_BRANCH
from bench_action.history.folder import Folder
from bench_action.history.git import Git
from bench_action.history.history import History
from bench_action.history.repository import Remote, Repository
from bench_action.history.store import Place, Store

_ADDRESS = re.compile(r"(https?|ssh|git|file)://|[\w.-]+@[\w.-]+:")


@contextlib.contextmanager
def opened(
    location: str, branch: str = DEFAULT_BRANCH, *, remote: str = "", tell: Callable[[str], None] = lambda _: None
) -> Iterator[Store]:
    """The store at a folder, a git repository (bare or not) or the address of one, as long as the context lasts.

    `remote`: of the repository at `location`, write to this remote of its instead. Raises InputError, PublishError.
    """
    with contextlib.ExitStack() as stack:
        yield History(_place(location, branch, remote, stack), tell=tell)


def is_repository(path: Path) -> bool:
    """Whether a folder is a repository's own; one somewhere inside a work tree is a plain folder."""
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def _place(location: str, branch: str, remote: str, stack: contextlib.ExitStack) -> Place:
    if _ADDRESS.match(location):
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-action-history-")))
        Git(scratch).demand("init", "--quiet", "--bare")
        return Remote(scratch, location, branch)
    path = Path(location)
    if remote:
        return Remote(path, remote, branch)
    return Repository(path, branch) if is_repository(path) else Folder(path)
