"""The git commands that a history needs. Errors of `git/` become errors of the history here."""

import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench_action.git.worktree import Done, GitTimeoutError, explain_failure, find_git_dir, run_git
from bench_action.history.store import ConflictError, UncertainError
from bench_action.model.errors import PublishError

_AUTHOR: Final = ("bench-action", "bench-action@noreply.invalid")
_SETTINGS: Final = {
    "GIT_AUTHOR_NAME": _AUTHOR[0],
    "GIT_AUTHOR_EMAIL": _AUTHOR[1],
    "GIT_COMMITTER_NAME": _AUTHOR[0],
    "GIT_COMMITTER_EMAIL": _AUTHOR[1],
}
# what a server answers if another writer was faster (git's transport.c, builtin/receive-pack.c and refs.c)
_RACES: Final = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "failed to update ref",
    "cannot lock ref",
    "incorrect old value",
    "already exists",
    "reference was updated",
    "failed to lock",
)
_NO_RIGHT: Final = (
    "error: 401",
    "error: 403",
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "Permission denied",
    "permission denied",
    "access rights",
    "not permitted",
)
_NOT_FOUND: Final = ("not found", "does not appear to be a git repository", "does not exist")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree."""

    mode: str
    name: str


class Git:
    """Commands in one repository. Raises InputError if git cannot run, PublishError if a command fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._git_dir = find_git_dir(path)

    def run(self, *arguments: str, given: bytes = b"", settings: Mapping[str, str] | None = None) -> Done:
        """Run a command, whether or not it succeeds. Raises UncertainError if it takes too long."""
        try:
            return run_git(self._git_dir, *arguments, given=given, settings={**_SETTINGS, **(settings or {})})
        except GitTimeoutError as error:
            raise UncertainError(error.what) from error

    def ask(self, *arguments: str) -> str | None:
        """Run a command, and return its output; None if it fails."""
        done = self.run(*arguments)
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None

    def require(self, *arguments: str, given: bytes = b"", settings: Mapping[str, str] | None = None) -> bytes:
        """Run a command, and return its output. Raises PublishError if it fails."""
        done = self.run(*arguments, given=given, settings=settings)
        if done.returncode:
            raise command_error(done, f"git {arguments[0]} failed in {self._path}")
        return done.stdout

    def ask_remote(self, *arguments: str, name: str) -> str:
        """Run a command that asks the remote `name`, and return its output.

        Raises PublishError if the remote refuses, UncertainError if another try may succeed.
        """
        done = self.run(*arguments)
        if done.returncode:
            raise remote_error(done, name)
        return done.stdout.decode(errors="replace")

    def is_ancestor(self, commit: str, descendant: str) -> bool:
        """Return whether a commit is `descendant` or in its past; False if it is not in this repository."""
        return self.run("merge-base", "--is-ancestor", commit, descendant).returncode == 0

    def list_entries(self, commit: str) -> dict[str, Entry]:
        """List all files of a commit by path."""
        entries = {}
        for line in self.require("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")[:-1]:
            facts, _, path = line.partition(b"\t")
            mode, _, name = facts.decode().split(" ")
            entries[os.fsdecode(path)] = Entry(mode, name)
        return entries

    def read_files(self, commit: str, paths: Collection[str]) -> dict[str, bytes]:
        """Read files of a commit."""
        names = "".join(f"{commit}:{path}\n" for path in paths)
        answer = self.require("cat-file", "--batch", given=names.encode())
        files, start = {}, 0
        for path in paths:
            end = answer.index(b"\n", start)
            head = answer[start:end].split(b" ")
            if len(head) != 3 or head[1] != b"blob":
                raise PublishError(f"{self._path} has no file {path} in commit {commit}", advice="run `git fsck`")
            files[path] = answer[end + 1 : end + 1 + int(head[2])]
            start = end + 2 + int(head[2])
        return files

    def write_tree(self, entries: Mapping[str, Entry], files: Mapping[str, bytes]) -> str:
        """Write a tree with `files` in place of those of `entries`, by a separate index, and return its name."""
        written = {
            path: Entry("100644", self.require("hash-object", "-w", "--stdin", given=content).decode().strip())
            for path, content in files.items()
        }
        lines = b"".join(
            f"{entry.mode} {entry.name}\t".encode() + os.fsencode(path) + b"\0"
            for path, entry in {**entries, **written}.items()
        )
        with tempfile.TemporaryDirectory(prefix="bench-action-index-") as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.require("update-index", "-z", "--add", "--index-info", given=lines, settings=index)
            return self.require("write-tree", settings=index).decode().strip()

    def write_commit(self, tree: str, parent: str, message: str) -> str:
        """Write a commit, and return its name; without a parent if `parent` is empty."""
        parents = ["-p", parent] if parent else []
        return self.require("commit-tree", tree, *parents, given=f"{message}\n".encode()).decode().strip()


def command_error(done: Done, what: str) -> PublishError:
    """Build the error for a failed command of a repository on this machine."""
    advice = "check the repository's permissions and the free space on its disk; run `git fsck`"
    return PublishError(what, cause=explain_failure(done), advice=advice)


def push_error(done: Done, place: str, commit: str) -> PublishError:
    """Build the error for a failed push: a conflict, a refusal, or no answer."""
    answers = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("!")]
    if not answers:
        return remote_error(done, place, commit)
    reason = answers[0].rpartition("\t")[2]
    if any(race in reason or race in done.stderr.decode(errors="replace") for race in _RACES):
        return ConflictError(f"{place} has moved in the meantime: {reason}", version=commit)
    return PublishError(
        f"{place} does not accept the records: {reason}",
        cause="a rule or hook of the server protects the branch",
        advice="allow pushes to this branch; nothing was written",
    )


def remote_error(done: Done, place: str, commit: str = "") -> PublishError:
    """Build the error for a remote that refused a command or did not answer it."""
    text = done.stderr.decode(errors="replace")
    if any(sign in text for sign in _NOT_FOUND):
        return PublishError(
            f"{place} was not found",
            cause=explain_failure(done),
            advice="check the repository's address, and that the credentials may read it",
        )
    if any(sign in text for sign in _NO_RIGHT):
        return PublishError(
            f"no permission to read or write {place}",
            cause=explain_failure(done),
            advice="use credentials that may write (on GitHub `permissions: contents: write`); nothing was written",
        )
    return UncertainError(f"{place} did not answer: {explain_failure(done)}", version=commit)
