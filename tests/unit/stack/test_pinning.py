"""Whether an engine can give a container CPUs of its own."""

from collections.abc import Sequence
from typing import cast

import pytest

from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import StackError
from bench_action.stack.pinning import why_not_pinned

pytestmark = pytest.mark.unit

LOAD = Handle("1", "load", "load", "load", 0)


class Pinning:
    """An engine that moves one process, ignores that, or refuses."""

    def __init__(self, *, obeys: bool = True, refusal: str = "") -> None:
        self.cpus: tuple[int, ...] = (0, 2, 3)
        self._obeys, self._refusal = obeys, refusal

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        assert handle == LOAD
        if self._refusal:
            raise StackError("load cannot be given CPUs of its own", cause=self._refusal)
        if self._obeys:
            self.cpus = tuple(cpus)

    def why_not(self) -> str:
        return why_not_pinned(cast(Engine, self), LOAD, lambda: self.cpus)


def test_why_not_pinned__nothing_where_the_process_moves_and_it_has_its_cpus_back() -> None:
    engine = Pinning()
    assert engine.why_not() == ""
    assert engine.cpus == (0, 2, 3)


def test_why_not_pinned__an_engine_that_accepts_and_ignores() -> None:
    why = Pinning(obeys=False).why_not()
    assert why == "the engine accepts CPU 0 for a container, and its processes still use CPUs 0, 2, 3"


def test_why_not_pinned__an_engine_that_refuses() -> None:
    assert Pinning(refusal="no cpuset is delegated").why_not() == "no cpuset is delegated"


def test_why_not_pinned__a_process_that_is_gone_ends_the_run() -> None:
    def gone() -> Sequence[int]:
        raise StackError("load exited with status 137")

    with pytest.raises(StackError, match="137"):
        why_not_pinned(cast(Engine, Pinning()), LOAD, gone)
