"""Whichever engine: the same figures, the same ends, the same messages, and nothing left."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.e2e.conftest import Finished, Tool, tiny
from tests.e2e.sites import DockerSite, LocalSite, Site

from bench_action.model.result import Result, Work
from bench_action.model.warning import Code

pytestmark = pytest.mark.e2e

SCHEMA = Path(__file__).parents[2] / "docs" / "result.schema.json"
BUILTIN = ("django", "aiohttp")


@pytest.fixture(params=["docker", "local"])
def site(request: pytest.FixtureRequest, docker_site: DockerSite, local_site: LocalSite) -> Site:
    """Each engine in turn, as seen from outside."""
    return docker_site if request.param == "docker" else local_site


@pytest.fixture
def tool(tool: Tool, site: Site) -> Tool:
    """The command, told to use that engine."""
    return replace(tool, engine=site.name)


@pytest.fixture(params=["docker", "local"])
def built_in(request: pytest.FixtureRequest) -> Finished:
    """A run of the built-in applications on each engine."""
    finished: Finished = request.getfixturevalue("builtin" if request.param == "docker" else "builtin_local")
    assert finished.status == 0, finished.stderr
    assert finished.result.run.engine == request.param
    return finished


def metrics_of(finished: Finished) -> dict[str, set[str]]:
    return {one.variant: set(one.metrics) for one in finished.result.summaries if one.variant in BUILTIN}


def test_run__ends_with_a_result_as_its_schema_says(built_in: Finished) -> None:
    assert built_in.result.verdict == "measured"
    assert all(subject.verified and not subject.failure for subject in built_in.result.subjects)
    text = (built_in.output / "result.json").read_text(encoding="utf-8")
    stored: dict[str, Any] = json.loads(text)
    assert next(iter(stored)) == "schema_version"
    jsonschema.validate(stored, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert json.loads(Result.model_validate_json(text).model_dump_json()) == stored


def test_run__counts_one_query_and_one_cache_command_for_each_page(built_in: Finished) -> None:
    counts = [trial for trial in built_in.trials if trial.phase == "count"]
    for variant in BUILTIN:
        own = [(trial.requests, trial.work) for trial in counts if trial.variant == variant]
        # others follow where a busy machine made the first two differ
        assert own.count((20, Work(queries=20, rows=400, cache_commands=20))) >= 2, own


def test_engines__have_the_same_metrics(builtin: Finished, builtin_local: Finished) -> None:
    assert metrics_of(builtin_local) == metrics_of(builtin)
    assert {"cpu_ms_per_request", "db_cpu_ms_per_request", "cache_cpu_ms_per_request", "memory_peak_mib"} <= (
        metrics_of(builtin_local)["aiohttp"]
    )


def test_engines__agree_exactly_on_the_work_of_a_request(builtin: Finished, builtin_local: Finished) -> None:
    exact = ("queries_per_request", "rows_per_request", "cache_commands_per_request")
    told = [
        {
            (one.variant, name): one.metrics[name].median
            for one in finished.result.summaries
            for name in exact
            if one.variant in BUILTIN
        }
        for finished in (builtin, builtin_local)
    ]
    assert told[0] == told[1]
    assert set(told[0].values()) == {1.0, 20.0}


def test_application__that_dies_at_start(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(DIE_AT_START="no SECRET_KEY in the environment")}))
    finished.assert_failed(3, "tiny exited with status 3", "log", "| no SECRET_KEY in the environment")


def test_application__that_never_listens(tool: Tool, site: Site) -> None:
    app = tiny(LISTEN="never") | {"ready": {"path": "/health", "timeout": "1s"}}
    finished = tool.run(tool.config({"tiny": app}))
    where = "tiny:8000" if site.name == "docker" else "127.0.0.1:"
    finished.assert_failed(3, "tiny was not ready after 1 s", where, "refused", "`port`", "| thinking about it")


def test_setup__that_fails(tool: Tool) -> None:
    command = ["python", "-c", "raise SystemExit('no such migration')"]
    finished = tool.run(tool.config({"tiny": tiny() | {"setup": command}}, services=["postgres"]))
    finished.assert_failed(3, "tiny-setup exited with status 1", "SystemExit", "| no such migration")


def test_setting__that_postgresql_refuses(tool: Tool) -> None:
    postgres = {"image": "postgres:17", "settings": {"wrk_mem": "4MB"}}
    finished = tool.run(tool.config({"tiny": tiny()}, services={"postgres": postgres}))
    finished.assert_failed(3, "postgres exited with status 1", "log", 'unrecognized configuration parameter "wrk_mem"')


def test_variant__that_breaks_a_check_is_not_measured_and_the_others_are(tool: Tool) -> None:
    page = {"status": 200, "contains": ["the page"]}
    check = {"name": "home", "rule": "C1", "request": {"path": "/"}, "expect": page}
    finished = tool.run(tool.config({"sound": tiny(), "odd": tiny(PAGE="an advertisement")}, checks=[check]))
    rule = "home (C1): expected a body that contains 'the page', got 'an advertisement'"
    finished.assert_failed(4, "odd broke 1 rule", f"odd: {rule}", "fix the variant")
    assert f"warning: not measured: odd: {rule}" in finished.stderr
    failures = {subject.variant: subject.failure for subject in finished.result.subjects}
    assert failures == {"sound": "", "odd": rule}
    assert {trial.variant for trial in finished.trials} == {"sound"}
    assert "odd" in finished.report


def test_application__that_dies_under_load(tool: Tool) -> None:
    # Since it was last started, there were 1 to 4 connections to see that it is ready, 8 to warm up, 1 to count and 8
    # in block 1; so it dies in block 2. Its verification, before that, opened fewer.
    finished = tool.run(tool.config({"tiny": tiny(DIE_AFTER_CONNECTIONS="22")}))
    finished.assert_failed(3, "tiny exited with status 7", "tiny · short", "its log", "| Segmentation fault")
    assert_kept(finished, at_least=2)


def test_postgres__that_is_killed_in_mid_trial(tool: Tool, site: Site) -> None:
    running = tool.start(tool.config({"tiny": tiny()}, services=["postgres"], profile={"duration": "3s"}))
    running.wait_for_trials(2)
    site.kill("postgres")
    finished = running.finish()
    finished.assert_failed(3, "postgres exited with status 137", "tiny · short", "log")
    assert_kept(finished, at_least=2)


def test_generator__with_too_low_an_open_files_limit(tool: Tool) -> None:
    # one thread: the connections of a first can leave no file for a second to begin with, and then wrk reports nothing
    profile = {"connections": 200, "threads": 1}
    config = tool.config({"tiny": tiny()}, profile=profile, load={"ulimits": {"nofile": 64}})
    finished = tool.run(config)
    finished.assert_failed(
        5,
        "the measurement is invalid",
        "tiny · short",
        "of 200 connections could not be made",
        "Raise `load: {ulimits: {nofile: …}}`",
    )
    assert finished.result.verdict == "invalid"
    assert "# ⚪ bench-action: no verdict, the measurement is invalid" in finished.report
    assert "of 200 connections could not be made" in finished.report
    # one block shows it, and the others would show it again
    assert {trial.block for trial in finished.trials} == {0, 1}
    assert "INVALID" in finished.stderr


# SIGINT in containers: test_interrupts
@pytest.mark.parametrize(
    ("site", "number"),
    [("docker", signal.SIGTERM), ("local", signal.SIGTERM), ("local", signal.SIGINT)],
    indirect=["site"],
)
def test_signal__while_measuring_keeps_the_trials(tool: Tool, site: Site, number: signal.Signals) -> None:
    running = tool.start(tool.config({"tiny": tiny()}, services=["postgres", "redis"]))
    running.wait_for_trials(2)
    assert {"postgres", "redis", "tiny"} <= set(site.running())
    running.send_signal(number)
    finished = running.finish()
    finished.assert_failed(128 + number, f"interrupted by {number.name}")
    assert site.running() == []
    assert_kept(finished, at_least=2)


def assert_kept(finished: Finished, at_least: int) -> None:
    """Finished trials are there, one line each, and the result that tells of them is not trusted."""
    assert len(finished.trials) >= at_least
    assert list(finished.result.trials) == finished.trials
    assert finished.result.verdict == "invalid"
    assert Code.STOPPED_EARLY in [warned.code for warned in finished.result.warnings]
    assert "the run ended early" in finished.report
