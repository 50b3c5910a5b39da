"""What the workers of one test session share."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let one worker in at a time: those that come later find in the cache what the first has built."""
    with _lock(_find_folder(tmp_path_factory) / "one-at-a-time.lock", fcntl.LOCK_EX):
        yield


@contextmanager
def hold_runs(tmp_path_factory: pytest.TempPathFactory, *, alone: bool) -> Iterator[None]:
    """Let tests that start runs go on at the same time, and one that is `alone` only while no other does."""
    with _lock(_find_folder(tmp_path_factory) / "runs.lock", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        yield


def _find_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Find the session's own folder, or that of all sessions without workers."""
    return tmp_path_factory.getbasetemp().parent


@contextmanager
def _lock(file: Path, operation: int) -> Iterator[None]:
    with file.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, operation)
        yield
