"""Describe what is measured, if it is under git, and check out the base revision into a separate folder."""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from bench_action.config.paths import find_top
from bench_action.engine.ownership import Process, read_own_file
from bench_action.git.missing import find_lfs_pointers
from bench_action.git.worktree import Done, WorkTree, explain_failure
from bench_action.model.errors import InputError
from bench_action.model.result import Source
from bench_action.model.wording import plural

# without @, so that the token in `https://token@host/repo` is never taken for an owner
_REPOSITORY = re.compile(r"[/:]([^/:@]+/[^/@]+?)(?:\.git)?/?$")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PREFIX = "base-"  # short, as few repositories then have a shorter path
_LONGEST_NAME = 255
_OWNER = "owner"
_LATEST = "--max-count=1000"  # commits whose dates are compared
# base's tree is complete even if this clone is sparse
_WHOLE = ("-c", "core.sparseCheckout=false", "-c", "index.sparse=false", "-c", "core.splitIndex=false")
# a file of LFS that cannot be fetched remains a pointer, and is reported; the other files are checked out
_LFS = {"GIT_LFS_SKIP_DOWNLOAD_ERRORS": "1"}
_SIGNS_OF_A_PARTIAL_CLONE = ("promisor", "could not fetch", "unable to read sha1", "unable to read")


def read_source(folder: Path, environ: Mapping[str, str]) -> Source:
    """Describe the work tree that `folder` is in; fields are empty if it is in none, or git is not installed.

    GitHub's own variables take precedence over git: in a pull request, HEAD is a merge commit on no branch.
    """
    tree = WorkTree.find(folder)
    remote = _REPOSITORY.search(tree.ask("remote", "get-url", "origin")) if tree else None
    dates = tree.ask("log", "--first-parent", _LATEST, "--format=%ct", "HEAD") if tree else ""
    return Source(
        repository=environ.get("GITHUB_REPOSITORY") or (remote[1] if remote else ""),
        head_sha=tree.ask("rev-parse", "HEAD") if tree else "",
        ref=environ.get("GITHUB_REF") or (tree.ask("symbolic-ref", "--quiet", "HEAD") if tree else ""),
        event=environ.get("GITHUB_EVENT_NAME", ""),
        dirty=tree is not None and _is_dirty(tree),
        committed_at=find_commit_time(dates, time.time()),
    )


