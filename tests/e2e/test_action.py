"""The action from a consumer's workflow, run by act, and as the runner starts its container."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docker.footprint import Footprint
from tests.e2e.container import ContainerAction
from tests.e2e.presets import shorten_presets
from tests.e2e.workflow import (
    ROOT,
    Checkout,
    Runner,
    build_action,
    build_runner,
    checkout,
    exported,
    gateway,
    leave_out_variants,
    own_checkout,
    pull_request,
)
from tests.git import git
from tests.github.double import GitHubDouble
from tests.github.exchange import Answer, Fault
from tests.shared import one_at_a_time
from tests.unit.factories import make_compared, make_paired

from bench_action.config.control import BUILT_IN_VARIANT
from bench_action.github.texts import make_marker
from bench_action.history.record import Record, parse_line

pytestmark = pytest.mark.e2e

FLASK, STARLETTE = "flask/app.py", "starlette/app.py"
IN_A_LOOP = (
    "    return jsonify",
    (
        "    for key, *_ in rows:\n"
        '        connection().execute("SELECT price FROM product WHERE id = %s", [key]).fetchone()\n'
        "    return jsonify"
    ),
)
A_LOOP = ("    return JSONResponse(", "    for _ in range(20_000):\n        pass\n    return JSONResponse(")
QUICK = {"preset": "quick", "baseline": "none", "variants": "starlette"}
LONG = QUICK | {"preset": "article"}  # the one preset that is not shortened: a run that is interrupted must not be over
IMAGE = "bench-action-test-action"
BUILT_IN = ["django", "aiohttp"]
CALLER = """\
on: pull_request
jobs:
  benchmark:
    uses: ./.github/workflows/called.yml
    with: {preset: quick, baseline: none, variants: starlette}
  after:
    needs: benchmark
    runs-on: ubuntu-24.04
    steps: [{run: "echo the verdict is ${{ needs.benchmark.outputs.verdict }}"}]
"""

LEGS = """\
on: push
jobs:
  benchmark:
    runs-on: ubuntu-24.04
    strategy: {matrix: {python: ["3.11", "3.13"]}}
    steps:
      - uses: actions/checkout@v7
      - uses: org/bench-action@v1
        with: {preset: quick, baseline: none, control: none, variants: starlette, fail-on: never}
"""


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the action as a release would have it, and build its image and a runner's.

    Its presets are shorter, and it has only two of the built-in variants, which the workflow of our own trend measures.
    """
    folder = exported(tmp_path_factory.mktemp("action"))
    shorten_presets(folder)
    leave_out_variants(folder, BUILT_IN)
    with one_at_a_time(tmp_path_factory):
        build_action(folder, IMAGE)
        build_runner()
    return folder


@pytest.fixture
def github(footprint: Footprint, request: pytest.FixtureRequest) -> Iterator[GitHubDouble]:
    """GitHub, as jobs see it; an Enterprise server where a test asks for one."""
    options = getattr(request, "param", {})
    with GitHubDouble(gateway(), repository=footprint.repository, **options) as double:
        yield double
        left = footprint.left()
        footprint.remove()
        assert left == []
        assert double.violations == []


@pytest.fixture
def step(action: Path, github: GitHubDouble, tmp_path: Path) -> Callable[..., ContainerAction]:
    """Makes a step in a checkout of a pull request."""

    def make(changes: dict[str, tuple[str, str]] | None = None) -> ContainerAction:
        place = checkout(tmp_path / "workspace", github.state.repository, changes or {})
        return ContainerAction(IMAGE, place, github, tmp_path)

    return make


def open_history(github: GitHubDouble, place: Checkout, **more: Any) -> dict[str, Any]:
    """A pull request, and the event that it makes."""
    return pull_request(place, github.state.pull(branch="feature", **more))


def comments(github: GitHubDouble, number: int = 1) -> list[str]:
    return [one.body for one in github.state.comments.get(number, []) if "bench-action" in one.body]


