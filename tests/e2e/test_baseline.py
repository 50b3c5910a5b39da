"""Base beside head, on either engine: what changed is named, what did not change is no alarm."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.conftest import BUILTIN_APPS, Tool, tiny
from tests.e2e.sites import DockerSite, LocalSite, Site
from tests.git import git

pytestmark = pytest.mark.e2e

_CONFIG = """\
seed: seed.sql
variants:
  aiohttp:
    build: aiohttp
    local: {command: [python, -m, todo_aiohttp], requirements: aiohttp/requirements.txt}
    ready: {path: /health}
checks:
  - {name: the home page, request: {path: /}, expect: {status: 200, contains: ["Water the plants"], same: all-variants}}
profiles:
  home: {path: /, connections: 16, threads: 2, duration: 1s}
"""
_READ = "        items = await self.request.app[POOL].fetch(_SELECT)\n"
_IN_A_LOOP = (
    "        for item in items:\n"
    "            await self.request.app[POOL].fetchval('SELECT text FROM item WHERE id = $1', item['id'])\n"
)


@pytest.fixture(params=["docker", "local"])
def site(request: pytest.FixtureRequest, docker_site: DockerSite, local_site: LocalSite) -> Site:
    """Each engine in turn, as seen from outside."""
    return docker_site if request.param == "docker" else local_site


@pytest.fixture
def tool(tool: Tool, site: Site) -> Tool:
    """The command, told to use that engine."""
    return replace(tool, engine=site.name)


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "more")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def todo(tool: Tool) -> Path:
    """The aiohttp application in a repository of its own, with one commit."""
    shutil.copytree(BUILTIN_APPS / "aiohttp", tool.folder / "aiohttp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(BUILTIN_APPS / "seed.sql", tool.folder)
    (tool.folder / "bench.yml").write_text(_CONFIG, encoding="utf-8")
    git(tool.folder, "init", "--quiet")
    commit(tool.folder)
    return tool.folder


def test_baseline__a_query_in_a_loop_is_counted_and_named(tool: Tool, todo: Path) -> None:
    views = todo / "aiohttp" / "todo_aiohttp" / "views.py"
    text = views.read_text(encoding="utf-8")
    assert _READ in text
    views.write_text(text.replace(_READ, _READ + _IN_A_LOOP), encoding="utf-8")  # not committed: head is the work tree
    page = views.parent / "templates" / "home.html"
    page.write_text(page.read_text(encoding="utf-8").replace("</h1>", ", and much</h1>"), encoding="utf-8")

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    finished.assert_failed(1, "each request of aiohttp on home makes 21 queries instead of 1")
    result = finished.result
    assert result.verdict == "regressed"
    assert (result.source.dirty, result.source.base_sha) == (True, git(todo, "rev-parse", "HEAD"))
    messages = [finding.message for finding in result.findings]
    assert any("queries/request 1 → 21 (N+1" in message for message in messages)
    assert any("SELECT text FROM item WHERE id = $1` 0 → 20 for each request" in message for message in messages)
    (counted,) = [one for one in result.comparisons if one.metric == "queries_per_request"]
    assert (counted.base_value, counted.head_value, counted.method, counted.verdict) == (1, 21, "count", "regressed")
    assert "21 queries instead of 1" in finished.report
    assert (finished.output / "report.html").is_file()


def test_baseline__the_same_code_runs_in_duets_and_is_no_alarm(tool: Tool, todo: Path) -> None:
    base = git(todo, "rev-parse", "HEAD")
    views = todo / "aiohttp" / "todo_aiohttp" / "views.py"
    views.write_text(views.read_text(encoding="utf-8") + "\n# nothing\n", encoding="utf-8")
    commit(todo)

    finished = tool.run("--preset", "ci", "--max-minutes", "1.1", "--baseline", base)

    assert finished.status == 0, finished.stderr
    result = finished.result
    assert result.verdict in {"unchanged", "inconclusive"}
    assert [warned for warned in result.warnings if warned.code.value == "identical-revisions"] == []
    duets = [trial for trial in result.trials if trial.phase == "duet"]
    assert len(duets) >= 4
    for number in {trial.block for trial in duets}:
        sides = {trial.side: trial for trial in duets if trial.block == number}
        assert set(sides) == {"base", "head"}
        assert {trial.slot for trial in sides.values()} == {"aiohttp-a", "aiohttp-b"}
        assert sides["base"].requests > 0
        used = [trial.cpu_ms["application"] for trial in sides.values()]
        assert 0.4 < used[0] / sum(used) < 0.6  # one CPU, shared equally
    latency = [trial for trial in result.trials if trial.phase == "latency"]
    assert {trial.side for trial in latency} == {"base", "head"}
    assert all(trial.connections_asked == 1 and trial.latency is not None for trial in latency)
    metrics = {one.metric: one for one in result.comparisons}
    assert metrics["cpu_ms_per_request"].method == "duet"
    assert metrics["db_cpu_ms_per_request"].method == "interleaved"
    assert "application on CPU 0" in result.placement["latency, duet"]


def test_baseline__that_cannot_be_had_is_told_and_head_is_measured(tool: Tool) -> None:
    tool.config({"old": tiny(), "new": tiny()})
    git(tool.folder, "init", "--quiet")
    text = (tool.folder / "bench.yml").read_text(encoding="utf-8")
    tool.config({"old": tiny(DIE_AT_START="no SECRET_KEY in the environment")})
    commit(tool.folder)
    (tool.folder / "bench.yml").write_text(text, encoding="utf-8")

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    assert finished.status == 0, finished.stderr
    told = {warned.cell: warned.message for warned in finished.result.warnings if warned.code.value == "base-absent"}
    assert "old-base exited with status 3" in told["old@base"]
    assert "this variant is new" in told["new@base"]
    assert {(one.variant, one.revision) for one in finished.result.summaries} == {("old", "head"), ("new", "head")}
    assert finished.result.verdict == "measured"


def test_baseline__that_does_not_exist(tool: Tool) -> None:
    config = tool.config({"tiny": tiny()})
    git(tool.folder, "init", "--quiet")
    commit(tool.folder)
    finished = tool.run(config, "--baseline", "no-such-branch")
    finished.assert_failed(2, "--baseline no-such-branch: there is no such commit here", "`git log` shows")
