"""What cases have shown so far, in a file: a run that was interrupted goes on with the others."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.case import Problem, Shown


class Record:
    """A line of JSON for each case; without a file, nothing is kept."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def read(self, group: str, seed: int) -> Iterator[Shown]:
        """Read the cases of a group that are in it."""
        if self._file is None or not self._file.exists():
            return
        for line in self._file.read_text(encoding="utf-8").splitlines():
            shown: dict[str, Any] = json.loads(line)
            if (shown["group"], shown["seed"]) == (group, seed):
                yield Shown(**{**shown, "problems": [Problem(**problem) for problem in shown["problems"]]})

    def add(self, shown: Shown) -> None:
        """Add a case."""
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(shown)) + "\n")
