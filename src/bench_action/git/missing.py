"""Why base's tree lacks what head's folder has: to explain a failure that only base has."""

import re
from collections.abc import Sequence
from pathlib import Path

from bench_action.git.worktree import WorkTree

_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024  # bytes (git-lfs, docs/spec.md)
_MOST = 5
_MANY = 20_000


def explain_missing(head: Path, base: Path, evidence: Sequence[str]) -> str:
    """One sentence on what base's folder lacks and the evidence names; empty if nothing is.

    `head`, `base`: a build context (or the configuration's folder) of head and its counterpart in base's tree.
    `evidence`: lines of the Dockerfile and of the log of what failed.
    """
    text = "\n".join(evidence)
    if empty := _empty_submodules(head, base):
        return f"{_listed(empty)} is a submodule, and empty in the base revision's tree"
    ignored, untracked = _not_under_git(head)
    found = [
        (name, why)
        for names, why in ((ignored, "is ignored by git"), (untracked, "is not under git"))
        for name in names
        if not (base / name).exists() and _is_named(name, text)
    ]
    if found:
        names = [name for name, why in found if why == found[0][1]]
        return (
            f"{_listed(names)} {found[0][1]}, so the base revision's tree does not have it: an earlier step built it "
            'for head only. Build it in the Dockerfile, or name an image of each revision: `image: "name:{revision}"`'
        )
    if pointers := lfs_pointers(base, head):
        return f"{_listed(pointers)} is a pointer of Git LFS in the base revision's tree: install git-lfs to fetch it"
    return ""


def lfs_pointers(base: Path, head: Path) -> list[str]:
    """Files of base's tree that LFS left as pointers, and whose counterpart in head, if any, is not one."""
    found = []
    for number, path in enumerate(base.rglob("*")):
        if number >= _MANY:
            break
        name = path.relative_to(base)
        if _is_pointer(path) and not _is_pointer(head / name):
            found.append(str(name))
    return sorted(found)


def _is_pointer(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_POINTER:
            return False
        return path.read_bytes().startswith(_POINTER)
    except OSError:
        return False


def _empty_submodules(head: Path, base: Path) -> list[str]:
    """Folders that are a submodule's in head, and empty in base's tree."""
    tree = WorkTree.find(head)
    if tree is None:
        return []
    listed = tree.run("ls-files", "-z", "--stage", *_only(head.relative_to(tree.top))).stdout
    paths = [
        tree.top / entry.partition("\t")[2]
        for entry in listed.decode(errors="surrogateescape").split("\0")
        if entry.startswith("160000 ")
    ]
    names = [path.relative_to(head) for path in paths if path.is_dir() and any(path.iterdir())]
    return [str(name) for name in names if (base / name).is_dir() and not any((base / name).iterdir())]


def _not_under_git(head: Path) -> tuple[list[str], list[str]]:
    """Files and whole folders of head's folder that git ignores, and that it does not know."""
    tree = WorkTree.find(head)
    if tree is None:
        return [], []
    where = head.relative_to(tree.top)
    both = []
    for more in (("--ignored", "--exclude-standard"), ("--exclude-standard",)):
        listed = tree.run("ls-files", "-z", "--others", "--directory", *more, *_only(where)).stdout
        paths = [Path(path) for path in listed.decode(errors="surrogateescape").split("\0") if path]
        both.append([str(path.relative_to(where)) for path in paths if path != where])
    return both[0], both[1]


def _only(folder: Path) -> list[str]:
    """Arguments that narrow a listing to a folder of the work tree."""
    return ["--", f":(top,literal){folder}"] if folder.parts else []


def _is_named(name: str, text: str) -> bool:
    """Whether a text names this path, or its last part, as a word of its own."""
    return any(
        re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) is not None for word in {name, Path(name).name}
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST])
    return f"{shown} and {len(names) - _MOST} more" if len(names) > _MOST else shown
