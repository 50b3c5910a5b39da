"""What a step prints of the history that it publishes to."""

from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.factories import make_result

from bench_action.publish import history
from bench_action.publish.history import HistoryPublisher

pytestmark = pytest.mark.unit


class HostileTrends:
    """Trends that find a change in a cell whose name has two lines."""

    def __init__(self, _store: object, say: Any) -> None:
        self.append = lambda _results: say("- web\n- list: slower")
        self.check = lambda _benchmark: ()
        self.render = lambda _site, _repository: None
        self.mark = lambda _points: None


def test_publish__text_of_a_history_stays_on_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(history, "open_github_history", lambda *_, **__: None)
    monkeypatch.setattr(history, "Trends", HostileTrends)
    said: list[str] = []
    HistoryPublisher(cast(Any, None), cast(Any, None), "bench-history", True, "", said.append).publish(
        make_result(), tmp_path
    )
    assert said == ["- web - list: slower"]
