"""Base and head, on either engine: a change is named, unchanged code raises no alarm."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.conftest import BUILTIN_APPS, SHORT, Tool, tiny
from tests.e2e.sites import DockerSite, LocalSite, Site
from tests.git import git

from bench_action.model.result import Result

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
  home: {path: /, connections: 16, threads: 2, duration: 1s, warmup: 1s}
"""
_READ = "        items = await self.request.app[POOL].fetch(_SELECT)\n"
_IN_A_LOOP = (
    "        for item in items:\n"
    "            await self.request.app[POOL].fetchval('SELECT text FROM item WHERE id = $1', item['id'])\n"
)
_OPENED = "            app[POOL] = pool\n            yield\n"
_SCHEDULER = """\
            async def tick() -> None:
                while await pool.fetchval("SELECT count(*) FROM item"):
                    await __import__("asyncio").sleep(0.05)

            app[POOL], ticking = pool, __import__("asyncio").create_task(tick())
            yield
            ticking.cancel()
"""

# what base's rules and routes mean is not the engine's business
_ON_ONE_ENGINE = pytest.mark.parametrize("site", ["local"], indirect=True)


@pytest.fixture(params=["docker", "local"])
def site(request: pytest.FixtureRequest, docker_site: DockerSite, local_site: LocalSite) -> Site:
    """Each engine in turn, as seen from outside."""
    return docker_site if request.param == "docker" else local_site