def find_commit_time(dates: str, now: float) -> str:
    """Find out when HEAD was committed, from the dates (seconds, one per line) of HEAD and its first parents.

    No commit is older than its parents, so the latest date counts: a committer's slow clock does no harm if the clone
    has the parents. Dates in the future are ignored. Returns ISO 8601 in UTC; empty if no date is left.
    """
    past = [int(text) for text in dates.split() if text.isdecimal() and 0 < int(text) <= now]
    return datetime.fromtimestamp(max(past), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if past else ""


def name_configuration(folder: Path, file: str, workspace: str = "") -> str:
    """Name a configuration by its path from the top of the job's workspace or, without one, of its repository.

    A workspace may contain several repositories, side by side or as submodules. If the configuration is in neither, the
    path is relative to the working directory, or else only the folder's name. `folder` is absolute and resolved.
    """
    workspaces = [Path(workspace).resolve()] if workspace else []
    tops = [*workspaces, find_top(folder), Path.cwd()]
    around = [top for top in tops if top is not None and folder.is_relative_to(top)]
    return (folder.relative_to(around[0]) / file if around else Path(folder.name, file)).as_posix()


def read_head_and_parents(folder: Path) -> tuple[str, list[str]]:
    """Read HEAD of the work tree that `folder` is in, and its parents, even those that a shallow clone does not have.

    Empty if it is in no work tree, or git is not installed.
    """
    tree = WorkTree.find(folder)
    if tree is None:
        return "", []
    header = tree.ask("cat-file", "commit", "HEAD").partition("\n\n")[0]
    parents = [line.removeprefix("parent ") for line in header.splitlines() if line.startswith("parent ")]
    return tree.ask("rev-parse", "HEAD"), parents


def resolve_revision(folder: Path, revision: str, environ: Mapping[str, str] | None = None) -> str:
    """Resolve a revision to its commit, which is fetched if this clone does not have it. Raises InputError.

    `environ`: git's whole environment; None for ours. A token belongs there and never on the command line, which every
    process of the machine may read.
    """
    tree = WorkTree.find(folder, environ)
    if tree is None or not tree.ask("rev-parse", "--git-dir"):
        raise InputError(
            f"--baseline {revision} needs a git repository, but {folder} is not in one",
            cause="the base revision's sources are read from git",
            advice="use a configuration that is under git; in a container, install git",
        )
    name = revision.removeprefix("origin/")  # `origin/main` here is `main` at the remote
    if any(text.startswith("-") for text in (revision, name)):
        raise InputError(f"{revision!r} is not a revision")
    if commit := _find_commit(tree, revision):
        return commit
    shallow = _is_shallow(tree)
    cause = _fetch(tree, name, shallow=shallow)
    if not cause and (commit := _find_commit(tree, "FETCH_HEAD")):
        return commit
    advice = "name a branch, a tag or a commit that `git log` shows"
    if shallow:
        command = "git fetch --depth=1 origin SHA"
        advice = (
            f"this clone is shallow: fetch the commit first (`{command}`, or actions/checkout with `fetch-depth: 0`)"
        )
    raise InputError(
        f"--baseline {revision}: no such commit, neither in this clone nor at `origin`",
        cause=cause or "what `origin` sent is not a commit",
        advice=advice,
    )


def read_files(
    folder: Path, commit: str, files: Sequence[str], environ: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """Read files of a commit, whose paths are relative to `folder`: path → contents of those that it has.

    `environ`: as for `resolve_revision`. Empty if the commit cannot be found.
    """
    tree = WorkTree.find(folder, environ)
    if tree is None:
        return {}
    try:
        found = resolve_revision(folder, commit, environ)
    except InputError:
        return {}
    inside = folder.relative_to(tree.top)
    read = {file: tree.run("cat-file", "blob", f"{found}:{(inside / file).as_posix()}") for file in files}
    return {file: done.stdout for file, done in read.items() if done.returncode == 0}


def list_tracked(folder: Path, environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """List the files under git in the working tree that `folder` is in, relative to its top; empty without git."""
    tree = WorkTree.find(folder, environ)
    return frozenset() if tree is None else frozenset(tree.ask("ls-files", "-z").split("\0"))


def find_former_name(folder: Path, file: str, commit: str, environ: Mapping[str, str] | None = None) -> str:
    """Find the path, relative to `folder`, of a working tree's file in a commit; empty if it has not been moved.

    git recognises a rename by the file's content, even if that has changed a little. `environ`: as for
    `resolve_revision`.
    """
    tree = WorkTree.find(folder, environ)
    if tree is None:
        return ""
    inside = folder.relative_to(tree.top)
    plain = ("--no-ext-diff", "--no-textconv", "--ignore-submodules")
    listing = tree.ask("diff", *plain, "--name-status", "--find-renames", "--diff-filter=R", "-z", commit).split("\0")
    for old, new in zip(listing[1::3], listing[2::3], strict=False):
        if new == str(inside / file):
            return os.path.relpath(old, inside)
    return ""


@contextlib.contextmanager
def check_out(
    folder: Path, commit: str, environ: Mapping[str, str] | None = None, warn: Callable[[str], None] = lambda _: None
) -> Iterator[Path]:
    """Check out a commit, and yield the counterpart of `folder` in its tree, which exists until the context ends.

    The tree is complete: submodules are filled if they are filled in the work tree, and files of LFS are fetched if
    git-lfs is installed. What could not be read is passed to `warn`. Nothing is written into the work tree, and no
    worktree is registered that a killed run would leave behind. Its path is as long as that of the work tree, if that
    is not very short. `environ`: as for `resolve_revision`. Raises InputError.
    """
    tree = WorkTree.find(folder, environ)
    if tree is None or not _COMMIT.fullmatch(commit):
        raise InputError(f"could not read the sources of {commit}: {folder} is not in a git repository")
    _sweep()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        scratch = Path(name)
        (scratch / _OWNER).write_text(str(Process.from_pid(os.getpid()) or ""), encoding="ascii")
        base = scratch / _name_tree(scratch, tree.top)
        _Checkout(scratch, warn).write(tree, commit, base)
        if pointers := find_lfs_pointers(base, tree.top, fetched=tree.has_lfs):
            why = "git-lfs could not fetch them" if tree.has_lfs else "git-lfs is not installed or not set up here"
            warn(
                f"in the base revision, {plural(len(pointers), 'file')} of Git LFS could not be read and "
                f"{'is a pointer' if len(pointers) == 1 else 'are pointers'}: {', '.join(pointers[:5])}. {why}"
            )
        yield base / folder.relative_to(tree.top)


def _name_tree(scratch: Path, top: Path) -> str:
    """Name base's tree so that its path is as long as head's.

    A process without a container keeps this path in its variables and in its code: where its memory is, and so what a
    request costs, would otherwise depend on it.
    """
    length = len(str(top)) - len(str(scratch)) - 1
    return "tree".ljust(min(length, _LONGEST_NAME), "-")[: max(1, length)]


def _is_dirty(tree: WorkTree) -> bool:
    """Whether a tracked file has changed. Without git-lfs, files of LFS are ignored, as only git-lfs could tell."""
    done = tree.run("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")
    changed = [entry[3:] for entry in done.stdout.split(b"\0") if entry]
    if not changed or tree.has_lfs:
        return bool(changed)
    done = tree.run("check-attr", "-z", "--stdin", "filter", given=b"".join(path + b"\0" for path in changed))
    return any(value != b"lfs" for value in done.stdout.split(b"\0")[2::3])


def _find_commit(tree: WorkTree, revision: str) -> str:
    return tree.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def _is_shallow(tree: WorkTree) -> bool:
    """Whether a clone lacks a part of its history; a shallow fetch would cut off that of a complete one."""
    return tree.ask("rev-parse", "--is-shallow-repository") == "true"


def _fetch(tree: WorkTree, name: str, *, shallow: bool, settings: Mapping[str, str] | None = None) -> str:
    """Fetch `name` from `origin`, and return why that failed; empty if it did not."""
    if tree.run("check-ref-format", "--allow-onelevel", name).returncode or name.startswith("+"):
        return f"{name!r} is not a valid name of a ref"
    depth = ["--depth=1"] if shallow else []
    done = tree.run(
        "fetch", "--quiet", *depth, "--no-tags", "--no-recurse-submodules", "--", "origin", name, settings=settings
    )
    return explain_failure(done) if done.returncode else ""


def _list_submodules(tree: WorkTree, commit: str) -> list[tuple[str, str]]:
    """List the paths and commits of a commit's submodules."""
    listing = tree.run("ls-tree", "-r", "-z", "--full-tree", commit).stdout.decode(errors="surrogateescape")
    entries = [entry.partition("\t") for entry in listing.split("\0") if entry.startswith("160000 ")]
    return [(path, fields.split(" ")[2]) for fields, _, path in entries]


@dataclass(frozen=True, slots=True)
class _Checkout:
    """Writes trees of commits. `scratch`: a folder for indexes; `warn` is passed what could not be written."""

    scratch: Path
    warn: Callable[[str], None]

    def write(self, tree: WorkTree, commit: str, target: Path, inside: str = "") -> None:
        """Write a commit's whole tree, and those of its submodules, into `target`. Raises InputError."""
        target.mkdir(exist_ok=True)
        settings = {"GIT_INDEX_FILE": str(self.scratch / f"index-{commit}"), **_LFS}
        done = tree.move_to(target).run(*_WHOLE, "read-tree", "--reset", "-u", commit, settings=settings)
        if done.returncode:
            raise _explain_unreadable(tree, commit, done)
        for path, wanted in _list_submodules(tree, commit):
            here = tree.top / path
            if here.is_dir() and not any(here.iterdir()):
                continue  # it is empty in head as well: this clone does not have it
            if problem := self._fill(_find_submodule(tree, commit, path), wanted, target / path, f"{inside}{path}"):
                self.warn(f"the submodule {inside}{path} is empty in the base revision: {problem}")

    def _fill(self, module: WorkTree | None, wanted: str, target: Path, name: str) -> str:
        """Write a submodule of base from what this clone has of it; return why that failed, empty if it did not."""
        if module is None:
            return "this clone does not have it (actions/checkout: `submodules: true`)"
        if not _find_commit(module, wanted):
            # a pull request may have set its address, so that, as git does for submodules, no local path is allowed
            shallow = _is_shallow(module)
            cause = _fetch(module, wanted, shallow=shallow, settings={"GIT_PROTOCOL_FROM_USER": "0"})
            if cause or not _find_commit(module, wanted):
                return f"could not fetch its commit {wanted[:12]}: {cause or 'its remote does not have it'}"
        try:
            self.write(module, wanted, target, f"{name}/")
        except InputError as error:
            return f"{error.what}: {error.cause}"
        return ""


def _find_submodule(tree: WorkTree, commit: str, path: str) -> WorkTree | None:
    """Find a submodule's repository: by its path, else by its name in the commit."""
    here = tree.top / path
    submodule = WorkTree.find(here, tree.environ)
    if submodule is not None and submodule.top == here:
        return submodule
    keys = tree.ask("config", "--blob", f"{commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    for key, _, value in (line.partition(" ") for line in keys.splitlines()):
        name = PurePosixPath(key.removeprefix("submodule.").removesuffix(".path"))
        if value == path and ".." not in name.parts and not name.is_absolute():
            module = Path(tree.top, tree.ask("rev-parse", "--git-path", f"modules/{name}"))
            return WorkTree(module, module, tree.environ) if (module / "HEAD").is_file() else None
    return None


def _explain_unreadable(tree: WorkTree, commit: str, done: Done) -> InputError:
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    text = "\n".join(lines)
    partial = tree.ask("config", "--get-regexp", r"^remote\..*\.promisor$")
    advice = "run `git fsck`: objects of this repository are missing or damaged"
    if partial and any(sign in text for sign in _SIGNS_OF_A_PARTIAL_CLONE):
        advice = (
            "this is a partial clone, and `origin` did not send the missing files: check out without `filter` "
            "(actions/checkout with `fetch-depth: 0`), or let it reach `origin` (`github-token`, `persist-credentials`)"
        )
    what = f"could not read the sources of {commit[:12]}"
    return InputError(what, cause=explain_failure(done), advice=advice, log=lines[-5:])


def _sweep() -> None:
    """Remove folders that killed runs have left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if folder.lstat().st_uid != os.getuid():
                continue  # another user's: nothing in it is opened
            owner = Process.parse(read_own_file(folder / _OWNER))
            if owner is not None and owner.is_running() is False:
                shutil.rmtree(folder, ignore_errors=True)
