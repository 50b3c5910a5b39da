"""Records to vary, and a place in memory that other writers may be faster at."""

import itertools
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from bench_action.history.history import History
from bench_action.history.layout import blob_name
from bench_action.history.record import Record
from bench_action.history.store import OvertakenError, Snapshot, UncertainError

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def make_record(
    run_id: str = "run-1", at: str = "2026-11-23T10:00:00Z", variant: str = "aiohttp", **more: Any
) -> Record:
    """A record as a run on a hosted machine makes it."""
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
    """A Place whose every moment is kept; `before_write` is what others do meanwhile."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.moments: dict[str, dict[str, bytes]] = {"": {}}
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
        return self.moments[self.now]

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def look(self) -> Snapshot:
        files = self.files

        def read(paths: Collection[str]) -> dict[str, bytes]:
            return {path: files[path] for path in paths}

        return Snapshot(self.now, {path: blob_name(content) for path, content in files.items()}, read)

    def write(self, view: Snapshot, files: Mapping[str, bytes], message: str) -> str:
        if self.before_write:
            self.before_write.pop(0)()
        moment = f"{next(self._ids):040x}"
        if self.now != view.at:
            raise OvertakenError("somebody was faster", moment=moment)
        self._put({**self.files, **files}, moment)
        self.messages.append(message)
        if self.after_write:
            self.after_write.pop(0)()
        return moment

    def holds(self, view: Snapshot, moment: str) -> bool:
        at = view.at
        while at and at != moment:
            at = self.past[at]
        return at == moment

    def _put(self, files: dict[str, bytes], moment: str = "") -> None:
        moment = moment or f"{next(self._ids):040x}"
        self.moments[moment], self.past[moment], self.now = files, self.now, moment


def lost() -> None:
    """The answer of a write that took."""
    raise UncertainError("no answer", moment="")


def make_history(place: Any = None, told: list[str] | None = None, **more: Any) -> History:
    """In memory, without waiting, on a fixed day."""
    tell = told.append if told is not None else lambda _: None
    settings: dict[str, Any] = {"tell": tell, "now": lambda: NOW, "sleep": lambda _: None, **more}
    return History(place if place is not None else Memory(), **settings)
