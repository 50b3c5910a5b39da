"""Whether an engine can restrict a container to some CPUs."""

from collections.abc import Sequence
from typing import cast

import pytest

from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import BenchError, LostHostError, StackError
from bench_action.stack.pinning import check_pinning

pytestmark = pytest.mark.unit

LOAD = Handle("1", "load", "load", "load", 0)


class Pinning:
    """An engine that moves one process, ignores that, or refuses."""

    def __init__(self, refusal: BenchError | None = None, *, obeys: bool = True) -> None:
        self.cpus: tuple[int, ...] = (0, 2, 3)
        self._obeys, self._refusal = obeys, refusal

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        assert handle == LOAD
        if self._refusal is not None:
            raise self._refusal
        if self._obeys:
            self.cpus = tuple(cpus)

    def check(self) -> str:
        return check_pinning(cast(Engine, self), LOAD, lambda: self.cpus)


def test_check_pinning__is_empty_if_the_process_moves_and_gets_its_cpus_back() -> None:
    engine = Pinning()
    assert engine.check() == ""
    assert engine.cpus == (0, 2, 3)


def test_check_pinning__an_engine_that_accepts_and_ignores() -> None:
    why = Pinning(obeys=False).check()
    assert why == "the engine accepted CPU 0 for a container, but its processes still run on CPUs 0, 2, 3"


def test_check_pinning__an_engine_that_refuses() -> None:
    refusal = StackError("load cannot be pinned to CPUs", cause="no cpuset is delegated")
    assert Pinning(refusal).check() == "no cpuset is delegated"


def test_check_pinning__a_lost_host_is_no_engine_that_refuses() -> None:
    with pytest.raises(LostHostError):
        Pinning(LostHostError("the connection to host app was lost")).check()


def test_check_pinning__a_process_that_has_exited_ends_the_run() -> None:
    def read_cpus() -> Sequence[int]:
        raise StackError("load exited with status 137")

    with pytest.raises(StackError, match="137"):
        check_pinning(cast(Engine, Pinning()), LOAD, read_cpus)
