"""What goes wrong under load and does not end the run: no figure is trusted that should not be."""

import pytest
from tests.e2e.conftest import Tool, tiny

pytestmark = pytest.mark.e2e


def test_application__that_serves_nothing_but_errors(tool: Tool) -> None:
    config = tool.config({"tiny": tiny(STATUS="500")})
    finished = tool.run(config)
    finished.assert_failed(5, "no request was served", "tiny · short", "Read the application's log")
    (summary,) = finished.result.summaries
    assert summary.errors.status > 0
    assert "requests_per_second" not in summary.metrics
