"""Show how a run proceeds: a live display in a terminal, a line for each event elsewhere."""

import contextlib
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from bench_action.config.redaction import Redaction
from bench_action.model.progress import Progress as Listener
from bench_action.model.result import Trial, cell_name
from bench_action.model.wording import strip_controls
from bench_action.report import numbers
from bench_action.report.plain import make_text
from bench_action.stats.steady import LONG_WARM_UP_S


def describe_outcome(trial: Trial) -> str:
    """Describe a trial that has ended, in one line."""
    warmed = trial.warm_up.duration_s if trial.warm_up is not None else 0.0
    before = f"warmed up for {warmed:.0f} s; " if warmed > LONG_WARM_UP_S else ""
    return before + _describe_figures(trial)


def _describe_figures(trial: Trial) -> str:
    if trial.phase == "count":
        work = trial.work
        return f"{work.queries} queries and {work.cache_commands} cache commands in {trial.requests} requests"
    text = f"{numbers.count(trial.requests_per_second)} requests/s"
    text += f", p99 {numbers.latency(trial.latency.p99_us)}" if trial.latency else ""
    text += "".join(f"; {warning.message}" for warning in trial.warnings)
    return text if trial.valid else f"INVALID: {text}"


class PlainProgress:
    """Prints lines, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._done = self._trials = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no display is open."""

    def step(self, text: str) -> None:
        """Print the step that begins."""
        self._print(text)

    def expect(self, trials: int, seconds: float) -> None:
        """Print how many trials follow, and how long they take."""
        self._trials = trials
        self._print(f"measuring: about {trials} trials, {numbers.duration(seconds)}")

    def trial_starts(self, cell: str, phase: str, block: int) -> None:
        """Print nothing: the line comes when the trial ends."""

    def trial_ended(self, trial: Trial) -> None:
        """Print what a trial that has ended came to."""
        self._done += 1
        cell = cell_name(trial.variant, trial.revision, trial.profile)
        # slices in turn, which follow duets that did not fit, are more than was planned
        count = f"{self._done}/{self._trials}" if self._done <= self._trials else str(self._done)
        self._print(f"[{count}] {trial.place} {cell}: {describe_outcome(trial)}")

    def warn(self, text: str) -> None:
        """Print something that the user should know now."""
        self._print(f"warning: {text}")

    def _print(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._started
        with contextlib.suppress(OSError):  # a log on a full disk ends no run
            self._console.print(make_text(f"{elapsed_s:6.1f} s  {text}"), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class RedactedProgress:
    """Passes progress on, with all secrets in it hidden."""

    progress: Listener
    redaction: Redaction

    def step(self, text: str) -> None:
        """Pass on the step that begins."""
        self.progress.step(self.redaction.hide(text))

    def expect(self, trials: int, seconds: float) -> None:
        """Pass on how many trials follow."""
        self.progress.expect(trials, seconds)

    def trial_starts(self, cell: str, phase: str, block: int) -> None:
        """Pass on the trial that begins."""
        self.progress.trial_starts(self.redaction.hide(cell), phase, block)

    def trial_ended(self, trial: Trial) -> None:
        """Pass on a trial that has ended."""
        self.progress.trial_ended(self.redaction.hide(trial))

    def warn(self, text: str) -> None:
        """Pass on something that the user should know now."""
        self.progress.warn(self.redaction.hide(text))


class LiveProgress:
    """Shows a spinner with the current step, then a bar with the time that is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("starting", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, text: str) -> None:
        """Show the step that begins."""
        self._update(description=strip_controls(text))

    def expect(self, trials: int, seconds: float) -> None:
        """Show how many trials follow, and how long they take."""
        self._update(description=f"measuring, about {numbers.duration(seconds)}", total=trials, completed=0)

    def trial_starts(self, cell: str, phase: str, block: int) -> None:
        """Show the trial that begins."""
        self._update(description=f"{phase} {block}: {cell}")

    def trial_ended(self, trial: Trial) -> None:
        """Show what a trial that has ended came to."""
        cell = cell_name(trial.variant, trial.revision, trial.profile)
        style = "" if trial.valid else "red"
        self._console.print(make_text(f"{trial.place} {cell}: {describe_outcome(trial)}", style))
        self._update(advance=1)

    def warn(self, text: str) -> None:
        """Show something that the user should know now."""
        self._console.print(make_text(f"! {text}", "yellow"))

    def _update(
        self,
        description: str | None = None,
        total: float | None = None,
        completed: float | None = None,
        advance: float | None = None,
    ) -> None:
        if self._task is not None:
            self._progress.update(
                self._task, description=description, total=total, completed=completed, advance=advance
            )
