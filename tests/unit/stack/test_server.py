"""Reading what a client of a service prints."""

from types import SimpleNamespace
from typing import cast

import pytest

from bench_action.engine.protocol import Session
from bench_action.model.errors import StackError
from bench_action.stack import server

pytestmark = pytest.mark.unit


def test_read_until__keeps_no_more_than_an_answer_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST", 10_000)
    endless = cast(Session, SimpleNamespace(read_line=lambda _: "1"))
    with pytest.raises(StackError, match="Redis answered with more than"):
        server.read_until(endless, "mark", 1.0, "Redis")


def test_read_until__ends_with_the_mark() -> None:
    lines = iter(["1", "2", "mark 0", "3"])
    session = cast(Session, SimpleNamespace(read_line=lambda _: next(lines)))
    assert server.read_until(session, "mark", 1.0, "Redis") == ["1", "2", "mark 0"]
