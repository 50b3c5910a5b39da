"""Compare what base and head have in the files that they give to databases."""

import filecmp
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from bench_action.config.load import Project
from bench_action.config.schema import File
from bench_action.model.files import NEVER_COPIED

# whose files a database runs at its first start: those that both have, each revision's own, or head's for both
Beginning = Literal["same", "own", "head's"]


def differ(base: Project, head: Project, old: str | None, new: str | None) -> bool:
    """Whether a file or a folder of base has other contents than one of head. None: it is not a file of the sources.

    One that is missing is not compared.
    """
    if old is None or new is None:
        return old != new
    before, after = base.folder / old, head.folder / new
    if before.is_dir() != after.is_dir():
        return before.exists() and after.exists()
    if not before.is_dir():
        return before.is_file() and after.is_file() and not filecmp.cmp(before, after, shallow=False)
    names = _list_files(before)
    return names != _list_files(after) or bool(filecmp.cmpfiles(before, after, names, shallow=False)[1])


def judge_beginning(
    base: Project, old: Mapping[str, File], head: Project, new: Mapping[str, File], tracked: Collection[str]
) -> Beginning:
    """Judge whether a database begins with other data in base, whose files for its first start are `old`.

    `tracked`: head's files under git, relative to its root; empty if they are not known. With one that is not under
    git, such as a dump that an earlier step has fetched, head's are for both: base's sources cannot have it.
    """
    same = old.keys() == new.keys() and not any(
        (file.content, file.mode) != (new[path].content, new[path].mode)
        or differ(base, head, file.source, new[path].source)
        for path, file in old.items()
    )
    if same:
        return "same"
    return "head's" if tracked and any(_is_untracked(head, file, tracked) for file in new.values()) else "own"


def _is_untracked(head: Project, file: File, tracked: Collection[str]) -> bool:
    """Whether a file, or one in a folder, is not under git."""
    if file.source is None:
        return False
    path = head.folder / file.source
    paths = [path / name for name in _list_files(path)] if path.is_dir() else [path]
    return any(os.path.relpath(each, head.root) not in tracked for each in paths)


def _list_files(folder: Path) -> list[str]:
    """List the files of a folder that are copied into a container, by their paths relative to it."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NEVER_COPIED]
        found += [os.path.relpath(Path(place, name), folder) for name in names if name not in NEVER_COPIED]
    return sorted(found)
