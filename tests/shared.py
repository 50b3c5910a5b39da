"""What the workers of one test session share."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let one worker in at a time: those that come later find in the cache what the first has built."""
    folder = tmp_path_factory.getbasetemp().parent  # the session's own, or that of all sessions without workers
    with (folder / "one-at-a-time.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
