"""What is measured, where it is under git; and the sources of the base revision, in a folder of their own."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench_action.engine.ownership import Process
from bench_action.model.errors import InputError
from bench_action.model.result import Source

# no @ in it: `https://token@host/repo` is no owner and repository, and the token is nobody's business
_REPOSITORY = re.compile(r"[/:]([^/:@]+/[^/@]+?)(?:\.git)?/?$")
_PREFIX = "bench-action-base-"
_OWNER = "owner"
_FETCH_S = 300.0
_LATEST = "--max-count=1000"  # commits whose dates are compared


def read_source(folder: Path, environ: Mapping[str, str]) -> Source:
    """Facts of the working tree that holds `folder`; empty where it is none, or git is not installed.

    GitHub's own variables win over what git says: in a pull request, HEAD is a merge commit on no branch.
    """
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    remote = _REPOSITORY.search(_git(folder, "remote", "get-url", "origin"))
    return Source(
        repository=environ.get("GITHUB_REPOSITORY") or (remote[1] if remote else ""),
        head_sha=_git(folder, "rev-parse", "HEAD"),
        ref=environ.get("GITHUB_REF") or _git(folder, "symbolic-ref", "--quiet", "HEAD"),
        event=environ.get("GITHUB_EVENT_NAME", ""),
        dirty=bool(status),
        committed_at=committed_at(_git(folder, "log", "--first-parent", _LATEST, "--format=%ct", "HEAD"), time.time()),
    )


def committed_at(dates: str, now: float) -> str:
    """When HEAD was committed, ISO 8601 in UTC, from the dates (seconds, one a line) of it and its first parents.

    No commit is older than its parents, so the latest date counts: a committer's clock that was behind does no harm
    where the clone has the parents. Nor is it from the future: such dates are left out. Empty if none is left.
    """
    seconds = [int(text) for text in dates.split() if text.isdecimal()]
    past = [one for one in seconds if 0 < one <= now]
    return datetime.fromtimestamp(max(past), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if past else ""


def name_configuration(folder: Path, file: str, workspace: str = "") -> str:
    """Name a configuration by its path from the top of the job's workspace or, without one, of its repository.

    A workspace may hold several repositories, side by side or as submodules. Outside of both, the path is that from the
    working directory; somewhere else entirely, the folder's own name has to do. `folder` is absolute and resolved.
    """
    repositories = [place for place in (folder, *folder.parents) if (place / ".git").exists()]
    given = [Path(workspace).resolve()] if workspace else []
    tops = [top for top in (*given, *repositories[:1], Path.cwd()) if folder.is_relative_to(top)]
    return (folder.relative_to(tops[0]) / file if tops else Path(folder.name, file)).as_posix()


def parents(folder: Path) -> list[str]:
    """HEAD's parents, the first first; also those that a shallow clone does not have."""
    header = _git(folder, "cat-file", "commit", "HEAD").partition("\n\n")[0]
    return [line.removeprefix("parent ") for line in header.splitlines() if line.startswith("parent ")]


def resolve(folder: Path, revision: str, environ: Mapping[str, str] | None = None) -> str:
    """The commit that a revision names, fetched where this clone does not have it. Raises InputError.

    `environ`: git's whole environment, where that is another than ours: a token's place is there, and never the command
    line, which every process of the machine may read.
    """
    if not _git(folder, "rev-parse", "--show-toplevel"):
        raise InputError(
            f"--baseline {revision} needs a git repository, and {folder} is in none",
            cause="the base revision's sources come from there",
            advice="give a configuration that is under git; in a container, install git",
        )
    if revision.startswith("-"):
        raise InputError(f"{revision!r} is no revision")
    if found := _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"):
        return found
    fetched = _run(
        folder, "fetch", "--quiet", "--depth=1", "--no-tags", "origin", _remote_name(revision), environ=environ
    )
    if fetched.returncode == 0 and (found := _git(folder, "rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}")):
        return found
    shallow = _git(folder, "rev-parse", "--is-shallow-repository") == "true"
    raise InputError(
        f"--baseline {revision}: there is no such commit here, and `origin` does not give it",
        cause=(fetched.stderr.strip().splitlines() or ["git fetch failed"])[-1],
        advice="this clone is shallow: fetch the commit first (`git fetch --depth=1 origin SHA`, or actions/checkout "
        "with `fetch-depth: 0`)" if shallow else "a branch, a tag or a commit that `git log` shows",
    )  # fmt: skip


def renamed_from(folder: Path, file: str, commit: str) -> str:
    """The path, relative to `folder`, that a commit has a file of the working tree under; empty where it is the same.

    git recognises a rename by its content, also one with small changes.
    """
    inside = _git(folder, "rev-parse", "--show-prefix")
    listed = _git(folder, "diff", "--name-status", "--find-renames", "--diff-filter=R", "-z", commit).split("\0")
    for old, new in zip(listed[1::3], listed[2::3], strict=False):
        if new == f"{inside}{file}":
            return os.path.relpath(old, inside or ".")
    return ""


@contextlib.contextmanager
def checked_out(folder: Path, commit: str) -> Iterator[Path]:
    """The counterpart of `folder` in a commit's tree, in a folder that exists until the context ends.

    Nothing is written into the repository: no worktree is registered that a killed run would leave behind. Filters such
    as LFS's apply, submodules stay empty. Raises InputError.
    """
    inside = _git(folder, "rev-parse", "--show-prefix")
    _sweep()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        place = Path(name)
        (place / _OWNER).write_text(str(Process.of(os.getpid()) or ""), encoding="ascii")
        index, tree = {"GIT_INDEX_FILE": str(place / "index")}, place / "tree"
        top = Path(_git(folder, "rev-parse", "--show-toplevel"))
        for arguments in (("read-tree", commit), ("checkout-index", "--all", "--quiet", f"--prefix={tree}/")):
            done = _run(top, *arguments, settings=index)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or ["git failed"]
                raise InputError(f"the sources of {commit[:12]} cannot be had", cause=lines[-1], log=lines[-5:])
        yield tree / inside


def _sweep() -> None:
    """Folders that killed runs have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            owner = Process.parse((folder / _OWNER).read_text(encoding="ascii"))
            if folder.lstat().st_uid == os.getuid() and owner is not None and owner.is_gone():
                shutil.rmtree(folder, ignore_errors=True)


def _remote_name(revision: str) -> str:
    """What `origin` calls it: `origin/main` here is `main` there."""
    return revision.removeprefix("origin/")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = _run(folder, *arguments)
    except InputError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(
    folder: Path, *arguments: str, settings: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    # in a container action the workspace belongs to another user, which git calls dubious ownership
    given = [f"{name}={value}" for name, value in {"GIT_TERMINAL_PROMPT": "0", **(settings or {})}.items()]
    command = ["env", *given, "git", "-c", "safe.directory=*", *arguments]
    try:
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=_FETCH_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"git cannot be run: {error}", advice="install git") from error
