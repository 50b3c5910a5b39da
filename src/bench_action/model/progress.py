"""What a run tells while it goes on. The pipeline calls it; the command line decides how it looks."""

from typing import Protocol

from bench_action.model.result import Trial


class Progress(Protocol):
    """Listener of a run."""

    def step(self, text: str) -> None:
        """A step of the pipeline begins, such as `building aiohttp`."""

    def expect(self, trials: int, seconds: float) -> None:
        """Measuring begins: so many trials, about so many seconds."""

    def trial_starts(self, cell: str, phase: str, block: int) -> None:
        """A trial begins."""

    def trial_ended(self, trial: Trial) -> None:
        """A trial is over and stored."""

    def warn(self, text: str) -> None:
        """Something that the user should know now."""
