"""What brings a run's stack up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.quiet import Quiet

from bench_action import pipeline
from bench_action.config.baseline import Lack
from bench_action.config.options import Options
from bench_action.engine.protocol import Engine
from bench_action.git.revisions import Revisions
from bench_action.model.errors import StackError
from bench_action.pipeline import Ports

pytestmark = pytest.mark.unit


def bring_up(monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[str]:
    """Bring up a stack without a base subject; return the warnings."""
    warned: list[str] = []
    quiet = Quiet()
    monkeypatch.setattr(quiet, "warn", warned.append)
    stack = SimpleNamespace(lacks={"web": Lack("base-failed", "base could not be started: it `exited`", ("boom",))})
    monkeypatch.setattr(pipeline, "bring_up", lambda *_, **__: stack)
    ports = cast(Ports, SimpleNamespace(environ={}, progress=quiet))
    revisions = cast(Revisions, SimpleNamespace(head=None, base=None))
    pipeline._bring_up(cast(Engine, None), revisions, Options(Path("bench.yml"), **options), ports)
    return warned


def test_bring_up__a_self_test_whose_second_side_does_not_start_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StackError, match="the second web of the self-test did not come up") as caught:
        bring_up(monkeypatch, self_test=True)
    assert caught.value.cause == "base could not be started: it exited"
    assert caught.value.log == ("boom",)


def test_bring_up__head_is_measured_without_a_base_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bring_up(monkeypatch) == ["web is measured without base: base could not be started: it exited"]
