"""Write the output folder (trials as they end, then result, report and charts), and read results back."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from bench_action.config.paths import find_top
from bench_action.model.errors import BenchError, InputError
from bench_action.model.result import Result, Trial
from bench_action.report.chart import render_svg
from bench_action.report.html import render_html
from bench_action.report.markdown import render_markdown
from bench_action.report.openmetrics import render_openmetrics
from bench_action.report.view import make_view

_TRIALS = "trials.jsonl"
_METRICS = "metrics.txt"  # the name that GitLab expects
_OURS = ("result.json", _METRICS, "report.md", "report.html", _TRIALS)
_CHARTS = "requests-per-second-*.svg"
_IGNORE, _EVERYTHING = ".gitignore", "*\n"
_KNOWN = frozenset({*_OURS, _IGNORE, "trend"})


class OutputFolder:
    """One run's output. Files of an earlier run with the same names are removed when this run begins to measure.

    Git ignores a folder that holds nothing else: it appears in no `git status` and in no commit.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder. Raises InputError if it is not writable, or a link of the working folder leads there."""
        self.folder, self._full = folder, False
        require_no_link(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._ignore()
            probe = folder / f".bench-action-{secrets.token_hex(8)}"
            replace_file(probe, "")
            probe.unlink()
        except OSError as error:
            raise InputError(f"cannot write to the output folder {folder}: {error}", advice="--output DIR") from error

    def begin(self) -> None:
        """Remove an earlier run's files, which a reader might take for this run's. Raises InputError."""
        with self._explain("remove the results of an earlier run"):
            for name in _OURS:
                (self.folder / name).unlink(missing_ok=True)
            for chart in self.folder.glob(_CHARTS):
                chart.unlink()

    @property
    def has_result(self) -> bool:
        """Whether `result.json` exists."""
        return (self.folder / "result.json").is_file()

    def append(self, trial: Trial) -> None:
        """Add a line to `trials.jsonl`, whole or not at all.

        Raises InputError the first time that it fails; from then on nothing is added, and the run continues.
        """
        if self._full:
            return
        self._full = True  # until the line is written
        path, line = self.folder / _TRIALS, (trial.model_dump_json() + "\n").encode()
        with (
            self._explain("add a trial to trials.jsonl"),
            open(path, "ab", buffering=0, opener=_open_without_links) as file,
        ):
            size = file.tell()
            try:
                _write_all(file.fileno(), line)
            except OSError:
                file.truncate(size)
                raise
        self._full = False

    def write(self, result: Result) -> None:
        """Write `result.json`, `metrics.txt`, `report.md` with its charts, `report.html`; each whole or not at all.

        Raises InputError that names the file which failed, and the files that exist.
        """
        self._write("result.json", result.model_dump_json(indent=2) + "\n")
        self._write(_METRICS, render_openmetrics(result))
        view = make_view(result)
        for chart in view.charts:
            if chart.bars:
                self._write(chart.file_name, render_svg(chart))
        self._write("report.md", render_markdown(view))
        self._write("report.html", render_html(result))

    def _write(self, name: str, text: str) -> None:
        with self._explain(f"write {name}"):
            replace_file(self.folder / name, text)

    def _ignore(self) -> None:
        """Make git ignore the folder, unless it holds files that are not ours."""
        names = {path.name for path in self.folder.iterdir()} - {path.name for path in self.folder.glob(_CHARTS)}
        if _IGNORE not in names and names <= _KNOWN:
            replace_file(self.folder / _IGNORE, _EVERYTHING)

    @contextmanager
    def _explain(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            files = [name for name in _OURS if (self.folder / name).exists()]
            raise InputError(
                f"could not {what} in {self.folder}: {error.strerror or error}",
                cause=f"the disk is full, or the folder has changed. It holds {', '.join(files) or 'nothing'} now",
                advice="free some space, or set `output` (--output DIR) to a folder on another disk",
            ) from error


def read_result(path: Path) -> Result:
    """Read one `result.json`. Raises InputError that names the first fault."""
    try:
        return Result.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is not a result of bench-action: {where}: {first['msg']}") from error


@contextmanager
def explain_contradictions(what: str, advice: str = "use a result as a run has written it") -> Iterator[None]:
    """Explain why a stored result cannot be used that matches the schema, but was edited, or written by a stranger.

    `what`: what could not be done with it. Raises InputError for anything that its contradictions raise.
    """
    try:
        yield
    except (BenchError, OSError):
        raise
    except Exception as error:
        raise InputError(
            f"{what}: its parts contradict each other",
            cause=f"no bench-action of this version wrote it ({type(error).__name__})",
            advice=advice,
        ) from error


def _write_all(handle: int, content: bytes) -> None:
    """Write everything: a nearly full disk may take a part of it first, and refuse the rest later."""
    while content:
        content = content[os.write(handle, content) :]


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all, also if the machine fails. Raises OSError.

    A link of that name is replaced, not followed; nobody can guess the name of the unfinished file.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("x", encoding="utf-8") as file:  # follows no link (open(2), O_EXCL)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def require_no_link(folder: Path) -> None:
    """Raise InputError if a link of the repository, which a stranger may have made, leads to an output folder."""
    if link := _find_link(folder):
        raise InputError(
            f"the output folder {folder} is behind a link: {link}",
            cause="a repository may contain links, and this one would send the results to another folder",
            advice="remove the link, or name the folder that it points to: --output DIR",
        )


def _find_link(folder: Path) -> Path | None:
    """Find the first link on the path to a folder that lies in the working folder, or in its repository."""
    here = Path.cwd()
    top = find_top(here) or here
    path = Path(os.path.normpath(here / folder))
    return next(
        (
            parent
            for parent in (*reversed(path.parents), path)
            if parent.is_symlink() and parent.parent.resolve().is_relative_to(top)
        ),
        None,
    )


def _open_without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)
