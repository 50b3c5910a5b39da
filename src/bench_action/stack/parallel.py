"""Run actions of the engine at the same time."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_in_parallel(action: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Run actions of the engine in parallel; return results in order, or raise the first failure once all have ended.

    A signal interrupts the wait: what still runs then fails, as the engine starts nothing more and removes the rest.
    """
    pool = ThreadPoolExecutor(max_workers=8)
    try:
        futures = [pool.submit(action, item) for item in items]
        for future in futures:
            _wait_for(future)
            if not future.cancelled() and future.exception() is not None:
                for other in futures:  # of which those that run already go on to their end
                    other.cancel()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _wait_for(future: Future[Any]) -> None:
    """Wait in this very frame, which a signal may interrupt; those of `threading` it may not (cli/interrupts.py)."""
    runs = Lock()
    runs.acquire()
    future.add_done_callback(lambda _: runs.release())
    runs.acquire()
