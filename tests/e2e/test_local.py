"""Without Docker: how the engine is chosen, what a machine may lack, several runs on one machine."""

import shutil
import signal
from dataclasses import replace

import pytest
from tests.e2e.conftest import Tool, tiny
from tests.e2e.sites import LocalSite

pytestmark = pytest.mark.e2e

NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent"}
FEW_FILES = ("sh", "-c", 'ulimit -n 250 && exec "$@"', "sh")


@pytest.fixture
def tool(tool: Tool) -> Tool:
    """The command without Docker."""
    return replace(tool, engine="local")


def test_runs__two_at_once_do_not_disturb_each_other(tool: Tool, local_site: LocalSite) -> None:
    config = tool.config({"tiny": tiny()}, services=["postgres", "redis"])
    first = tool.start(config, output="first")
    first.wait_for_text("starting subjects")
    # this one begins with looking for what the other might have left; and nothing is kept in HOME
    second = tool.start(config, output="second", HOME="/proc/nowhere")
    for running in (first, second):
        finished = running.finish()
        assert finished.status == 0, finished.stderr
        assert finished.result.verdict == "measured"
        assert "had left" not in finished.stderr
    assert local_site.running() == []


@pytest.mark.sweeps
def test_kill__leaves_what_the_next_run_removes(tool: Tool, local_site: LocalSite) -> None:
    running = tool.start(tool.config({"tiny": tiny()}, services=["postgres", "redis"]))
    running.wait_for_trials(1)
    running.process.kill()
    running.process.wait()
    assert {"postgres", "redis", "tiny"} <= set(local_site.running())
    # any next run does: this one's variant cannot be run
    finished = tool.run(tool.config({"absent": {"image": "localhost:1/nobody:1"}}), output="next")
    assert "removed what dead runs had left: bench-action-run-" in finished.stderr
    assert local_site.left() == []


def test_variant__without_a_local_form(tool: Tool) -> None:
    contained = {name: value for name, value in tiny().items() if name != "local"}
    finished = tool.run(tool.config({"contained": contained}))
    finished.assert_failed(3, "contained cannot run without Docker", "no `local:`", "add `local: {command: […]")


def test_auto__takes_the_local_engine_where_docker_does_not_answer(tool: Tool) -> None:
    running = tool.start(tool.config({"tiny": tiny()}), "--engine", "auto", **NO_DOCKER)
    running.wait_for_trials(1)
    running.send_signal(signal.SIGINT)
    finished = running.finish()
    (line,) = [line for line in finished.stderr.splitlines() if "engine:" in line]
    assert line.endswith("engine: local, because no Docker engine answers at unix:///nonexistent")
    assert finished.result.run.engine == "local"


def test_auto__says_what_is_missing_where_neither_engine_can_be_used(tool: Tool) -> None:
    config = tool.config({"tiny": tiny(), "contained": {"image": "nginx"}})
    finished = tool.run(config, "--engine", "auto", **NO_DOCKER)
    finished.assert_failed(
        3, "no Docker engine answers at unix:///nonexistent", "start Docker", "contained has no `local: {command: […]}`"
    )


def test_wrk__that_is_not_installed(tool: Tool) -> None:
    programs = tool.folder / "bin"
    programs.mkdir()
    for name in ("sh", "test", "git"):
        (programs / name).symlink_to(str(shutil.which(name)))
    finished = tool.run(tool.config({"tiny": tiny()}), PATH=str(programs))
    finished.assert_failed(3, "not fit to measure", "no wrk found on this machine", "`apt-get install wrk`")


def test_check__prints_a_line_for_each_condition_of_the_machine(tool: Tool) -> None:
    finished = tool.check(tool.config({"tiny": tiny()}, services=["postgres"]))
    assert finished.status == 0, finished.stderr
    lines = [line.split(None, 1) for line in finished.stdout.splitlines() if not line.startswith(" ")]
    assert {level for level, _ in lines} <= {"ok", "warning"}
    for name in ("configuration", "engine", "cores", "memory", "open files", "ports", "somaxconn", "wrk", "postgres"):
        assert [rest for _, rest in lines if rest.startswith(f"{name} ")], f"no line about {name}:\n{finished.stdout}"


def test_check__of_a_wrong_configuration(tool: Tool) -> None:
    finished = tool.check(tool.config({"tiny": tiny()}, profile={"connections": 7}))
    finished.assert_failed(2, "profiles.short", "multiple of threads")


def test_limits__that_are_too_low_are_fatal_for_checking_and_running(tool: Tool) -> None:
    limited = replace(tool, wrapper=FEW_FILES)
    config = tool.config({"tiny": tiny()}, profile={"connections": 200})
    message = ("not fit to measure", "open files: the limit is 250, for 200 connections", "`ulimit -Hn 300`")
    checked = limited.check(config)
    checked.assert_failed(3, *message)
    assert "fatal   open files" in checked.stdout
    limited.run(config).assert_failed(3, *message)
