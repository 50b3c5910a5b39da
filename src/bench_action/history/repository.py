"""A history in a branch of a git repository, here or at a remote; work tree, index and HEAD do not change.

Only plumbing commands: objects are written first, then the branch moves from the commit that was read to the new one.
Nothing is forced.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from bench_action.history import DEFAULT_BRANCH
from bench_action.history.git import Entry, Git, command_error, push_error
from bench_action.history.history import moved_back_error
from bench_action.history.store import ConflictError, Snapshot
from bench_action.model.errors import InputError

_NO_REF: Final = ""  # as an expected old value: the ref must not exist


class Repository:
    """A Place: a branch of a repository on this machine, which the first write creates as an orphan."""

    def __init__(self, path: Path, branch: str = DEFAULT_BRANCH) -> None:
        """Refuse a path that is not a repository, and a branch that cannot be written, with InputError."""
        self._git = Git(path)
        self._branch, self._ref = branch, f"refs/heads/{branch}"
        self._where = str(path)
        self._listed: tuple[str, dict[str, Entry]] = "", {}  # of the last commit that was read
        if branch.startswith("-") or self._git.ask("check-ref-format", self._ref) is None:
            raise InputError(
                f"{branch!r} is not a branch name", advice=f"--branch takes a name such as {DEFAULT_BRANCH}"
            )
        if self._git.ask("rev-parse", "--git-dir") is None:
            raise InputError(f"{path} is not a git repository", advice="--store takes a folder or a git repository")
        self._require_not_checked_out()

    @property
    def name(self) -> str:
        """Name of the place in messages."""
        return f"branch {self._branch} of {self._where}"

    def lock(self) -> AbstractContextManager[object]:
        """Keep nobody out: a slower writer tries again."""
        return nullcontext()

    def take_snapshot(self) -> Snapshot:
        """Take a snapshot of the branch."""
        return self._read_commit(self._git.ask("rev-parse", "--verify", "--quiet", f"{self._ref}^{{commit}}") or "")

    def write(self, snapshot: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """Commit on top of the snapshot, and move the branch to the commit."""
        commit = self._write_commit(snapshot, files, message)
        self._require_not_checked_out()
        done = self._git.run("update-ref", "-m", "bench-action", self._ref, commit, snapshot.version or _NO_REF)
        if done.returncode:
            now = self._git.ask("rev-parse", "--verify", "--quiet", self._ref) or ""
            if now != snapshot.version or b".lock" in done.stderr or b"cannot lock ref" in done.stderr:
                raise ConflictError(f"{self.name} has moved in the meantime", version=commit)
            raise command_error(done, f"could not move {self.name}")
        return commit

    def contains(self, snapshot: Snapshot, version: str) -> bool:
        """Return whether a snapshot descends from a commit."""
        return bool(snapshot.version) and self._git.is_ancestor(version, snapshot.version)

    def _read_commit(self, commit: str) -> Snapshot:
        names = {path: entry.name for path, entry in self._list_entries(commit).items()}
        return Snapshot(commit, names, lambda paths: self._git.read_files(commit, paths))

    def _list_entries(self, commit: str) -> dict[str, Entry]:
        if commit != self._listed[0]:
            self._listed = commit, self._git.list_entries(commit)
        return self._listed[1]

    def _write_commit(self, snapshot: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        tree = self._git.write_tree(self._list_entries(snapshot.version), files)
        return self._git.write_commit(tree, snapshot.version, message)

    def _require_not_checked_out(self) -> None:
        """Raise InputError if a work tree shows the branch: its files would differ from the branch after a write."""
        for line in (self._git.ask("worktree", "list", "--porcelain") or "").splitlines():
            if line == f"branch {self._ref}":
                raise InputError(
                    f"{self.name} is checked out in a work tree",
                    advice="check out another branch there, or choose another --branch",
                )


class Remote(Repository):
    """A Place: a branch of a remote, by way of a repository on this machine that keeps what was fetched.

    `refs/bench-action/BRANCH` there is the last commit that was seen, so that a later run also notices a branch that
    moved back.
    """

    def __init__(self, path: Path, remote: str, branch: str = DEFAULT_BRANCH) -> None:
        """Refuse what `Repository` refuses. `remote`: a URL or a remote's name; no message shows a password in it."""
        super().__init__(path, branch)
        if remote.startswith("-"):
            raise InputError(f"{remote!r} is not a remote")
        self._remote = remote
        scheme, separator, rest = remote.partition("://")
        self._where = f"{scheme}://{rest.rpartition('@')[2]}" if separator else remote
        self._tracking = f"refs/bench-action/{branch}"

    def take_snapshot(self) -> Snapshot:
        """Fetch the remote's branch, and take a snapshot of it."""
        git = self._git
        commit = self._ask_tip()
        seen = git.ask("rev-parse", "--verify", "--quiet", self._tracking) or ""
        if commit and git.ask("cat-file", "-e", f"{commit}^{{commit}}") is None:
            fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self._remote, self._ref)
            git.ask_remote(*fetch, name=self.name)
        if seen and seen != commit and not (commit and git.is_ancestor(seen, commit)):
            # two processes read through one repository: the commit that the other saw may already be newer than ours
            if not (commit and git.is_ancestor(commit, seen) and self._ask_tip() not in {"", commit}):
                raise moved_back_error(self.name, seen, commit)
        elif commit:
            git.run("update-ref", self._tracking, commit)
        return self._read_commit(commit)

    def write(self, snapshot: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        """Commit on top of the snapshot, and push the commit, never by force."""
        commit = self._write_commit(snapshot, files, message)
        done = self._git.run("push", "--porcelain", "--no-verify", self._remote, f"{commit}:{self._ref}")
        if done.returncode:
            raise push_error(done, self.name, commit)
        self._git.run("update-ref", self._tracking, commit)
        return commit

    def _ask_tip(self) -> str:
        """Ask the remote for the branch's commit; empty if there is no such branch."""
        listed = self._git.ask_remote("ls-remote", "--quiet", self._remote, self._ref, name=self.name).split()
        return listed[0] if listed else ""

    def _require_not_checked_out(self) -> None:
        """Do nothing: no work tree shows a remote's branch."""
