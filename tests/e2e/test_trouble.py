"""What goes wrong under load and does not end the run: no figure is trusted that should not be."""

import resource
from dataclasses import replace

import pytest
from tests.docker.footprint import Footprint
from tests.e2e.conftest import Tool, tiny

from bench_action.model.warning import Code

pytestmark = pytest.mark.e2e


def test_application__that_serves_nothing_but_errors(tool: Tool) -> None:
    config = tool.config({"tiny": tiny(STATUS="500")})
    finished = tool.run(config)
    finished.assert_failed(
        5, "all 20 replies had the status 500, not 2xx", "tiny · short", "Read the application's log"
    )
    (summary,) = finished.result.summaries
    assert (summary.trials, "requests_per_second" in summary.metrics) == (0, False)


def test_path__that_is_not_there(tool: Tool) -> None:
    config = tool.config({"tiny": tiny(STATUS="404")})
    finished = tool.run(config)
    finished.assert_failed(5, "all 20 replies had the status 404", "tiny · short", "Correct the profile's `path`")
    assert finished.result.verdict == "invalid"


def test_path__that_redirects(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(STATUS="301", LOCATION="/items/")}))
    finished.assert_failed(5, "301 (a redirect to /items/), not 2xx", "Set `path: /items/` in the profile")
    assert "301" in finished.report


def test_path__whose_expected_status_is_an_error(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(STATUS="404")}, profile={"expect": {"status": 404}}))
    assert finished.status == 0, finished.stderr
    (summary,) = finished.result.summaries
    assert summary.metrics["requests_per_second"].median > 0
    assert summary.errors.status == 0


def test_stream__that_never_ends(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(STREAM="1")}))
    finished.assert_failed(5, "no request was answered: the reply did not end within 10 s", "a path whose replies end")


def test_limiter__that_refuses_under_load_only(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(BUSY_STATUS="429")}, profile={"duration": "2s"}))
    finished.assert_failed(5, "under load had an unexpected status (429, not 2xx)", "Switch the rate limiter off")


def test_application__that_sends_less_under_load(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(PAGE="a page " * 800, BUSY_PAGE="")}))
    finished.assert_failed(5, "replies under load have", "they had 5,", "`expect: {size: varies}`")
    (found,) = finished.result.findings
    assert found.code == "replies-differ"
    assert (found.before or 0) > (found.after or 0) > 0  # on a busy machine, many replies come before it is busy


def test_server__that_may_open_too_few_files(tool: Tool) -> None:
    config = tool.config({"tiny": {**tiny(), "ulimits": {"nofile": 64}}}, profile={"connections": 100})
    tool.run(config).assert_failed(4, "live connections", "100 simultaneous connections", "`ulimits: {nofile: …}`")


def test_container__that_is_throttled(tool: Tool, footprint: Footprint) -> None:
    running = tool.start(tool.config({"tiny": tiny(BUSY_DELAY_S="0")}))
    running.wait_for_trials(1)
    footprint.client.containers.get(footprint.container("tiny")).update(cpu_period=100_000, cpu_quota=10_000)
    finished = running.finish()
    finished.assert_failed(5, "a container was throttled for", "tiny · short", "Remove the limit from the container")
    assert any(warned.code is Code.THROTTLED for trial in finished.trials for warned in trial.warnings)


@pytest.mark.alone
def test_generator__that_is_at_its_limit(tool: Tool) -> None:
    config = tool.config({"tiny": tiny(LARGE_MIB="4", BUSY_DELAY_S="0")}, profile={"connections": 16, "threads": 1})
    finished = tool.run(config)
    finished.assert_failed(5, "of the CPU time available to its threads", "tiny · short", "Give wrk more `threads`")
    assert any(warned.code is Code.GENERATOR_SATURATED for trial in finished.trials for warned in trial.warnings)


def test_disk__that_is_full_costs_the_files_and_not_the_measurement(tool: Tool) -> None:
    """No file may grow beyond 4 kB from the first trial on, which is how a full disk looks to the tool."""
    running = replace(tool, variables={}).start(tool.config({"tiny": tiny()}))  # with as many trials as usual
    running.wait_for_trials(1)
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    finished = running.finish()
    finished.assert_failed(2, "could not write result.json", "--output DIR")
    assert "Traceback" not in finished.stderr
    assert finished.stderr.count("could not add a trial to trials.jsonl") == 1
    assert "requests/s" in finished.stdout
    assert "The full report" not in finished.stdout
    text = (finished.output / "trials.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert 0 < len(finished.trials) == text.count("\n") < 6
    assert not (finished.output / "result.json").exists()


def test_secret__that_the_application_reveals_is_hidden_everywhere(tool: Tool) -> None:
    value = "sk_test_4eC39HqLyjWDarjtT1"
    config = tool.config({"tiny": tiny(STATUS="301", LOCATION="/items/${KEY}")}, secrets=["KEY"])
    redirected = tool.run(config, "--secrets", "KEY", KEY=value)
    redirected.assert_failed(5, "301 (a redirect to /items/***), not 2xx")
    config = tool.config({"tiny": tiny(DIE_AT_START="the key is ${KEY}")}, secrets=["KEY"])
    crashed = tool.run(config, "--secrets", "KEY", KEY=value)
    crashed.assert_failed(3, "the key is ***")
    shown = [redirected.stdout, redirected.stderr, crashed.stdout, crashed.stderr]
    written = [path.read_text(encoding="utf-8") for path in redirected.output.iterdir()]
    assert len(written) >= 5
    assert not [text for text in (*shown, *written) if value in text]
