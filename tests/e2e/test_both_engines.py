"""Whichever engine: the same figures, the same ends, the same messages, and nothing left."""

import signal
from dataclasses import replace

import pytest
from tests.e2e.conftest import Finished, Tool, tiny
from tests.e2e.sites import DockerSite, LocalSite, Site

from bench_action.model.warning import Code

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["docker", "local"])
def site(request: pytest.FixtureRequest, docker_site: DockerSite, local_site: LocalSite) -> Site:
    """Each engine in turn, as seen from outside."""
    return docker_site if request.param == "docker" else local_site


@pytest.fixture
def tool(tool: Tool, site: Site) -> Tool:
    """The command with that engine."""
    return replace(tool, engine=site.name)


def test_application__that_dies_at_start(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(DIE_AT_START="no SECRET_KEY in the environment")}))
    finished.assert_failed(3, "tiny exited with status 3", "log", "| no SECRET_KEY in the environment")


def test_application__that_never_listens(tool: Tool, site: Site) -> None:
    app = tiny(LISTEN="never") | {"ready": {"path": "/health", "timeout": "1s"}}
    finished = tool.run(tool.config({"tiny": app}))
    where = "tiny:8000" if site.name == "docker" else "127.0.0.1:"
    finished.assert_failed(
        3, "tiny was not ready after 1 s", where, "refuses connections", "`port`", "| thinking about it"
    )


def test_setup__that_fails(tool: Tool) -> None:
    command = ["python", "-c", "raise SystemExit('no such migration')"]
    finished = tool.run(tool.config({"tiny": tiny() | {"setup": command}}, services=["postgres"]))
    finished.assert_failed(3, "tiny-setup exited with status 1", "SystemExit", "| no such migration")


def test_placeholders__describe_the_subjects_own_services_in_environment_and_commands(tool: Tool) -> None:
    """The setup compares them with the URLs, which `env` replaces, and ends the run."""
    code = (
        "import os, sys; from urllib.parse import urlsplit; "
        "assert not {'DATABASE_URL', 'REDIS_URL'} & set(os.environ); "
        "db, cache = urlsplit(os.environ['PG']), urlsplit(os.environ['CACHE']); "
        "parts = [db.hostname, str(db.port), db.username, db.password, db.path[1:], os.environ['PG']]; "
        "parts += [cache.hostname, str(cache.port), cache.path[1:]]; "
        "assert sys.argv[1:] == parts, (sys.argv, parts); assert os.environ['DSN'] == ' '.join(parts); "
        "raise SystemExit('every part is right')"
    )
    names = [f"{{postgres.{name}}}" for name in ("host", "port", "user", "password", "database", "url")]
    names += [f"{{redis.{name}}}" for name in ("host", "port", "database")]
    app = tiny() | {"setup": ["python", "-c", code, *names]}
    app["env"] = {**app.get("env", {}), "DSN": " ".join(names), "PG": "{postgres.url}", "CACHE": "{redis.url}"}
    finished = tool.run(tool.config({"tiny": app}, services=["postgres", "redis"]))
    finished.assert_failed(3, "tiny-setup exited with status 1", "| every part is right")


def test_placeholder__that_is_unknown_is_refused_before_anything_starts(tool: Tool) -> None:
    app = tiny() | {"command": ["serve", "{postgres.schema}"]}
    finished = tool.run(tool.config({"tiny": app}, services=["postgres"]))
    finished.assert_failed(2, "unknown placeholder {postgres.schema}", "{postgres.database}")


def test_https__is_measured_with_the_certificate_of_the_run(tool: Tool) -> None:
    app = tiny(CERT="{tls.cert}", KEY="{tls.key}") | {"tls": True}
    finished = tool.run(tool.config({"tiny": app}))
    assert finished.status == 0, finished.stderr
    loaded = [trial for trial in finished.trials if trial.phase == "capacity"]
    assert {(t.errors.total, t.connections_live, t.requests > 20) for t in loaded} == {(0, 8, True)}
    assert {status for t in finished.trials if t.replies is not None for status in t.replies.statuses} == {"200"}


def test_https__that_a_server_does_not_speak_or_speaks_without_being_asked_to(tool: Tool) -> None:
    plain = tiny() | {"tls": True, "ready": {"path": "/health", "timeout": "1s"}}
    tool.run(tool.config({"tiny": plain})).assert_failed(3, "does not answer in TLS", "leave `tls: true` out")
    asked = tiny() | {"tls": True, "command": ["serve", "{tls.chain}"]}
    tool.run(tool.config({"tiny": asked})).assert_failed(2, "unknown placeholder {tls.chain}", "{tls.cert}")


def test_setting__that_postgresql_refuses(tool: Tool) -> None:
    postgres = {"image": "postgres:17", "settings": {"wrk_mem": "4MB"}}
    finished = tool.run(tool.config({"tiny": tiny()}, services={"postgres": postgres}))
    finished.assert_failed(3, "postgres exited with status 1", "log", 'unrecognized configuration parameter "wrk_mem"')


def test_variant__that_breaks_a_check_is_not_measured_and_the_others_are(tool: Tool) -> None:
    page = {"status": 200, "contains": ["the page"]}
    check = {"name": "home", "rule": "C1", "request": {"path": "/"}, "expect": page}
    finished = tool.run(tool.config({"good": tiny(), "odd": tiny(PAGE="an advertisement")}, checks=[check]))
    rule = "home (C1): expected a body that contains 'the page', got 'an advertisement'"
    finished.assert_failed(4, "odd broke 1 rule", f"odd: {rule}", "fix the variant")
    assert f"warning: not measured: odd: {rule}" in finished.stderr
    failures = {subject.variant: subject.failure for subject in finished.result.subjects}
    assert failures == {"good": "", "odd": rule}
    assert {trial.variant for trial in finished.trials} == {"good"}
    assert "odd" in finished.report


def test_application__that_dies_under_load(tool: Tool) -> None:
    # Since it was last started, there were 1 to 4 connections to see that it is ready, 8 to warm up, 1 to count and 9
    # or 10 in block 1; so it dies in block 2. Its verification, before that, opened fewer.
    finished = tool.run(tool.config({"tiny": tiny(DIE_AFTER_CONNECTIONS="26")}))
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
    """Finished trials are kept, one line each, and their result is marked invalid."""
    assert len(finished.trials) >= at_least
    assert list(finished.result.trials) == finished.trials
    assert finished.result.verdict == "invalid"
    assert Code.STOPPED_EARLY in [warned.code for warned in finished.result.warnings]
    assert "the run ended early" in finished.report
