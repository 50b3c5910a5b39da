"""Explain why base's tree lacks files that head's folder has, if only base failed."""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from bench_action.git.worktree import WorkTree

_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024  # bytes, by the same specification
_MOST_NAMES = 5  # in a message
_MOST_FILES = 20_000  # that are searched


def explain_missing(head: Path, base: Path, evidence: Sequence[str]) -> str:
    """Explain in one sentence what base's folder lacks and the evidence mentions; empty if nothing was found.

    `head`, `base`: a build context (or the configuration's folder) of head, and its counterpart in base's tree.
    `evidence`: lines of the Dockerfile and of the failure's log.
    """
    text = "\n".join(evidence)
    if empty := _find_empty_submodules(head, base):
        return f"{_join_names(empty)} is a submodule, and empty in the base revision's tree"
    ignored, untracked = _list_not_under_git(head)
    for names, why in ((ignored, "is ignored by git"), (untracked, "is not under git")):
        if missing := [name for name in names if not (base / name).exists() and _is_named(name, text)]:
            return (
                f"{_join_names(missing)} {why}, so the base revision's tree does not have it: an earlier step built it "
                "for head only. Build it in the Dockerfile, or name an image per revision: "
                '`image: "name:{revision}"`'
            )
    if pointers := find_lfs_pointers(base, head):
        return f"{_join_names(pointers)} is a Git LFS pointer in the base revision's tree: install git-lfs to fetch it"
    return ""


def find_lfs_pointers(base: Path, head: Path, *, fetched: bool = False) -> list[str]:
    """List files of base's tree that are still LFS pointers, and whose counterparts in head are not.

    `fetched`: git-lfs was to fetch them, so that those count as well that head no longer has.
    """
    names = (path.relative_to(base) for path in islice(base.rglob("*"), _MOST_FILES))
    return sorted(
        str(name)
        for name in names
        if _is_pointer(base / name) and (fetched or (head / name).is_file()) and not _is_pointer(head / name)
    )


def _is_pointer(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_POINTER:
            return False
        return path.read_bytes().startswith(_POINTER)
    except OSError:
        return False


def _find_empty_submodules(head: Path, base: Path) -> list[str]:
    """List folders that are submodules in head, and empty in base's tree."""
    tree = WorkTree.find(head)
    if tree is None:
        return []
    listing = tree.run("ls-files", "-z", "--stage", *_limit_to(head.relative_to(tree.top))).stdout
    paths = [
        tree.top / entry.partition("\t")[2]
        for entry in listing.decode(errors="surrogateescape").split("\0")
        if entry.startswith("160000 ")
    ]
    names = [path.relative_to(head) for path in paths if path.is_dir() and any(path.iterdir())]
    return [str(name) for name in names if (base / name).is_dir() and not any((base / name).iterdir())]


def _list_not_under_git(head: Path) -> tuple[list[str], list[str]]:
    """List files and whole folders of head's folder that git ignores, and those that it does not track."""
    tree = WorkTree.find(head)
    if tree is None:
        return [], []
    where = head.relative_to(tree.top)
    both = []
    for more in (("--ignored", "--exclude-standard"), ("--exclude-standard",)):
        listing = tree.run("ls-files", "-z", "--others", "--directory", *more, *_limit_to(where)).stdout
        paths = [Path(path) for path in listing.decode(errors="surrogateescape").split("\0") if path]
        both.append([str(path.relative_to(where)) for path in paths if path != where])
    return both[0], both[1]


def _limit_to(folder: Path) -> list[str]:
    """Make the arguments that limit a listing to a folder of the work tree."""
    return ["--", f":(top,literal){folder}"] if folder.parts else []


def _is_named(name: str, text: str) -> bool:
    """Whether a text contains this path, or its last part, as a separate word."""
    return any(
        re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) is not None for word in {name, Path(name).name}
    )


def _join_names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown
