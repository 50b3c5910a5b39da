"""The progress that a run reports. The pipeline calls it; the command line decides how it looks."""

from typing import Protocol

from bench_action.model.result import Trial


class Progress(Protocol):
    """A listener to the progress of a run."""

    def step(self, text: str) -> None:
        """Report that a step of the pipeline begins, such as `building aiohttp`."""

    def expect(self, trials: int, seconds: float) -> None:
        """Report that measuring begins, with the expected number of trials and seconds."""

    def trial_starts(self, cell: str, phase: str, block: int) -> None:
        """Report that a trial begins."""

    def trial_ended(self, trial: Trial) -> None:
        """Report that a trial has ended and was stored."""

    def warn(self, text: str) -> None:
        """Report something that the user should know now."""
