"""A run that goes well, from a configuration to its results; and one that cannot measure every variant."""

import signal

import pytest
from tests.e2e.conftest import Tool, tiny

pytestmark = pytest.mark.e2e


def test_seed__gives_the_same_order_with_a_variant_that_fails_and_without_it(tool: Tool) -> None:
    check = {"name": "home", "request": {"path": "/"}, "expect": {"contains": ["the page"]}}
    config = tool.config({"one": tiny(), "odd": tiny(PAGE="an advertisement"), "two": tiny()}, checks=[check])
    orders = {}
    for output, chosen in {"first": (), "again": ("--variant", "one", "--variant", "two")}.items():
        running = tool.start(config, "--seed", "7", *chosen, "--engine", "local", output=output)
        running.wait_for_trials(4)
        running.send_signal(signal.SIGINT)  # two blocks are enough
        trials = running.finish().trials[:4]
        orders[output] = [(trial.phase, trial.block, trial.position, trial.variant) for trial in trials]
    assert orders["first"] == orders["again"]
    assert {variant for *_, variant in orders["first"]} == {"one", "two"}


def test_verification__that_every_variant_fails(tool: Tool) -> None:
    check = {"name": "home", "request": {"path": "/"}, "expect": {"status": 200}}
    finished = tool.run(tool.config({"one": tiny(STATUS="404"), "two": tiny(STATUS="500")}, checks=[check]))
    finished.assert_failed(
        4,
        "one, two broke 2 rules",
        "one: home: expected status 200, got 404",
        "two: home: expected status 200, got 500",
    )
    assert not (finished.output / "result.json").exists()


def test_keep_alive__is_found_out_if_it_is_not_configured(tool: Tool) -> None:
    config = tool.config({"closing": tiny(CLOSE="1"), "configured": {**tiny(CLOSE="1"), "keep_alive": True}})
    finished = tool.run(config, "--engine", "local")
    assert "closing closes connections after a reply" in finished.stderr
    assert "configured: keep_alive: true: expected the connection kept open" in finished.stderr
    closing, configured = finished.result.subjects
    assert (closing.verified, closing.keep_alive, closing.keep_alive_configured) == (True, {"short": False}, None)
    assert (configured.verified, configured.keep_alive_configured) == (False, True)
    assert all(trial.valid for trial in finished.result.trials)
