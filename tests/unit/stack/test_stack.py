"""What is base's fault, and what ends a run."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from bench_action.model.errors import BenchError, LostHostError, StackError
from bench_action.stack.stack import Stack, _prepare_bases, _renew

pytestmark = pytest.mark.unit

LOST = LostHostError("the connection to host app was lost")
REFUSED = StackError("web exited with status 1")


def failing(error: BenchError) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def renew(error: BenchError) -> object:
    subject, slot = SimpleNamespace(), SimpleNamespace(renew=failing(error))
    return _renew(subject, slot)  # type: ignore[arg-type]


def start(error: BenchError) -> object:
    subject, slot = SimpleNamespace(), SimpleNamespace(start=failing(error))
    return Stack._start_in(SimpleNamespace(starter=None), subject, slot)  # type: ignore[arg-type]


def prepare(error: BenchError) -> object:
    variants = {"web": SimpleNamespace(build=None)}
    project = SimpleNamespace(config=SimpleNamespace(variants=variants))
    base: Any = SimpleNamespace(name="base `1a2b3c4`", project=project)
    starter: Any = SimpleNamespace(images=SimpleNamespace(base={"web": "1"}), head=project, prepare_base=failing(error))
    _, lacks = _prepare_bases(starter, base, SimpleNamespace(), None)  # type: ignore[arg-type]
    return lacks["web"].reason


@pytest.mark.parametrize("act", [renew, start, prepare])
def test_a_lost_host_ends_the_run_and_is_never_put_down_to_base(act: Callable[[BenchError], object]) -> None:
    with pytest.raises(LostHostError):
        act(LOST)
    assert act(REFUSED) in (REFUSED, "base `1a2b3c4` could not be started: web exited with status 1")
