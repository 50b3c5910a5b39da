"""The output folder: each trial the moment it ends, then the result, the report and its charts."""

import os
import shutil
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


class Store:
    """One run's output. What an earlier run left under the same names is removed when this one begins to measure."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError where `folder` cannot be written to."""
        self.folder, self._full = folder, False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".bench-action-write"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(f"cannot write to the output folder {folder}: {error}", advice="--output DIR") from error

    def begin(self) -> None:
        """Make room: no reader may take an earlier run's files for this one's. Raises InputError."""
        with self._explained("remove the results of an earlier run"):
            for name in _OURS:
                (self.folder / name).unlink(missing_ok=True)
            for chart in self.folder.glob("requests-per-second-*.svg"):
                chart.unlink()

    def append(self, trial: Trial) -> None:
        """Add a line to `trials.jsonl`, whole or not at all.

        Raises InputError the first time that it fails; from then on the file stays as it is, and the run goes on.
        """
        if self._full:
            return
        path, line = self.folder / _TRIALS, (trial.model_dump_json() + "\n").encode()
        with self._explained("add a trial to trials.jsonl"), path.open("ab", buffering=0) as file:
            size = file.tell()
            self._full = True
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
        unfinished = self.folder / f".{name}.unfinished"
        with self._explained(f"write {name}"):
            try:
                unfinished.write_text(text, encoding="utf-8")
                shutil.move(unfinished, self.folder / name)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise

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
            ) from error  # fmt: skip


def _write_all(handle: int, content: bytes) -> None:
    """Write everything: a disk that is nearly full takes a part first, and refuses the rest."""
    while content:
        content = content[os.write(handle, content) :]
