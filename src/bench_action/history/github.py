"""A history in a branch at GitHub, by its API: no clone, and no more rights than `contents: write`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from bench_action.github.client import Access, LostAnswerError
from bench_action.github.tree import MovedError, Pause, Trees
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.history import History
from bench_action.history.store import OvertakenError, Snapshot, UncertainError


class GitHubBranch:
    """A Place: a branch of a repository at GitHub, which is made without a past at the first write."""

    def __init__(self, access: Access, branch: str = DEFAULT_BRANCH, *, pause: Pause | None = None) -> None:
        """`pause`: how the client waits; asyncio's sleep, where it is left out."""
        self._trees = Trees(access, branch, pause=pause)
        self._name = f"branch {branch} of {access.repository}"

    @property
    def name(self) -> str:
        """As `Place` says."""
        return self._name

    def turn(self) -> AbstractContextManager[object]:
        """Nobody is kept out: whoever is slower looks again."""
        return nullcontext()

    def look(self) -> Snapshot:
        """The branch as GitHub says it is; its answer may be a few seconds old."""
        tip = self._trees.tip()
        return Snapshot(tip.commit, tip.files, lambda paths: self._trees.read(tip, paths))

    def write(self, view: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """A commit on top of what was seen, and the branch moved to it, never by force."""
        try:
            return self._trees.write(view.at, files, message)
        except MovedError as error:
            raise OvertakenError(error.what, moment=error.commit) from error
        except LostAnswerError as error:
            raise UncertainError(error.what, moment=getattr(error, "commit", "")) from error

    def holds(self, view: Snapshot, moment: str) -> bool:
        """As `Place` says."""
        return bool(view.at) and self._trees.is_ancestor(moment, view.at)


def github_store(
    access: Access, branch: str = DEFAULT_BRANCH, *, tell: Callable[[str], None] = lambda _: None
) -> History:
    """The Store in a branch at GitHub."""
    return History(GitHubBranch(access, branch), tell=tell)
