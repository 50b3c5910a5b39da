"""What is measured, if it is under git; and the sources of the base revision, in a folder of their own."""

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from bench_action.config.paths import find_top
from bench_action.engine.ownership import Process
from bench_action.git.missing import lfs_pointers
from bench_action.git.worktree import Done, WorkTree, explain_failure
from bench_action.model.errors import InputError
from bench_action.model.result import Source
from bench_action.model.wording import plural

# no @ in it: `https://token@host/repo` is no owner and repository, and the token is nobody's business
_REPOSITORY = re.compile(r"[/:]([^/:@]+/[^/@]+?)(?:\.git)?/?$")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PREFIX = "bench-action-base-"
_OWNER = "owner"
_LATEST = "--max-count=1000"  # commits whose dates are compared
# base's tree is complete in its own folder, also if this clone is sparse
_WHOLE = ("-c", "core.sparseCheckout=false", "-c", "index.sparse=false", "-c", "core.splitIndex=false")
# an object of LFS that cannot be fetched stays a pointer, and is reported; the other files are none the worse
_LFS = {"GIT_LFS_SKIP_DOWNLOAD_ERRORS": "1"}
_SIGNS_OF_A_PROMISE = ("promisor", "could not fetch", "unable to read sha1", "unable to read")


def read_source(folder: Path, environ: Mapping[str, str]) -> Source:
    """Read facts of the work tree that holds `folder`; they are empty if there is none, or git is not installed.

    GitHub's own variables win over what git says: in a pull request, HEAD is a merge commit on no branch.
    """
    tree = WorkTree.find(folder)
    remote = _REPOSITORY.search(tree.ask("remote", "get-url", "origin")) if tree else None
    return Source(
        repository=environ.get("GITHUB_REPOSITORY") or (remote[1] if remote else ""),
        head_sha=tree.ask("rev-parse", "HEAD") if tree else "",
        ref=environ.get("GITHUB_REF") or (tree.ask("symbolic-ref", "--quiet", "HEAD") if tree else ""),
        event=environ.get("GITHUB_EVENT_NAME", ""),
        dirty=tree is not None and _is_dirty(tree),
        committed_at=committed_at(tree.ask("log", "--first-parent", _LATEST, "--format=%ct", "HEAD"), time.time())
        if tree
        else "",
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
    given = [Path(workspace).resolve()] if workspace else []
    tops = [top for top in (*given, find_top(folder), Path.cwd()) if top is not None and folder.is_relative_to(top)]
    return (folder.relative_to(tops[0]) / file if tops else Path(folder.name, file)).as_posix()


def head_and_parents(folder: Path) -> tuple[str, list[str]]:
    """HEAD of the work tree that holds `folder`, and its parents, also those that a shallow clone does not have.

    Empty if there is no work tree, or git is not installed.
    """
    tree = WorkTree.find(folder)
    if tree is None:
        return "", []
    header = tree.ask("cat-file", "commit", "HEAD").partition("\n\n")[0]
    parents = [line.removeprefix("parent ") for line in header.splitlines() if line.startswith("parent ")]
    return tree.ask("rev-parse", "HEAD"), parents


def resolve(folder: Path, revision: str, environ: Mapping[str, str] | None = None) -> str:
    """The commit that a revision names, fetched if this clone does not have it. Raises InputError.

    `environ`: git's whole environment, if that is not ours: a token's place is there, and never the command line, which
    every process of the machine may read.
    """
    tree = WorkTree.find(folder, environ)
    if tree is None or not tree.ask("rev-parse", "--git-dir"):
        raise InputError(
            f"--baseline {revision} needs a git repository, and {folder} is in none",
            cause="the base revision's sources come from there",
            advice="give a configuration that is under git; in a container, install git",
        )
    name = revision.removeprefix("origin/")  # `origin/main` here is `main` there
    if any(text.startswith("-") for text in (revision, name)):
        raise InputError(f"{revision!r} is not a revision")
    if found := _commit(tree, revision):
        return found
    shallow = tree.ask("rev-parse", "--is-shallow-repository") == "true"
    cause = _fetch(tree, name, shallow=shallow)
    if not cause and (found := _commit(tree, "FETCH_HEAD")):
        return found
    raise InputError(
        f"--baseline {revision}: there is no such commit here, and `origin` does not have it",
        cause=cause or "what `origin` sent is not a commit",
        advice="this clone is shallow: fetch the commit first (`git fetch --depth=1 origin SHA`, or actions/checkout "
        "with `fetch-depth: 0`)"
        if shallow
        else "a branch, a tag or a commit that `git log` shows",
    )


def find_former_name(folder: Path, file: str, commit: str, environ: Mapping[str, str] | None = None) -> str:
    """The path, relative to `folder`, that a commit has a file of the working tree under; empty where it is the same.

    git recognises a rename by its content, also one with small changes. `environ` as in `resolve`.
    """
    tree = WorkTree.find(folder, environ)
    if tree is None:
        return ""
    inside = folder.relative_to(tree.top)
    plain = ("--no-ext-diff", "--no-textconv", "--ignore-submodules")
    listed = tree.ask("diff", *plain, "--name-status", "--find-renames", "--diff-filter=R", "-z", commit).split("\0")
    for old, new in zip(listed[1::3], listed[2::3], strict=False):
        if new == str(inside / file):
            return os.path.relpath(old, inside)
    return ""


@contextlib.contextmanager
def checked_out(
    folder: Path, commit: str, environ: Mapping[str, str] | None = None, tell: Callable[[str], None] = lambda _: None
) -> Iterator[Path]:
    """The counterpart of `folder` in a commit's tree, in a folder that exists until the context ends.

    It is the same kind of tree as the work tree: complete, submodules filled if they are filled there, LFS's files
    fetched if git-lfs is installed; `tell` receives what could not be. Nothing is written into the work tree, and no
    worktree is registered that a killed run would leave behind. `environ` as in `resolve`. Raises InputError.
    """
    tree = WorkTree.find(folder, environ)
    if tree is None or not _COMMIT.fullmatch(commit):
        raise InputError(f"could not read the sources of {commit}: {folder} is not in a git repository")
    _sweep()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        place = Path(name)
        (place / _OWNER).write_text(str(Process.of(os.getpid()) or ""), encoding="ascii")
        base = place / "tree"
        _Checkout(place, tell).write(tree, commit, base)
        if pointers := lfs_pointers(base, tree.top):
            why = "git-lfs could not fetch them" if tree.has_lfs else "git-lfs is not installed or not set up here"
            tell(
                f"in the base revision, {plural(len(pointers), 'file')} of Git LFS could not be read and "
                f"{'is a pointer' if len(pointers) == 1 else 'are pointers'}: {', '.join(pointers[:5])}. {why}"
            )
        yield base / folder.relative_to(tree.top)


def _is_dirty(tree: WorkTree) -> bool:
    """Whether a file that git knows has changed. Files of LFS are passed over where only git-lfs could say so."""
    done = tree.run("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")
    changed = [entry[3:] for entry in done.stdout.split(b"\0") if entry]
    if not changed or tree.has_lfs:
        return bool(changed)
    done = tree.run("check-attr", "-z", "--stdin", "filter", given=b"".join(path + b"\0" for path in changed))
    return any(value != b"lfs" for value in done.stdout.split(b"\0")[2::3])


def _commit(tree: WorkTree, revision: str) -> str:
    return tree.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def _fetch(tree: WorkTree, name: str, *, shallow: bool, settings: Mapping[str, str] | None = None) -> str:
    """Fetch what `origin` calls `name`; why that failed, empty if it did not."""
    if tree.run("check-ref-format", "--allow-onelevel", name).returncode or name.startswith("+"):
        return f"{name!r} is not a name that a remote could have"
    depth = ["--depth=1"] if shallow else []
    done = tree.run(
        "fetch", "--quiet", *depth, "--no-tags", "--no-recurse-submodules", "--", "origin", name, settings=settings
    )
    return explain_failure(done) if done.returncode else ""


def _submodules(tree: WorkTree, commit: str) -> list[tuple[str, str]]:
    """Path and commit of each."""
    listed = tree.run("ls-tree", "-r", "-z", "--full-tree", commit).stdout.decode(errors="surrogateescape")
    entries = [entry.partition("\t") for entry in listed.split("\0") if entry.startswith("160000 ")]
    return [(path, facts.split(" ")[2]) for facts, _, path in entries]


@dataclass(frozen=True, slots=True)
class _Checkout:
    """Writes trees of commits. `scratch`: a folder for indexes; `tell` receives what could not be written."""

    scratch: Path
    tell: Callable[[str], None]

    def write(self, tree: WorkTree, commit: str, target: Path, inside: str = "") -> None:
        """Write a commit's whole tree into `target`, and those of its submodules. Raises InputError."""
        target.mkdir(exist_ok=True)
        settings = {"GIT_INDEX_FILE": str(self.scratch / f"index-{commit}"), **_LFS}
        done = tree.at(target).run(*_WHOLE, "read-tree", "--reset", "-u", commit, settings=settings)
        if done.returncode:
            raise _unreadable(tree, commit, done)
        for path, wanted in _submodules(tree, commit):
            here = tree.top / path
            if here.is_dir() and not any(here.iterdir()):
                continue  # head's is empty as well: this clone has none
            if problem := self._fill(_module(tree, commit, path), wanted, target / path, f"{inside}{path}"):
                self.tell(f"the submodule {inside}{path} is empty in the base revision: {problem}")

    def _fill(self, module: WorkTree | None, wanted: str, target: Path, name: str) -> str:
        """Fill a submodule of base's from what this clone has of it; why that is not possible, empty if it is."""
        if module is None:
            return "this clone does not have it (actions/checkout: `submodules: true`)"
        if not _commit(module, wanted):
            # its address may be a pull request's: as git does for submodules, no file of this machine
            cause = _fetch(module, wanted, shallow=True, settings={"GIT_PROTOCOL_FROM_USER": "0"})
            if cause or not _commit(module, wanted):
                return f"could not fetch its commit {wanted[:12]}: {cause or 'it is not there'}"
        try:
            self.write(module, wanted, target, f"{name}/")
        except InputError as error:
            return f"{error.what}: {error.cause}"
        return ""


def _module(tree: WorkTree, commit: str, path: str) -> WorkTree | None:
    """A submodule's repository: by its path, else by the name that the commit gives it."""
    here = tree.top / path
    found = WorkTree.find(here, tree.environ)
    if found is not None and found.top == here:
        return found
    keys = tree.ask("config", "--blob", f"{commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    pairs = [line.partition(" ") for line in keys.splitlines()]
    for key, _, value in pairs:
        name = PurePosixPath(key.removeprefix("submodule.").removesuffix(".path"))
        if value == path and ".." not in name.parts and not name.is_absolute():
            module = Path(tree.top, tree.ask("rev-parse", "--git-path", f"modules/{name}"))
            return WorkTree(module, module, tree.environ) if (module / "HEAD").is_file() else None
    return None


def _unreadable(tree: WorkTree, commit: str, done: Done) -> InputError:
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    text = "\n".join(lines)
    partial = tree.ask("config", "--get-regexp", r"^remote\..*\.promisor$")
    advice = "run `git fsck`: objects of this repository are missing or damaged"
    if partial and any(sign in text for sign in _SIGNS_OF_A_PROMISE):
        advice = (
            "this is a partial clone, and `origin` did not send the files that it lacks: check out without `filter` "
            "(actions/checkout with `fetch-depth: 0`), or let it reach `origin` (`github-token`, `persist-credentials`)"
        )
    return InputError(
        f"could not read the sources of {commit[:12]}", cause=explain_failure(done), advice=advice, log=lines[-5:]
    )


def _sweep() -> None:
    """Remove folders that killed runs have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if folder.lstat().st_uid != os.getuid():
                continue  # somebody else's: nothing in it is opened
            owner = Process.parse(_read_owner(folder / _OWNER))
            if owner is not None and owner.is_gone():
                shutil.rmtree(folder, ignore_errors=True)


def _read_owner(path: Path) -> str:
    """The text of a regular file; raises OSError for a link, and never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="ascii") as file:
        return file.read(1024) if stat.S_ISREG(os.fstat(descriptor).st_mode) else ""
