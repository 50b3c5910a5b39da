"""git's plumbing, as the history needs it."""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench_action.git.worktree import LONGEST_S, Done, find_git_dir, run_git
from bench_action.history.store import OvertakenError, UncertainError
from bench_action.model.errors import InputError, PublishError

_AUTHOR: Final = ("bench-action", "bench-action@noreply.invalid")
_SETTINGS: Final = {
    "GIT_AUTHOR_NAME": _AUTHOR[0],
    "GIT_AUTHOR_EMAIL": _AUTHOR[1],
    "GIT_COMMITTER_NAME": _AUTHOR[0],
    "GIT_COMMITTER_EMAIL": _AUTHOR[1],
}
# what a server says where another writer was faster (git's transport.c, builtin/receive-pack.c and refs.c)
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
_NOT_THERE: Final = ("not found", "does not appear to be a git repository", "does not exist")
_PASSWORD = re.compile(r"(?<=://)[^/@\s']*@")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree."""

    mode: str
    name: str


class Git:
    """Commands in one repository. Raises InputError where there is no git, PublishError where it fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._git_dir = find_git_dir(path)

    def run(self, *arguments: str, given: bytes | None = None, settings: Mapping[str, str] | None = None) -> Done:
        """Whatever comes of it."""
        try:
            return run_git(self._git_dir, *arguments, given=given or b"", settings={**_SETTINGS, **(settings or {})})
        except subprocess.TimeoutExpired as error:
            raise UncertainError(f"git {arguments[0]} did not end within {LONGEST_S:.0f} s") from error
        except OSError as error:
            raise InputError(f"git cannot be run in {self._path}: {error}", advice="install git") from error

    def ok(self, *arguments: str) -> str | None:
        """Its output, None where it fails."""
        done = self.run(*arguments)
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None

    def demand(self, *arguments: str, given: bytes | None = None, settings: Mapping[str, str] | None = None) -> bytes:
        """Its output. Raises PublishError."""
        done = self.run(*arguments, given=given, settings=settings)
        if done.returncode:
            raise self.failure(done, f"git {arguments[0]} failed in {self._path}")
        return done.stdout

    def talk(self, *arguments: str, what: str) -> str:
        """The output of a command that asks a remote; another try may succeed unless it is a matter of rights."""
        done = self.run(*arguments)
        if done.returncode:
            raise unreachable(done, what)
        return done.stdout.decode(errors="replace")

    def failure(self, done: Done, what: str) -> PublishError:
        """With git's own words."""
        return PublishError(what, cause=_said(done), advice="rights, and room on the disk; `git fsck` says more")

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether a commit is in another's past, or is it; not so where it is not here."""
        return self.run("merge-base", "--is-ancestor", commit, of).returncode == 0

    def entries(self, commit: str) -> dict[str, Entry]:
        """Every file of a commit."""
        found = {}
        for line in self.demand("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")[:-1]:
            facts, _, path = line.partition(b"\t")
            mode, _, name = facts.decode().split(" ")
            found[os.fsdecode(path)] = Entry(mode, name)
        return found

    def contents(self, names: Sequence[str]) -> list[bytes]:
        """Files by what `git rev-parse` takes for them, in their order; ends before one that is not there."""
        answer = self.demand("cat-file", "--batch", given="".join(f"{name}\n" for name in names).encode())
        found, start = [], 0
        while start < len(answer):
            end = answer.index(b"\n", start)
            head = answer[start:end].split(b" ")
            if len(head) != 3 or head[1] != b"blob":
                break
            found.append(answer[end + 1 : end + 1 + int(head[2])])
            start = end + 2 + int(head[2])
        return found

    def write_tree(self, entries: Mapping[str, Entry], files: Mapping[str, bytes]) -> str:
        """A tree with all of `entries`, and `files` in their place, by an index of its own."""
        written = {
            path: Entry("100644", self.demand("hash-object", "-w", "--stdin", given=content).decode().strip())
            for path, content in files.items()
        }
        lines = b"".join(
            f"{entry.mode} {entry.name}\t".encode() + os.fsencode(path) + b"\0"
            for path, entry in {**entries, **written}.items()
        )
        with tempfile.TemporaryDirectory(prefix="bench-action-index-") as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.demand("update-index", "-z", "--add", "--index-info", given=lines, settings=index)
            return self.demand("write-tree", settings=index).decode().strip()

    def write_commit(self, tree: str, parent: str, message: str) -> str:
        """A commit on top of another, or without a past."""
        parents = ["-p", parent] if parent else []
        return self.demand("commit-tree", tree, *parents, given=f"{message}\n".encode()).decode().strip()


def refused_push(done: Done, place: str, commit: str) -> PublishError:
    """What became of a push that failed."""
    answers = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("!")]
    if not answers:
        return unreachable(done, place, commit)
    reason = answers[0].rpartition("\t")[2]
    if any(race in reason or race in done.stderr.decode(errors="replace") for race in _RACES):
        return OvertakenError(f"{place} has moved meanwhile: {reason}", moment=commit)
    return PublishError(
        f"{place} does not take the records: {reason}",
        cause="a rule or hook of the server protects the branch",
        advice="allow this branch to be pushed to; nothing was written",
    )


def unreachable(done: Done, place: str, commit: str = "") -> PublishError:
    """A remote that did not answer as it should."""
    text = done.stderr.decode(errors="replace")
    if any(sign in text for sign in _NOT_THERE):
        return PublishError(
            f"{place} is not there",
            cause=_said(done),
            advice="the repository's address, and credentials that may see it",
        )
    if any(sign in text for sign in _NO_RIGHT):
        return PublishError(
            f"{place} may not be read or written by us",
            cause=_said(done),
            advice="credentials that may write (on GitHub `permissions: contents: write`); nothing was written",
        )
    return UncertainError(f"{place} did not answer: {_said(done)}", moment=commit)


def _said(done: Done) -> str:
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return _PASSWORD.sub("", (fatal or lines or ["it said nothing"])[0])
