"""A history in a branch at GitHub, through its API: no clone, and no more rights than `contents: write`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from bench_action.github.client import Access, LostAnswerError
from bench_action.github.tree import MovedError, Pause, Trees
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.history import History
from bench_action.history.store import ConflictError, Snapshot, UncertainError


class GitHubBranch:
    """A Place: a branch of a repository at GitHub, which the first write creates as an orphan."""

    def __init__(self, access: Access, branch: str = DEFAULT_BRANCH, *, pause: Pause | None = None) -> None:
        """Use asyncio's sleep to wait, unless `pause` is given."""
        self._trees = Trees(access, branch, pause=pause)
        self._name = f"branch {branch} of {access.repository}"

    @property
    def name(self) -> str:
        """Name of the place in messages."""
        return self._name

    def lock(self) -> AbstractContextManager[object]:
        """Keep nobody out: a slower writer tries again."""
        return nullcontext()

    def take_snapshot(self) -> Snapshot:
        """Take a snapshot of the branch; GitHub's answer may be a few seconds old."""
        tip = self._trees.tip()
        return Snapshot(tip.commit, tip.files, lambda paths: self._trees.read(tip, paths))

    def write(self, snapshot: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """Commit on top of the snapshot, and move the branch to the commit, never by force."""
        try:
            return self._trees.write(snapshot.version, files, message)
        except MovedError as error:
            raise ConflictError(error.what, version=error.commit) from error
        except LostAnswerError as error:
            raise UncertainError(error.what, version=getattr(error, "commit", "")) from error

    def contains(self, snapshot: Snapshot, version: str) -> bool:
        """Return whether a snapshot descends from a commit."""
        return bool(snapshot.version) and self._trees.is_ancestor(version, snapshot.version)


def open_github_history(
    access: Access, branch: str = DEFAULT_BRANCH, *, warn: Callable[[str], None] = lambda _: None
) -> History:
    """Open the history in a branch at GitHub."""
    return History(GitHubBranch(access, branch), warn=warn)
