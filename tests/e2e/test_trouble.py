"""What goes wrong once all is up: nothing that was measured is lost, and no figure trusted that should not be."""

import pytest
from tests.docker.footprint import Footprint
from tests.e2e.conftest import Finished, Tool, tiny

from bench_action.model.warning import Code

pytestmark = pytest.mark.e2e


def assert_kept(finished: Finished, at_least: int) -> None:
    """Finished trials are there, one line each, and the result that tells of them is not trusted."""
    assert len(finished.trials) >= at_least
    assert list(finished.result.trials) == finished.trials
    assert finished.result.verdict == "invalid"
    assert Code.STOPPED_EARLY in [warned.code for warned in finished.result.warnings]
    assert "❌ the run ended early" in finished.report


def test_application__that_dies_under_load(tool: Tool) -> None:
    # Since it was last started, there were 1 to 4 connections to see that it is ready, 8 to warm up, 1 to count and 8
    # in block 1; so it dies in block 2. Its verification, before that, opened fewer.
    finished = tool.run(tool.config({"tiny": tiny(DIE_AFTER_CONNECTIONS="22")}))
    finished.assert_failed(3, "tiny exited with status 7", "tiny · short", "its log", "| Segmentation fault")
    assert_kept(finished, at_least=2)


def test_postgres__that_is_killed_in_mid_trial(tool: Tool, footprint: Footprint) -> None:
    running = tool.start(tool.config({"tiny": tiny()}, services=["postgres"], profile={"duration": "5s"}))
    running.wait_for_trials(2)
    footprint.client.api.kill(footprint.container("postgres"))
    finished = running.finish()
    finished.assert_failed(3, "postgres exited with status 137", "tiny · short", "log")
    assert_kept(finished, at_least=2)


def test_generator__with_too_low_an_open_files_limit(tool: Tool) -> None:
    config = tool.config(
        {"tiny": tiny()},
        profile={"connections": 200},
        load={"ulimits": {"nofile": 64}},
    )
    finished = tool.run(config)
    finished.assert_failed(
        5,
        "the measurement is invalid",
        "tiny · short",
        "of 200 connections could not be made",
        "Raise `load: {ulimits: {nofile: …}}`",
    )
    assert finished.result.verdict == "invalid"
    assert "# bench-action: this measurement cannot be trusted" in finished.report
    assert "of 200 connections could not be made" in finished.report
    assert "Raise `load: {ulimits: {nofile: …}}`" in finished.report
    # one block shows it, and the others would show it again
    assert {trial.block for trial in finished.trials} == {0, 1}
    assert "INVALID" in finished.stderr


def test_application__that_serves_nothing_but_errors(tool: Tool) -> None:
    config = tool.config({"tiny": tiny(STATUS="500")})
    finished = tool.run(config)
    finished.assert_failed(5, "no request was served", "tiny · short", "Read the application's log")
    (summary,) = finished.result.summaries
    assert summary.errors.status > 0
    assert "requests_per_second" not in summary.metrics
