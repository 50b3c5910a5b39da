"""Hand over files that a step leaves in the workspace to the workspace's owner.

The step's container runs as root, and the runner does not: a self-hosted runner could not remove root's files before
its next checkout. Only files that the step itself created or changed are touched, and no symbolic link is followed.
"""

import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_MARGIN_S = 0.1  # the clock that the kernel stamps files with is about a tick behind
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Traces:
    """Where a step leaves files: `folders`, relative to `root`. `since`: when it began, in seconds since the epoch."""

    root: Path
    folders: Sequence[Path]
    since: float

    @classmethod
    def begin(cls, workspace: Path, config: Path | None, output: Path) -> "Traces":
        """Begin a step now that writes to its output folder and to the `.git` of the repository `config` is in."""
        output, top = (Path(os.path.normpath(workspace / path)) for path in (output, (config or Path()).parent))
        folders = [output, *(folder / ".git" for folder in (top, *top.parents))]
        inside = [folder.relative_to(workspace) for folder in folders if folder.is_relative_to(workspace)]
        return cls(workspace, inside, time.time())

    @classmethod
    def parse(cls, root: Path, text: str) -> "Traces":
        """Parse the text that `str` made of traces below the same `root`."""
        values = json.loads(text)
        return cls(root, [Path(folder) for folder in values["folders"]], float(values["since"]))

    def __str__(self) -> str:
        """One line of JSON, without `root`."""
        return json.dumps({"since": self.since, "folders": [str(folder) for folder in self.folders]})

    @contextmanager
    def hand_over_at_end(self) -> Iterator[None]:
        """Hand over the step's files when the context ends, also by an exception."""
        try:
            yield
        finally:
            self.hand_over()

    def hand_over(self) -> None:
        """Give the step's files to the owner of `root`, if that is another user and we have the right to.

        The step's files are those that belong to us, have changed since the step began, and have no other hard link.
        Never raises OSError.
        """
        with suppress(OSError):
            owner = self.root.stat()
            if owner.st_uid != os.geteuid():
                self.give_to(owner.st_uid, owner.st_gid)

    def give_to(self, uid: int, gid: int) -> None:
        """Give the step's files to this user and group."""
        for folder in self.folders:
            self._give_folder(folder, uid, gid)

    def _give_folder(self, folder: Path, uid: int, gid: int) -> None:
        """Give a folder, its parents up to `root`, and everything below it."""
        with suppress(OSError):  # it was not created, or is a link
            current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                for name in folder.parts:
                    self._give(name, current, uid, gid)
                    parent, current = current, os.open(name, _FOLDER, dir_fd=current)
                    os.close(parent)
                for _, folders, files, descriptor in os.fwalk(".", dir_fd=current):
                    for name in (*folders, *files):
                        self._give(name, descriptor, uid, gid)
            finally:
                os.close(current)

    def _give(self, name: str, folder: int, uid: int, gid: int) -> None:
        with suppress(OSError):  # it no longer exists
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            sole = status.st_nlink == 1 or stat.S_ISDIR(status.st_mode)
            if status.st_uid == os.geteuid() and status.st_ctime >= self.since - _MARGIN_S and sole:
                os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