@pytest.fixture
def tool(tool: Tool, site: Site) -> Tool:
    """The command with that engine."""
    return replace(tool, engine=site.name)


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "more")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def todo(tool: Tool) -> Path:
    """The aiohttp application in a separate repository with one commit."""
    shutil.copytree(BUILTIN_APPS / "aiohttp", tool.folder / "aiohttp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(BUILTIN_APPS / "seed.sql", tool.folder)
    (tool.folder / "bench.yml").write_text(_CONFIG, encoding="utf-8")
    git(tool.folder, "init", "--quiet")
    commit(tool.folder)
    return tool.folder


def test_baseline__a_query_in_a_loop_is_counted_and_named(tool: Tool, todo: Path) -> None:
    bench = todo / "bench.yml"
    exact = bench.read_text(encoding="utf-8").replace("same: all-variants", "same: all-variants, work: {queries: 1}")
    bench.write_text(exact, encoding="utf-8")  # a rule that head breaks by being slower is a regression
    commit(todo)
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
    assert "the home page: expected 1 query in 1 request, as base makes; got 21" in messages
    assert any("SELECT text FROM item WHERE id = $1`, 0 → 20 per request" in message for message in messages)
    (counted,) = [one for one in result.comparisons if one.metric == "queries_per_request"]
    assert (counted.base_value, counted.head_value, counted.method, counted.verdict) == (1, 21, "count", "regressed")
    assert "21 queries instead of 1" in finished.report
    assert (finished.output / "report.html").is_file()


@pytest.mark.parametrize("site", ["docker"], indirect=True)
def test_baseline__work_in_the_background_is_no_alarm_and_one_more_query_is(tool: Tool, todo: Path) -> None:
    resources = todo / "aiohttp" / "todo_aiohttp" / "resources.py"
    text = resources.read_text(encoding="utf-8")
    assert _OPENED in text
    resources.write_text(text.replace(_OPENED, _SCHEDULER), encoding="utf-8")
    shutil.copytree(todo / "aiohttp", todo / "more")
    bench = yaml.safe_load(_CONFIG)
    bench["variants"] = {name: {"build": name, "ready": {"path": "/health"}} for name in ("aiohttp", "more")}
    (todo / "bench.yml").write_text(yaml.safe_dump(bench), encoding="utf-8")
    commit(todo)
    views, more = (todo / name / "todo_aiohttp" / "views.py" for name in ("aiohttp", "more"))
    text = views.read_text(encoding="utf-8")
    views.write_text(text + "\n# nothing\n", encoding="utf-8")
    more.write_text(text.replace(_READ, _READ + _READ), encoding="utf-8")

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    finished.assert_failed(1, "each request of more on home makes ")
    result = finished.result
    counts = [trial for trial in finished.trials if trial.phase == "count" and trial.variant == "aiohttp"]
    assert len(counts) == 2 * 6
    assert sum(trial.idle.queries for trial in counts if trial.idle is not None) > 0
    assert {one.code.value for one in result.warnings} >= {"counts-vary"}
    counted = {one.variant: one for one in result.comparisons if one.metric == "queries_per_request"}
    same, another = counted["aiohttp"], counted["more"]
    assert (same.verdict, same.blocks, same.exact) == ("unchanged", 5, False)
    assert another.verdict == "regressed"
    assert 0.8 < another.difference < 1.2
    assert {one.variant for one in result.comparisons if one.verdict == "regressed"} == {"more"}
    assert {one.cell for one in result.findings} == {"more · home"}


@pytest.mark.alone
def test_baseline__the_same_code_runs_in_duets_and_is_no_alarm(tool: Tool, todo: Path) -> None:
    """With gates that chance does not break: how often the usual ones give a false alarm is counted elsewhere."""
    config = todo / "bench.yml"
    costs = ("cpu_ms_per_request", "total_cpu_ms_per_request", "db_cpu_ms_per_request", "latency_p50_us")
    wide = "  requests_per_second: {max_loss: 15%}\n" + "".join(f"  {name}: {{max_gain: 30%}}\n" for name in costs)
    assert "gates:" not in config.read_text(encoding="utf-8")
    config.write_text(f"{config.read_text(encoding='utf-8')}\ngates:\n{wide}", encoding="utf-8")
    commit(todo)
    base = git(todo, "rev-parse", "HEAD")
    views = todo / "aiohttp" / "todo_aiohttp" / "views.py"
    views.write_text(views.read_text(encoding="utf-8") + "\n# nothing\n", encoding="utf-8")
    commit(todo)

    finished = tool.run("--preset", "ci", "--max-minutes", "0.75", "--baseline", base)

    assert finished.status == 0, finished.stderr
    result = finished.result
    assert result.verdict in {"unchanged", "inconclusive", "measured"}
    assert [warned for warned in result.warnings if warned.code.value == "identical-revisions"] == []
    duets = [trial for trial in result.trials if trial.phase == "duet"]
    assert len(duets) >= 4
    for number in {trial.block for trial in duets}:
        sides = {trial.side: trial for trial in duets if trial.block == number}
        assert set(sides) == {"base", "head"}
        assert {trial.slot for trial in sides.values()} == {"a", "b"}
        assert sides["base"].requests > 0
        used = [trial.cpu_ms["application"] for trial in sides.values()]
        assert 0.4 < used[0] / sum(used) < 0.6  # one CPU, shared equally
    latency = [trial for trial in result.trials if trial.phase == "latency"]
    assert {trial.side for trial in latency} == {"base", "head"}
    assert all(trial.connections_asked == 1 and trial.latency is not None for trial in latency)
    metrics = {one.metric: one for one in result.comparisons}
    assert metrics["cpu_ms_per_request"].method == "duet"
    assert metrics["db_cpu_ms_per_request"].method == "duet"
    assert "application on CPU 0" in result.placement["latency, duet"]


def test_baseline__that_cannot_be_started_costs_its_cells_and_head_is_measured(tool: Tool) -> None:
    tool.config({"old": tiny(), "new": tiny()})
    git(tool.folder, "init", "--quiet")
    text = (tool.folder / "bench.yml").read_text(encoding="utf-8")
    tool.config({"old": tiny(DIE_AT_START="no SECRET_KEY in the environment")})
    commit(tool.folder)
    (tool.folder / "bench.yml").write_text(text, encoding="utf-8")

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    assert finished.status == 0, finished.stderr
    missing = {one.cell: one for one in finished.result.not_compared}
    old, new = missing["old · short"], missing["new · short"]
    assert (old.status, new.status, finished.result.compared) == ("base-failed", "new", ())
    assert "could not be started: old-base exited with status 3" in old.reason
    assert old.log[-1] == "no SECRET_KEY in the environment"
    assert "has no variant `new`" in new.reason
    assert "compared 0 of 2 cells with base" in finished.stderr
    assert {(one.variant, one.revision) for one in finished.result.summaries} == {("old", "head"), ("new", "head")}
    assert finished.result.verdict == "measured"


def test_baseline__that_does_not_exist(tool: Tool) -> None:
    config = tool.config({"tiny": tiny()})
    git(tool.folder, "init", "--quiet")
    commit(tool.folder)
    finished = tool.run(config, "--baseline", "no-such-branch")
    finished.assert_failed(2, "--baseline no-such-branch: no such commit", "`git log` shows")


_ROUTES = {"/health": b"ok", "/old": b"old" * 50}
_APP = """\
import http.server, os, time
ROUTES = {routes}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, -1
    def do_GET(self):
        time.sleep(0.01)  # so that a load takes little CPU from other tests
        body = ROUTES.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
Server(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def write_app(folder: Path, **routes: bytes) -> None:
    """An application that knows some routes, with a Dockerfile."""
    every = _ROUTES | {f"/{name}": body for name, body in routes.items()}
    (folder / "app.py").write_text(_APP.format(routes=every), encoding="utf-8")
    docker = 'FROM python:3.13-slim\nCOPY app.py /\nCMD ["python", "/app.py"]\n'
    (folder / "Dockerfile").write_text(docker, encoding="utf-8")


def routed(tool: Tool, *names: str, text: str = "old", **more: Any) -> None:
    """A configuration with a profile for each of these routes, and a check of the text of the first."""
    web = {"build": ".", "local": {"command": ["python", "app.py"]}, "ready": {"path": "/health"}}
    profiles = {name: SHORT | {"path": f"/{name}"} for name in names}
    check = {"name": "text", "request": {"path": f"/{names[0]}"}, "expect": {"status": 200, "contains": [text]}}
    tool.config({"web": web}, profiles=profiles, **({"checks": [check]} | more))


def lacking(result: Result) -> dict[str, str]:
    """Cells that base has no counterpart of; the others were compared, or their base measured, as time allowed."""
    others = [*result.compared, *(one.cell for one in result.not_compared if one.status == "not-measured")]
    based = {f"{one.variant} · {one.profile}" for one in result.summaries if one.revision == "base"}
    assert set(others) == based
    return {one.cell: one.status for one in result.not_compared if one.cell not in others}


@_ON_ONE_ENGINE
def test_baseline__a_new_route_a_changed_text_and_loosened_gates_cost_nothing_else(tool: Tool) -> None:
    git(tool.folder, "init", "--quiet")
    write_app(tool.folder)
    routed(tool, "old", text="oldold")
    commit(tool.folder)
    write_app(tool.folder, old=b"fresh" * 30, new=b"new")
    checks = [
        {"name": "text", "request": {"path": "/old"}, "expect": {"status": 200, "contains": ["freshfresh"]}},
        {"name": "new", "request": {"path": "/new"}, "expect": {"status": 200}},
    ]
    routed(tool, "new", "old", checks=checks, gates={"requests_per_second": {"max_loss": "50%"}})

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    assert finished.status == 0, finished.stderr
    result = finished.result
    assert lacking(result) == {"web · new": "new"}
    assert [one.reason for one in result.not_compared if "has no profile `new`" in one.reason]
    assert (result.rules, {change.what for change in result.rule_changes}) == (
        "base",
        {"gate on requests/s", "check text", "check new"},
    )
    assert result.verdict_by_head_rules is not None
    assert {one.gate for one in result.comparisons if one.metric == "requests_per_second"} <= {0.01}
    assert {(one.profile, one.revision) for one in result.summaries} == {
        ("old", "base"),
        ("old", "head"),
        ("new", "head"),
    }
    assert "of 2 cells with base" in finished.stderr


@_ON_ONE_ENGINE
def test_baseline__the_first_measurement_compares_nothing_and_says_why(tool: Tool) -> None:
    git(tool.folder, "init", "--quiet")
    write_app(tool.folder)
    commit(tool.folder)
    routed(tool, "old")

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    assert (finished.status, finished.result.verdict) == (0, "measured"), finished.stderr
    (other,) = finished.result.not_compared
    assert (other.status, finished.result.compared, finished.result.rule_changes) == ("new", (), ())
    assert "has no `bench.yml`" in other.reason
    assert {(one.variant, one.revision) for one in finished.result.summaries} == {("web", "head")}


@_ON_ONE_ENGINE
def test_baseline__an_invalid_configuration_does_not_stop_the_change_that_fixes_it(tool: Tool) -> None:
    git(tool.folder, "init", "--quiet")
    write_app(tool.folder)
    routed(tool, "old")
    text = (tool.folder / "bench.yml").read_text(encoding="utf-8")
    (tool.folder / "bench.yml").write_text(text + "sede: x\n", encoding="utf-8")
    commit(tool.folder)
    (tool.folder / "bench.yml").write_text(text, encoding="utf-8")

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    assert finished.status == 0, finished.stderr
    assert (lacking(finished.result), finished.result.rules) == ({}, "head")
    assert "has no valid bench.yml: head's own rules judge" in finished.stderr


@_ON_ONE_ENGINE
def test_baseline__a_check_that_base_fails_costs_its_profile_and_not_the_run(tool: Tool) -> None:
    git(tool.folder, "init", "--quiet")
    write_app(tool.folder, other=b"broken")
    checks = [
        {"name": name, "request": {"path": f"/{name}"}, "expect": {"status": 200, "contains": [name]}}
        for name in ("old", "other")
    ]
    routed(tool, "old", "other", checks=checks)
    commit(tool.folder)
    write_app(tool.folder, other=b"other")

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    assert finished.status == 0, finished.stderr
    assert lacking(finished.result) == {"web · other": "base-failed"}
    (reason,) = [one.reason for one in finished.result.not_compared if one.status == "base-failed"]
    assert "does not pass `other`: expected a body that contains 'other'" in reason


@_ON_ONE_ENGINE
def test_baseline__a_check_that_both_fail_is_heads_failure(tool: Tool) -> None:
    git(tool.folder, "init", "--quiet")
    write_app(tool.folder)
    routed(tool, "old", text="something else")
    commit(tool.folder)

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    finished.assert_failed(4, "web broke 1 rule", "expected a body that contains 'something else'")


def test_baseline__that_dies_under_load_leaves_head_its_own_figures(tool: Tool) -> None:
    git(tool.folder, "init", "--quiet")
    tool.config({"web": tiny(DIE_AFTER_CONNECTIONS="30")}, profile={"connections": 16})
    commit(tool.folder)
    tool.config({"web": tiny()}, profile={"connections": 16})

    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD")

    assert (finished.status, finished.result.verdict) == (0, "measured"), finished.stderr
    (other,) = finished.result.not_compared
    assert (other.cell, other.status) == ("web · short", "base-failed")
    assert "exited with status 7" in other.reason
    assert any("Segmentation fault" in line for line in other.log)
    assert finished.result.compared == ()
    (head,) = [one for one in finished.result.summaries if one.revision == "head"]
    assert head.errors.total == 0
