"""The output folder: each trial the moment it ends, then the result, the report and its charts."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_action.model.errors import InputError
from bench_action.model.result import Result, Trial
from bench_action.report.chart import render_svg
from bench_action.report.html import render_html
from bench_action.report.markdown import render_markdown
from bench_action.report.view import make_view

_TRIALS = "trials.jsonl"
_OURS = ("result.json", "report.md", "report.html", _TRIALS)
_CHARTS = "requests-per-second-*.svg"
_IGNORE, _EVERYTHING = ".gitignore", "*\n"
_KNOWN = frozenset({*_OURS, _IGNORE, "trend"})


class OutputFolder:
    """One run's output. What an earlier run left under the same names is removed when this one begins to measure.

    A folder that holds nothing else ignores itself: it is in no `git status` and in no commit.
    """

    def __init__(self, folder: Path) -> None:
        """Raises InputError if `folder` cannot be written to, or a link of the working folder leads there."""
        self.folder, self._full = folder, False
        if link := _link_to(folder):
            raise InputError(
                f"the output folder {folder} is behind a link: {link}",
                cause="a repository may contain links, and the results would be written to wherever this one points",
                advice="remove the link, or give the folder that it points to: --output DIR",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._ignore()
            probe = folder / f".bench-action-{secrets.token_hex(8)}"
            _create(probe, "")
            probe.unlink()
        except OSError as error:
            raise InputError(f"cannot write to the output folder {folder}: {error}", advice="--output DIR") from error

    def begin(self) -> None:
        """Make room: no reader may take an earlier run's files for this one's. Raises InputError."""
        with self._explained("remove the results of an earlier run"):
            for name in _OURS:
                (self.folder / name).unlink(missing_ok=True)
            for chart in self.folder.glob(_CHARTS):
                chart.unlink()

    def append(self, trial: Trial) -> None:
        """Add a line to `trials.jsonl`, whole or not at all.

        Raises InputError the first time that it fails; from then on the file stays as it is, and the run goes on.
        """
        if self._full:
            return
        self._full = True  # unless all goes well
        path, line = self.folder / _TRIALS, (trial.model_dump_json() + "\n").encode()
        with self._explained("add a trial to trials.jsonl"), path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                _write_all(file.fileno(), line)
            except OSError:
                file.truncate(size)
                raise
        self._full = False

    def write(self, result: Result) -> None:
        """`result.json`, then `report.md` and its charts, then `report.html`; each appears whole or not at all.

        Raises InputError that says what there is and what there is not.
        """
        self._write("result.json", result.model_dump_json(indent=2) + "\n")
        view = make_view(result)
        for chart in view.charts:
            if chart.bars:
                self._write(chart.file_name, render_svg(chart))
        self._write("report.md", render_markdown(view))
        self._write("report.html", render_html(result))

    def _write(self, name: str, text: str) -> None:
        unfinished = self.folder / f".{name}.{secrets.token_hex(8)}"
        with self._explained(f"write {name}"):
            try:
                _create(unfinished, text)
                unfinished.replace(self.folder / name)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise

    def _ignore(self) -> None:
        """Have git ignore the folder, unless it is also somebody else's."""
        names = {path.name for path in self.folder.iterdir()} - {path.name for path in self.folder.glob(_CHARTS)}
        if _IGNORE not in names and names <= _KNOWN:
            _create(self.folder / _IGNORE, _EVERYTHING)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            there = [name for name in _OURS if (self.folder / name).exists()]
            raise InputError(
                f"could not {what} in {self.folder}: {error.strerror or error}",
                cause=f"the disk is full, or the folder has changed. It holds {', '.join(there) or 'nothing'} now",
                advice="free some space, or set `output` (--output DIR) to a folder on another disk",
            ) from error


def _write_all(handle: int, content: bytes) -> None:
    """Write everything: a disk that is nearly full takes a part first, and refuses the rest."""
    while content:
        content = content[os.write(handle, content) :]


def _create(path: Path, text: str) -> None:
    """Write a file that does not exist yet; a link of this name is never followed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _link_to(folder: Path) -> Path | None:
    """The first link on the way from the working folder to one inside of it: a checkout may contain links."""
    here = Path.cwd()
    way = Path(os.path.normpath(here / folder))
    if not way.is_relative_to(here):
        return None
    inside = [place for place in (way, *way.parents) if place.is_relative_to(here) and place != here]
    return next((place for place in reversed(inside) if place.is_symlink()), None)
