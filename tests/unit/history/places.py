"""Build records, and a place in memory where other writers may be faster."""

import itertools
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from bench_action.history.history import History
from bench_action.history.layout import name_blob
from bench_action.history.record import Record
from bench_action.history.store import ConflictError, Snapshot, UncertainError

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def make_record(
    run_id: str = "run-1", at: str = "2026-11-23T10:00:00Z", variant: str = "aiohttp", **more: Any
) -> Record:
    """Build the record of a run on a hosted machine; `more` replaces fields."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "at": at,
        "sha": "a" * 40,
        "ref": "refs/heads/main",
        "preset": "article",
        "engine": "docker",
        "tool_version": "0.1.0",
        "fingerprint": "0123456789ab",
        "cpu_model": "AMD EPYC 7763 64-Core Processor",
        "variant": variant,
        "profile": "article-500",
        "blocks": 5,
        "metrics": {"requests_per_second": (991.254, 853.12, 1129.36), "startup_s": (1.5, None, None)},
        "control": {"requests_per_second": (0.987654, 0.912345, 1.06543)},
        "control_id": "c0ffee",
        "work": {"queries": 1.0, "rows": 20.0, "cache_commands": 1.0},
    }
    return Record(**(fields | more))


class Memory:
    """A Place that keeps every version; `before_write` and `after_write` are what others do in the meantime."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.versions: dict[str, dict[str, bytes]] = {"": {}}
        self.past: dict[str, str] = {}
        self.now = ""
        self.before_write: list[Callable[[], None]] = []
        self.after_write: list[Callable[[], None]] = []
        self.messages: list[str] = []
        self._ids = itertools.count(1)
        if files:
            self._put({**files})

    @property
    def name(self) -> str:
        return "memory"

    @property
    def files(self) -> dict[str, bytes]:
        return self.versions[self.now]

    def lock(self) -> AbstractContextManager[object]:
        return nullcontext()

    def take_snapshot(self) -> Snapshot:
        files = self.files

        def read(paths: Collection[str]) -> dict[str, bytes]:
            return {path: files[path] for path in paths}

        return Snapshot(self.now, {path: name_blob(content) for path, content in files.items()}, read)

    def write(self, snapshot: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        if self.before_write:
            self.before_write.pop(0)()
        version = f"{next(self._ids):040x}"
        if self.now != snapshot.version:
            raise ConflictError("somebody was faster", version=version)
        self._put({**self.files, **files}, version)
        self.messages.append(message)
        if self.after_write:
            self.after_write.pop(0)()
        return version

    def contains(self, snapshot: Snapshot, version: str) -> bool:
        at = snapshot.version
        while at and at != version:
            at = self.past[at]
        return at == version

    def _put(self, files: dict[str, bytes], version: str = "") -> None:
        version = version or f"{next(self._ids):040x}"
        self.versions[version], self.past[version], self.now = files, self.now, version


def lose_answer() -> None:
    """Lose the answer to a write."""
    raise UncertainError("no answer", version="")


def make_history(place: Any = None, warnings: list[str] | None = None, **more: Any) -> History:
    """Make a history in memory that never waits, on a fixed day."""
    warn = warnings.append if warnings is not None else lambda _: None
    settings: dict[str, Any] = {"warn": warn, "now": lambda: NOW, "sleep": lambda _: None, **more}
    return History(place if place is not None else Memory(), **settings)
