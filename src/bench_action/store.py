"""The output folder: each trial the moment it ends, then the result, the report and its charts."""

import shutil
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
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".bench-action-write"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(f"cannot write to the output folder {folder}: {error}", advice="--output DIR") from error

    def begin(self) -> None:
        """Make room: no reader may take an earlier run's files for this one's."""
        for name in _OURS:
            (self.folder / name).unlink(missing_ok=True)
        for chart in self.folder.glob("requests-per-second-*.svg"):
            chart.unlink()

    def append(self, trial: Trial) -> None:
        """One more line of `trials.jsonl`."""
        with (self.folder / _TRIALS).open("a", encoding="utf-8") as file:
            file.write(trial.model_dump_json() + "\n")

    def write(self, result: Result) -> None:
        """`result.json`, `report.md` and its charts, `report.html`; each appears whole or not at all."""
        view = make_view(result)
        self._write("result.json", result.model_dump_json(indent=2) + "\n")
        for chart in view.charts:
            if chart.bars:
                self._write(chart.file_name, render_svg(chart))
        self._write("report.md", render_markdown(view))
        self._write("report.html", render_html(result))

    def _write(self, name: str, text: str) -> None:
        unfinished = self.folder / f".{name}.unfinished"
        unfinished.write_text(text, encoding="utf-8")
        shutil.move(unfinished, self.folder / name)
