"""`bench-action check --up`: every request of a stack that is started once, and nothing is left of it."""

import shutil
import signal
import subprocess
import time
from dataclasses import replace

import pytest
import yaml
from tests.e2e.conftest import BUILTIN_APPS, COMMAND, SHORT, Tool, tiny
from tests.e2e.sites import LocalSite

pytestmark = pytest.mark.e2e


@pytest.fixture
def tool(tool: Tool) -> Tool:
    return replace(tool, engine="local")


def test_check_up__an_application_that_passes(tool: Tool, local_site: LocalSite) -> None:
    shutil.copytree(BUILTIN_APPS / "aiohttp", tool.folder / "aiohttp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(BUILTIN_APPS / "seed.sql", tool.folder)
    body = yaml.safe_load((BUILTIN_APPS / "bench.yml").read_text(encoding="utf-8"))
    body |= {"variants": {"aiohttp": body["variants"]["aiohttp"]}, "compare": [], "profiles": {"home": SHORT}}
    config = tool.folder / "bench.yml"
    config.write_text(yaml.safe_dump(body), encoding="utf-8")

    finished = tool.check(config, "--up")
    assert finished.status == 0, finished.stderr
    lines = [line.split() for line in finished.stdout.splitlines()]
    (home,) = [line for line in lines if line[:2] == ["GET", "/"]]
    assert (home[2], home[4], home[5]) == ("200", "1", "1")
    assert any(line[:2] == ["POST", "/items"] and "201" in line for line in lines)
    assert "hint: to make one more query a regression at any speed, add `work: {home: {queries: 1}}`" in finished.stdout
    assert "missing" not in finished.stdout
    assert local_site.left() == []


def test_check_up__says_what_is_wrong_and_takes_the_stack_down(tool: Tool, local_site: LocalSite) -> None:
    config = tool.config({"tiny": tiny(STATUS="302", LOCATION="/login")})
    finished = tool.check(config, "--up")
    finished.assert_failed(4, "1 request of 1 not answered as expected", "listed as missing above")
    assert "missing: tiny: GET / redirects (302) to /login" in finished.stdout
    assert "missing: no `checks`" in finished.stdout
    assert local_site.left() == []


def test_check_up__a_stack_that_does_not_come_up(tool: Tool, local_site: LocalSite) -> None:
    finished = tool.check(tool.config({"tiny": tiny(DIE_AT_START="now")}), "--up")
    finished.assert_failed(3, "tiny exited")
    assert local_site.left() == []


def test_check_up__interrupted(tool: Tool, local_site: LocalSite) -> None:
    config = tool.config({"tiny": tiny(DELAY_S="1")}, profile=SHORT)
    log = tool.folder / "check.log"
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [*COMMAND, "check", str(config), "--up", "--engine", "local"],
            cwd=tool.folder,
            env=tool.environment(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        while "trying each request" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    assert local_site.left() == []
