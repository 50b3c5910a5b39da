"""Commands to the runner: annotations, groups, masks, outputs and the summary (GitHub's "Workflow commands")."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

from bench_action.model.errors import PublishError

_LARGEST_SUMMARY = 1024 * 1024  # bytes per step; GitHub drops a larger one altogether
_MOST_ANNOTATIONS = 10  # per level and step; GitHub drops the rest
_LONGEST_MESSAGE = 4096
Level = Literal["error", "warning", "notice"]


class Commands:
    """Sends commands to the runner on `stream`; everything else that is printed there is only text.

    Names, errors and logs come from pull requests, and the runner would obey a line `::set-output …` or
    `… ##[set-output …]` among them. So after `stop` it obeys only our own commands. They are not resumed at the end, as
    an error or a traceback is the last thing that a step prints. The runner resumes them for the next step.
    """

    def __init__(self, stream: IO[str], environ: Mapping[str, str]) -> None:
        self._stream, self._environ = stream, environ
        self._sent: dict[Level, int] = {}
        self._token = ""

    def stop(self) -> None:
        """Stop the runner from obeying anything that is printed from now on, except our own commands."""
        self._token = secrets.token_hex(16)
        self._write(f"::stop-commands::{self._token}\n")

    def mask(self, secret: str) -> None:
        """Have the runner hide a secret in the log, line by line, as it cannot mask a text with several lines."""
        for line in secret.splitlines():
            if line.strip():
                self._send(f"::add-mask::{_escape_data(line)}")

    def begin_group(self, title: str) -> None:
        """Begin a group of lines that can be folded."""
        self._send(f"::group::{_escape_data(title)}")

    def end_group(self) -> None:
        """End the group."""
        self._send("::endgroup::")

    def annotate(self, level: Level, title: str, message: str) -> None:
        """Show a note on the run's page; the runner shows ten of each level."""
        self._sent[level] = self._sent.get(level, 0) + 1
        if self._sent[level] <= _MOST_ANNOTATIONS:
            self._send(f"::{level} title={_escape_property(title)}::{_escape_data(message[:_LONGEST_MESSAGE])}")

    def set_outputs(self, values: Mapping[str, str]) -> None:
        """Set outputs of the step. Raises PublishError."""
        for name, value in values.items():
            delimiter = f"end-{secrets.token_hex(16)}"  # unguessable, so that no value can end itself and begin another
            self._append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")

    def save_state(self, values: Mapping[str, str]) -> None:
        """Save values for the step's post-entrypoint, which reads each as `STATE_NAME`. Raises PublishError."""
        for name, value in values.items():
            self._append("GITHUB_STATE", f"{name}={value}\n")

    def write_summary(self, text: str, shorter: str) -> None:
        """Write the job's summary: `text`, or `shorter` if `text` is too large. Raises PublishError."""
        fits = len(text.encode(errors="replace")) < _LARGEST_SUMMARY - 1024
        self._append("GITHUB_STEP_SUMMARY", (text if fits else shorter) + "\n")

    def _append(self, variable: str, text: str) -> None:
        if not (path := self._environ.get(variable)):
            return
        try:
            with Path(path).open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError as error:
            raise PublishError(f"could not write to {variable}: {error}") from error

    def _send(self, command: str) -> None:
        """Write a command in one piece, so that no line of another thread comes between."""
        if not self._token:
            self._write(f"{command}\n")
            return
        token, self._token = self._token, secrets.token_hex(16)
        self._write(f"::{token}::\n{command}\n::stop-commands::{self._token}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
