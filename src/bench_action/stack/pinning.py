"""Whether an engine can give a container CPUs of its own: tried once, before anything relies on it."""

from collections.abc import Callable, Sequence

from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import StackError


def why_not_pinned(engine: Engine, handle: Handle, allowed: Callable[[], Sequence[int]]) -> str:
    """Why the processes of `handle` cannot be moved to one CPU; empty if they can, and then all theirs are given back.

    `allowed` asks one of these processes for its CPUs: without the cpuset controller, engines accept the request and
    ignore it (control groups v2 without delegation, rootless Docker). Raises StackError if the process is gone.
    """
    before = tuple(sorted(allowed()))
    one = before[:1]
    try:
        engine.pin(handle, one)
    except StackError as error:
        return error.cause or error.what
    after = tuple(sorted(allowed()))
    engine.pin(handle, before)
    if after == one:
        return ""
    return f"the engine accepts CPU {one[0]} for a container, and its processes still use CPUs {_listed(after)}"


def _listed(cpus: Sequence[int]) -> str:
    return ", ".join(map(str, cpus))
