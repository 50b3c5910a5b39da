"""Commands to the runner: annotations, groups, masks, outputs and the summary (docs: "Workflow commands")."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

from bench_action.model.errors import PublishError

_LARGEST_SUMMARY = 1024 * 1024  # bytes a step; a larger one is dropped whole
_MOST_ANNOTATIONS = 10  # of a type in a step; more are dropped
_LONGEST_MESSAGE = 4096
Level = Literal["error", "warning", "notice"]


class Commands:
    """Speaks to the runner on `stream`; whatever else is printed there cannot.

    Names, errors and logs come from pull requests, and a line `::set-output …` or `… ##[set-output …]` among them
    would be obeyed. So commands are stopped from here on, except for our own, and not resumed at the end, as an error
    or a traceback is the last thing that a step prints. The runner resumes them for the next step.
    """

    def __init__(self, stream: IO[str], environ: Mapping[str, str]) -> None:
        self._stream, self._environ = stream, environ
        self._given: dict[Level, int] = {}
        self._token = ""

    def stop(self) -> None:
        """From here on, whatever else is printed is only text."""
        self._token = secrets.token_hex(16)
        self._write(f"::stop-commands::{self._token}\n")

    def mask(self, secret: str) -> None:
        """Have the runner hide this in the log, line by line, as it masks no text of several lines."""
        for line in secret.splitlines():
            if line.strip():
                self._give(f"::add-mask::{_data(line)}")

    def begin_group(self, title: str) -> None:
        """What is printed from now on can be folded."""
        self._give(f"::group::{_data(title)}")

    def end_group(self) -> None:
        """Up to here."""
        self._give("::endgroup::")

    def annotate(self, level: Level, title: str, message: str) -> None:
        """A note on the run's page; the runner takes ten of each level."""
        self._given[level] = self._given.get(level, 0) + 1
        if self._given[level] <= _MOST_ANNOTATIONS:
            self._give(f"::{level} title={_property(title)}::{_data(message[:_LONGEST_MESSAGE])}")

    def outputs(self, values: Mapping[str, str]) -> None:
        """The step's outputs. Raises PublishError."""
        for name, value in values.items():
            delimiter = f"end-{secrets.token_hex(16)}"  # unguessable: no value can end itself and begin another
            self._append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")

    def save_state(self, values: Mapping[str, str]) -> None:
        """For the step's post-entrypoint, which finds each as a variable `STATE_NAME`. Raises PublishError."""
        for name, value in values.items():
            self._append("GITHUB_STATE", f"{name}={value}\n")

    def summary(self, text: str, shorter: str) -> None:
        """The job's page; `shorter` is taken where `text` is too large. Raises PublishError."""
        fits = len(text.encode(errors="replace")) < _LARGEST_SUMMARY - 1024
        self._append("GITHUB_STEP_SUMMARY", (text if fits else shorter) + "\n")

    def _append(self, variable: str, text: str) -> None:
        if not (path := self._environ.get(variable)):
            return
        try:
            with Path(path).open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError as error:
            raise PublishError(f"{variable} cannot be written to: {error}") from error

    def _give(self, command: str) -> None:
        """In one piece, so that no other thread's line comes between."""
        if not self._token:
            self._write(f"{command}\n")
            return
        token, self._token = self._token, secrets.token_hex(16)
        self._write(f"::{token}::\n{command}\n::stop-commands::{self._token}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