def test_image__has_every_program_that_a_run_starts(action: Path) -> None:
    """Also git without perl, and without the programs that the Dockerfile leaves out."""
    programs = (
        "docker buildx version && docker compose version && git lfs version && command -v wrk && cd /tmp"
        " && git init -q a && git -C a -c user.name=a -c user.email=a@b commit -q --allow-empty -m one"
        " && git clone -q file:///tmp/a b && git -C a -c protocol.file.allow=always submodule add -q /tmp/b sub"
        " && git -C a submodule status && git -C a archive HEAD >/dev/null"
    )
    command = ["docker", "run", "--rm", "--entrypoint", "sh", IMAGE, "-ec", programs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.alone
def test_workflow__of_the_readme_names_what_a_pull_request_made_slower(
    action: Path, github: GitHubDouble, tmp_path: Path
) -> None:
    place = checkout(tmp_path / "shop", github.state.repository, {FLASK: IN_A_LOOP, STARLETTE: A_LOOP})
    runner = Runner(tmp_path, action, github)
    ran = runner.run(place, "pull_request", open_history(github, place))
    assert ran.status == 1, ran.log
    (text,) = comments(github)
    assert text.startswith(f"{make_marker('bench-action')}\n### 🔴 bench-action: ")
    assert "SELECT price FROM product WHERE id" in text
    flask, starlette = text.split("| **flask · products**")[1].split("| **starlette · products**")
    assert "queries/request | 1 | 51 | +50 | 🔴 regressed" in flask
    cpu = next(line for line in starlette.splitlines() if "application CPU/request" in line)
    assert "🔴 regressed" in cpu, text
    assert f"base {place.base[:7]}" in text
    assert "time: measure" in ran.log
    assert len(text) < 65_536


def test_workflow__that_calls_the_reusable_one_gets_its_outputs(
    action: Path, github: GitHubDouble, tmp_path: Path
) -> None:
    place = checkout(tmp_path / "shop", github.state.repository, {})
    workflows = place.folder / ".github" / "workflows"
    shutil.copy(ROOT / ".github" / "workflows" / "benchmark.yml", workflows / "called.yml")
    (workflows / "benchmark.yml").write_text(CALLER, encoding="utf-8")
    ran = Runner(tmp_path, action, github).run(place, "pull_request", open_history(github, place))
    assert ran.status == 0, ran.log
    assert "the verdict is measured" in ran.log
    assert len(comments(github)) == 1


def test_workflow__of_shards_has_one_comment_with_the_verdict_of_all_and_names_a_missing_one(
    action: Path, github: GitHubDouble, tmp_path: Path
) -> None:
    """Three runners, of which two measure the same pair, and a job that merges; then without the first runner's."""
    changes = {FLASK: IN_A_LOOP}
    place = checkout(tmp_path / "shop", github.state.repository, changes, without=", same: all-variants")
    workflow = place.folder / ".github" / "workflows" / "benchmark.yml"
    text = (ROOT / "examples" / "sharded.yml").read_text(encoding="utf-8")
    workflow.write_text(text.replace("max-minutes: 10", "max-minutes: 0.1"), encoding="utf-8")
    runner, event = Runner(tmp_path, action, github), open_history(github, place)
    ran = runner.run(place, "pull_request", event)
    assert ran.status == 1, ran.log
    (text,) = comments(github)
    assert text.startswith(f"{make_marker('bench-action')}\n### 🔴 bench-action: each request of `flask`"), ran.log
    assert "SELECT price FROM product WHERE id" in text
    assert all(f"[benchmark/measure ({n})-{n}] 🏁  Job succeeded" in ran.log for n in (1, 2, 3)), ran.log
    assert "Shards 1, 2, 3 of 3" in text
    assert "Shard 3 of 3" in text
    assert {path.name for path in runner.artifacts.iterdir()} == {"shard-1", "shard-2", "shard-3", "bench-results"}
    shutil.copytree(runner.artifacts, place.folder / "shards")
    for name in ("shard-1", "bench-results"):
        shutil.rmtree(place.folder / "shards" / name)
    again = ContainerAction(IMAGE, place, github, tmp_path).run("pull_request", event, merge="shards", fail_on="never")
    (text,) = comments(github)
    first = text.splitlines()[1]
    assert "shard 1 of 3 is missing" in first, again.log
    assert again.outputs["verdict"] == "regressed"  # the second runner has measured the same


def kept(github: GitHubDouble) -> list[Record]:
    """The records in the history's one shard."""
    files = github.state.git.files("bench-history")
    (shard,) = [name for name in files if name.startswith("records/")]
    return [parse_line(line) for line in files[shard].splitlines()]


def test_workflow__of_a_schedule_keeps_a_history_of_ratios_to_the_built_in_control(
    action: Path, github: GitHubDouble, tmp_path: Path
) -> None:
    place = checkout(tmp_path / "shop", github.state.repository, {})
    shutil.copy(ROOT / "examples" / "schedule.yml", place.folder / ".github" / "workflows" / "benchmark.yml")
    git(place.folder, "switch", "--quiet", "main")
    event = {"schedule": "17 3 * * *", "repository": {"default_branch": "main", "full_name": github.state.repository}}
    ran = Runner(tmp_path, action, github).run(place, "schedule", event)
    assert ran.status == 0, ran.log
    assert "3 new records, 0 already there" in ran.log
    assert "no new change point" in ran.log
    records = {record.variant: record for record in kept(github)}
    assert records.keys() == {"flask", "starlette", BUILT_IN_VARIANT}
    assert records[BUILT_IN_VARIANT].control == {}
    assert {record.control_id for record in records.values()} == {records["flask"].control_id}
    for name in ("flask", "starlette"):
        assert records[name].control["requests_per_second"][0] > 0
    assert "index.html" in ran.log
    assert github.state.git.files("main").keys() == {"README.md"}


def test_workflow__whose_legs_share_a_key_keeps_a_trend_for_each(
    action: Path, github: GitHubDouble, tmp_path: Path
) -> None:
    place = checkout(tmp_path / "shop", github.state.repository, {})
    (place.folder / ".github" / "workflows" / "benchmark.yml").write_text(LEGS, encoding="utf-8")
    git(place.folder, "switch", "--quiet", "main")
    event = {"ref": "refs/heads/main", "repository": {"default_branch": "main", "full_name": github.state.repository}}
    ran = Runner(tmp_path, action, github).run(place, "push", event)
    assert ran.status == 0, ran.log
    records = kept(github)
    assert [one.config for one in records] == ["bench.yml"] * 2
    assert {one.job.rpartition("/")[2] for one in records} == {"benchmark (3.11)", "benchmark (3.13)"}
    assert len({one.committed_at for one in records}) == 1
    assert records[0].committed_at


def test_workflow__of_our_own_trend_keeps_a_history(action: Path, github: GitHubDouble, tmp_path: Path) -> None:
    place = own_checkout(tmp_path / "own", action, github.state.repository)
    repository = {"default_branch": "main", "full_name": github.state.repository}
    event = {"inputs": {"preset": "quick"}, "ref": "refs/heads/main", "repository": repository}
    ran = Runner(tmp_path, action, github).run(place, "workflow_dispatch", event, workflow="trend.yml")
    assert ran.status == 0, ran.log
    assert "2 new records, 0 already there" in ran.log
    assert "no new change point" in ran.log
    records = kept(github)
    assert {record.variant for record in records} == {*BUILT_IN}
    assert all(record.control for record in records if record.variant != "aiohttp")
    assert "index.html" in ran.log


def test_step__whose_token_may_not_write_has_no_history_and_is_no_failure(
    step: Callable[..., ContainerAction], github: GitHubDouble
) -> None:
    one = step()
    event = {"repository": {"default_branch": "main"}}
    done = one.run("push", event, token="fork-token", **QUICK)
    assert done.status == 0, done.log
    assert any("no history: the token may not write" in command for command in done.commands)
    assert "refs/heads/bench-history" not in github.state.git.refs


@pytest.mark.parametrize("github", [{"prefix": "/api/v3", "enterprise": True}], indirect=True)
def test_step__edits_its_comment_behind_a_hundred_others(
    step: Callable[..., ContainerAction], github: GitHubDouble
) -> None:
    one = step()
    event = open_history(github, one.place)
    for n in range(120):
        github.state.comment(1, f"comment {n}")
    github.state.comments[1][110].body = f"{make_marker('bench-action')}\nof an earlier run"
    github.state.comments[1][110].login, github.state.comments[1][110].type = "github-actions[bot]", "Bot"
    done = one.run("pull_request", event, **QUICK)
    assert done.status == 0, done.log
    (text,) = comments(github)
    assert len(github.state.comments[1]) == 120
    assert "requests/s" in text
    assert done.outputs["verdict"] == "measured"
    assert done.outputs["comment-url"].startswith("http")
    assert json.loads(done.outputs["requests-per-second"])["starlette · products"] > 0
    assert done.summary.startswith("# ")
    assert "of-the-runner" not in done.log
    assert (one.place.folder / done.outputs["result"]).is_file()
    # the image of the action is the load generator's: none is built
    assert "building the load generator" not in done.log


def test_step__with_a_forks_token_is_no_failure(step: Callable[..., ContainerAction], github: GitHubDouble) -> None:
    one = step()
    done = one.run("pull_request", open_history(github, one.place, repo="stranger/shop"), token="fork-token", **QUICK)
    assert done.status == 0, done.log
    assert comments(github) == []
    assert any(command.startswith("::notice") and "read" in command for command in done.commands)
    assert done.outputs["verdict"] == "measured"


def test_step__says_on_the_pull_request_why_it_could_not_measure(
    step: Callable[..., ContainerAction], github: GitHubDouble
) -> None:
    broken = ("app = Starlette(", 'raise SystemExit("::error::no @octocat today")\napp = Starlette(')
    one = step({STARLETTE: broken})
    done = one.run("pull_request", open_history(github, one.place), **QUICK)
    assert done.status == 3, done.log
    (text,) = comments(github)
    assert "### ⚪ bench-action could not measure" in text
    assert "no @octocat today" in text[text.index("```") :]
    assert not any("octocat" in command for command in done.commands if "title=" not in command)


def test_step__that_cannot_publish_keeps_its_result_and_says_so(
    step: Callable[..., ContainerAction], github: GitHubDouble
) -> None:
    one = step()
    event = open_history(github, one.place)
    github.faults.append(Fault("POST", "/comments", Answer(500, {}, {"message": "no"}), times=99))
    done = one.run("pull_request", event, fail_on="never", **QUICK)
    assert done.status == 6, done.log
    assert done.outputs["verdict"] == "measured"
    assert (one.place.folder / "bench-results" / "result.json").is_file()
    assert "in 3 attempts" in done.log


def test_step__of_a_workflow_run_publishes_what_a_fork_measured(
    step: Callable[..., ContainerAction], github: GitHubDouble
) -> None:
    one = step()
    pull = github.state.pull(branch="x|y", repo="stranger/shop")
    run = github.state.run(pull)
    result = make_compared(make_paired(940)).model_dump_json()
    artifact = github.state.artifact(run, "bench-results", {"result.json": result, "../../evil": "x"})
    event = workflow_run(run)
    done = one.run("workflow_run", event, publish="bench-results")
    assert done.status == 0, done.log
    (text,) = comments(github)
    assert "is 6." in text
    assert "so these figures are unverified" in text
    assert (done.outputs["verdict"], done.outputs["result"]) == ("regressed", "")
    for poison in (b"no zip", result.replace('"aiohttp"', "NaN", 1).encode()):
        github.state.artifacts.pop(artifact.id)
        files = poison if poison == b"no zip" else {"result.json": poison}
        artifact = github.state.artifact(run, "bench-results", files)
        assert one.run("workflow_run", event, publish="bench-results").status == 2
        (text,) = comments(github)
        assert "could not use the fork's result" in text  # what the comment said before was of another commit
    github.state.push(pull, {"more.txt": "later"})
    assert "no comment" in one.run("workflow_run", event, publish="other").log or comments(github) == [text]


def workflow_run(run: Any) -> dict[str, Any]:
    """The event, as far as anybody reads it."""
    owner = run.head_repo.partition("/")[0]
    return {
        "workflow_run": {
            "id": run.id,
            "head_sha": run.head_sha,
            "head_branch": run.head_branch,
            "pull_requests": [],
            "head_repository": {"owner": {"login": owner}},
        }
    }


@pytest.mark.parametrize("moment", ["building starlette", "starting subjects", "capacity 1"])
def test_step__that_is_cancelled_cleans_up(
    step: Callable[..., ContainerAction], github: GitHubDouble, footprint: Footprint, moment: str
) -> None:
    one = step()
    container = one.start("pull_request", open_history(github, one.place), **LONG)
    one.wait_for(container, moment)
    one.signal(container, "INT")
    done = one.finish(container)
    assert done.status == 130, done.log
    assert footprint.left() == []
    assert comments(github) == []


@pytest.mark.sweeps
def test_post_step__removes_what_a_killed_step_has_left(
    step: Callable[..., ContainerAction], github: GitHubDouble, footprint: Footprint
) -> None:
    one = step()
    container = one.start("pull_request", open_history(github, one.place), **LONG)
    one.wait_for(container, "capacity 1")
    one.signal(container, "KILL")
    one.finish(container)
    assert footprint.left() != []
    assert "removed what an earlier run left behind" in one.post().log
    assert footprint.left() == []


def test_step__fetches_the_base_of_a_shallow_clone(
    step: Callable[..., ContainerAction], github: GitHubDouble, tmp_path: Path
) -> None:
    one = step({STARLETTE: A_LOOP})
    origin = tmp_path / "home" / "origin.git"  # which the container sees as its home's
    origin.parent.mkdir()
    git(tmp_path, "clone", "--quiet", "--bare", str(one.place.folder), str(origin))
    merge = git(one.place.folder, "rev-parse", "HEAD")
    git(origin, "update-ref", "refs/pull/1/merge", merge)
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    shallow = tmp_path / "shallow"
    git(tmp_path, "init", "--quiet", str(shallow))
    git(shallow, "remote", "add", "origin", f"file://{origin}")
    git(shallow, "fetch", "--quiet", "--depth=1", "origin", "refs/pull/1/merge")
    git(shallow, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    git(shallow, "remote", "set-url", "origin", "/github/home/origin.git")
    # the runner's, while the container is root's: git asks whether to trust a repository on the same machine
    (tmp_path / "home" / ".gitconfig").write_text("[safe]\n\tdirectory = /github/home/origin.git\n", encoding="ascii")
    alone = ContainerAction(IMAGE, Checkout(shallow, one.place.base, one.place.head), github, tmp_path)
    inputs = {"preset": "ci", "variants": "starlette", "max_minutes": "0.1", "fail_on": "never"}
    done = alone.run("pull_request", open_history(github, one.place), **inputs)
    assert done.status == 0, done.log
    assert f"base {one.place.base[:7]}" in comments(github)[0]
