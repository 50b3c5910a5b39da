"""Files that a step leaves in another user's folders, given to that user.

The step's container runs as root and the runner does not: a self-hosted runner cannot remove root's files before its
next checkout. Only what the step itself made is touched, and no symbolic link is ever followed.
"""

import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_MARGIN_S = 0.1  # the kernel stamps files with a clock that is a tick or so behind
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Traces:
    """Where a step leaves files: `folders` below `root`, relative to it. `since`: when it began, in seconds."""

    root: Path
    folders: Sequence[Path]
    since: float

    @classmethod
    def of_step(cls, workspace: Path, config: Path | None, output: Path) -> "Traces":
        """Of a step that begins now: its output folder, and git's folder of the repository that holds `config`."""
        output, top = (Path(os.path.normpath(workspace / path)) for path in (output, (config or Path()).parent))
        folders = [output, *(folder / ".git" for folder in (top, *top.parents))]
        inside = [folder.relative_to(workspace) for folder in folders if folder.is_relative_to(workspace)]
        return cls(workspace, inside, time.time())

    @classmethod
    def parse(cls, root: Path, text: str) -> "Traces":
        """The inverse of `str`, for the same `root`."""
        noted = json.loads(text)
        return cls(root, [Path(folder) for folder in noted["folders"]], float(noted["since"]))

    def __str__(self) -> str:
        """One line."""
        return json.dumps({"since": self.since, "folders": [str(folder) for folder in self.folders]})

    @contextmanager
    def handed_over(self) -> Iterator[None]:
        """Hand over at the end of the context, however it comes."""
        try:
            yield
        finally:
            self.hand_over()

    def hand_over(self) -> None:
        """Give what we made to the owner of `root`, where that is somebody else and we may. Never raises OSError.

        Ours is what belongs to us, was changed since the step began, and has no other name elsewhere.
        """
        with suppress(OSError):
            owner = self.root.stat()
            if owner.st_uid != os.geteuid():
                self.give_to(owner.st_uid, owner.st_gid)

    def give_to(self, uid: int, gid: int) -> None:
        """Give what we made to this user and group."""
        for folder in self.folders:
            self._hand_over_folder(folder, uid, gid)

    def _hand_over_folder(self, folder: Path, uid: int, gid: int) -> None:
        """A folder, those that lead to it, and everything below it."""
        with suppress(OSError):  # not made, or a link where a folder should be
            current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                for name in folder.parts:
                    self._give(name, current, uid, gid)
                    parent, current = current, os.open(name, _FOLDER, dir_fd=current)
                    os.close(parent)
                for _, folders, files, place in os.fwalk(".", dir_fd=current):
                    for name in (*folders, *files):
                        self._give(name, place, uid, gid)
            finally:
                os.close(current)

    def _give(self, name: str, folder: int, uid: int, gid: int) -> None:
        with suppress(OSError):  # gone again
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            sole = found.st_nlink == 1 or stat.S_ISDIR(found.st_mode)
            if found.st_uid == os.geteuid() and found.st_ctime >= self.since - _MARGIN_S and sole:
                os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
