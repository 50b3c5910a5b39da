"""Requests that create something: the engine completes them even if a signal interrupts us while we wait."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from docker.errors import APIError
from docker.models.containers import Container
from requests.exceptions import RequestException

from bench_action.model.errors import StackError

_Object = TypeVar("_Object")


class Creations:
    """A gate for requests that create something. After `end`, a list of what exists is a list of all to remove."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_progress = 0
        self._ended = False

    def make(self, create: Callable[[], _Object]) -> _Object:
        """Call `create` in a separate thread and return its result; a signal interrupts the main thread only.

        Raises StackError after `end`.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(self._count_and_create, create).result()

    def end(self, limit_s: float) -> None:
        """Refuse new requests, and wait up to `limit_s` seconds for the ones in progress."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._in_progress, limit_s)

    def _count_and_create(self, create: Callable[[], _Object]) -> _Object:
        # counted by this thread: a signal may interrupt its starter before that one knows that the thread runs
        with self._changed:
            if self._ended:
                raise StackError("refused to create anything more: the run is being removed")
            self._in_progress += 1
        try:
            return create()
        finally:
            with self._changed:
                self._in_progress -= 1
                self._changed.notify_all()


@contextlib.contextmanager
def removing_on_failure(container: Container) -> Iterator[None]:
    """Remove a container that could not be made ready or started: the next one of its kind has its name."""
    try:
        yield
    except Exception:
        with contextlib.suppress(APIError, RequestException):
            container.remove(v=True, force=True)
        raise
