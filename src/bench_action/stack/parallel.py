"""Run short actions of the engine at the same time."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_in_parallel(action: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Run short engine actions in parallel; return results in order, or raise the first failure once all have ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(action, items))
