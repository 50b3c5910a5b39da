"""A history in a branch of a git repository on this machine, or of a remote; work tree, index and HEAD are untouched.

Only plumbing: objects first, then the branch moves, from the commit that was seen and from no other. Nothing is forced.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from bench_action.history import DEFAULT_BRANCH
from bench_action.history.git import Entry, Git, refused_push
from bench_action.history.history import moved_back
from bench_action.history.store import OvertakenError, Snapshot
from bench_action.model.errors import InputError, PublishError

_NOTHING: Final = ""  # as an expected old value: there must be no such ref


class Repository:
    """A Place: a branch of a repository here, which is made without a past at the first write."""

    def __init__(self, path: Path, branch: str = DEFAULT_BRANCH) -> None:
        """Raises InputError where `path` is no repository, or the branch none that can be written."""
        self._git = Git(path)
        self._branch, self._ref = branch, f"refs/heads/{branch}"
        self._where = str(path)
        self._listed: tuple[str, dict[str, Entry]] = "", {}  # of the last commit that was looked at
        demand_branch(self._git, branch)
        if self._git.ok("rev-parse", "--git-dir") is None:
            raise InputError(f"{path} is no git repository", advice="--store: a folder or a git repository")
        self._demand_not_checked_out()

    @property
    def name(self) -> str:
        """As `Place` says."""
        return f"branch {self._branch} of {self._where}"

    def turn(self) -> AbstractContextManager[object]:
        """Nobody is kept out: whoever is slower looks again."""
        return nullcontext()

    def look(self) -> Snapshot:
        """The branch as it is."""
        return self._view(self._git.ok("rev-parse", "--verify", "--quiet", f"{self._ref}^{{commit}}") or "")

    def write(self, view: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """A commit on top of what was seen."""
        commit = self._commit(view, files, message)
        self._demand_not_checked_out()
        done = self._git.run("update-ref", "-m", "bench-action", self._ref, commit, view.at or _NOTHING)
        if done.returncode:
            now = self._git.ok("rev-parse", "--verify", "--quiet", self._ref) or ""
            if now != view.at or b".lock" in done.stderr or b"cannot lock ref" in done.stderr:
                raise OvertakenError(f"{self.name} has moved meanwhile", moment=commit)
            raise self._git.failure(done, f"{self.name} cannot be moved")
        return commit

    def holds(self, view: Snapshot, moment: str) -> bool:
        """As `Place` says."""
        return bool(view.at) and self._git.is_ancestor(moment, view.at)

    def _view(self, commit: str) -> Snapshot:
        git = self._git
        entries = self._entries(commit)
        return Snapshot(
            commit, {path: entry.name for path, entry in entries.items()}, lambda paths: _read(git, commit, paths)
        )

    def _entries(self, commit: str) -> dict[str, Entry]:
        if commit != self._listed[0]:
            self._listed = commit, self._git.entries(commit)
        return self._listed[1]

    def _commit(self, view: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        tree = self._git.write_tree(self._entries(view.at), files)
        return self._git.write_commit(tree, view.at, message)

    def _demand_not_checked_out(self) -> None:
        """Its work tree would differ from it at once."""
        for line in (self._git.ok("worktree", "list", "--porcelain") or "").splitlines():
            if line == f"branch {self._ref}":
                raise InputError(
                    f"{self.name} is checked out in a work tree",
                    advice="check another branch out there, or give another --branch",
                )


class Remote(Repository):
    """The same of a remote, by way of a repository here that has what was fetched.

    `refs/bench-action/BRANCH` there says what was last seen, so that also a later run notices a branch that moved back.
    """

    def __init__(self, path: Path, remote: str, branch: str = DEFAULT_BRANCH) -> None:
        """`remote`: a URL or a remote's name; with a password in it, it is in no message. Raises InputError."""
        super().__init__(path, branch)
        if remote.startswith("-"):
            raise InputError(f"{remote!r} is no remote")
        self._remote = remote
        self._where = _without_password(remote)
        self._tracking = f"refs/bench-action/{branch}"

    def look(self) -> Snapshot:
        """The remote's branch, fetched."""
        git = self._git
        listed = git.talk("ls-remote", "--quiet", self._remote, self._ref, what=self.name).split()
        commit = listed[0] if listed else ""
        seen = git.ok("rev-parse", "--verify", "--quiet", self._tracking) or ""
        if commit and git.ok("cat-file", "-e", f"{commit}^{{commit}}") is None:
            git.talk("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self._remote, self._ref, what=self.name)
        if seen and seen != commit and not (commit and git.is_ancestor(seen, commit)):
            # of two looks at once from one repository, the later one may come first here
            if not (commit and git.is_ancestor(commit, seen) and self._is_stale(commit)):
                raise moved_back(self.name, seen, commit)
        elif commit:
            git.run("update-ref", self._tracking, commit)
        return self._view(commit)

    def write(self, view: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """Pushed, never by force."""
        commit = self._commit(view, files, message)
        done = self._git.run("push", "--porcelain", "--no-verify", self._remote, f"{commit}:{self._ref}")
        if done.returncode:
            raise refused_push(done, self.name, commit)
        self._git.run("update-ref", self._tracking, commit)
        return commit

    def _is_stale(self, commit: str) -> bool:
        """Whether the remote has moved on from what it said a moment ago."""
        listed = self._git.talk("ls-remote", "--quiet", self._remote, self._ref, what=self.name).split()
        return bool(listed) and listed[0] != commit

    def _demand_not_checked_out(self) -> None:
        """Nothing of it is checked out here."""


def demand_branch(git: Git, branch: str) -> None:
    """Raises InputError for what git takes for no branch."""
    if branch.startswith("-") or git.ok("check-ref-format", f"refs/heads/{branch}") is None:
        raise InputError(f"{branch!r} is no name of a branch", advice=f"--branch, such as {DEFAULT_BRANCH}")


def _read(git: Git, commit: str, paths: Collection[str]) -> dict[str, bytes]:
    found = git.contents([f"{commit}:{path}" for path in paths])
    if len(found) != len(paths):
        raise PublishError("git did not give every file of the history")
    return dict(zip(paths, found, strict=True))


def _without_password(remote: str) -> str:
    scheme, found, rest = remote.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else remote
