"""Requests that make something, which the engine finishes although a signal made us walk away from them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bench_action.model.errors import StackError

_Made = TypeVar("_Made")


class Creations:
    """After `end` none is under way and none begins: what is listed then is all that there is to remove."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._ended = False

    def make(self, create: Callable[[], _Made]) -> _Made:
        """What `create` makes, called in a thread of its own: signals interrupt the main thread only.

        Raises StackError after `end`.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(self._counted, create).result()

    def end(self, limit_s: float) -> None:
        """Let what is under way come to its end, for `limit_s` at most."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._under_way, limit_s)

    def _counted(self, create: Callable[[], _Made]) -> _Made:
        # counted in here: a signal may interrupt whoever starts this thread before it knows that it has
        with self._changed:
            if self._ended:
                raise StackError("nothing is made any more: the run is being removed")
            self._under_way += 1
        try:
            return create()
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()
