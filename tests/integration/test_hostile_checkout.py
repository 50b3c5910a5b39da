"""The command line on a stranger's checkout: no program of it is started, and no file outside of it is read.

No engine is needed: sources, files and the event are checked first.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.git import git
from tests.runner import RunnerLog

pytestmark = pytest.mark.integration

CONFIG = """\
services: {services}
{seed}
variants: {{app: {{build: {{context: {context}, dockerfile: {dockerfile}}}, ready: {{path: /}}}}}}
profiles: {{p: {{connections: 1, threads: 1, duration: 1s}}}}
"""
SECRET = "ghp_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"


def configure(folder: Path, *, seed: str = "", context: str = ".", dockerfile: str = "Dockerfile") -> None:
    services = '{postgres: {image: "postgres:17"}}' if seed else "{}"
    text = CONFIG.format(services=services, seed=seed and f"seed: {seed}", context=context, dockerfile=dockerfile)
    (folder / "bench.yml").write_text(text, encoding="utf-8")
    (folder / "Dockerfile").write_text("FROM scratch\n", encoding="ascii")


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "more")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "apps").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    configure(folder / "apps")
    commit(folder)
    return folder


def bench(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command without an engine, which takes less than ten seconds."""
    no_engine = {"DOCKER_HOST": "unix:///nonexistent"}
    return subprocess.run(
        [sys.executable, "-m", "bench_action", *arguments],
        cwd=folder,
        env={**os.environ, **no_engine, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def step(
    folder: Path, event: str, payload: Any, *, environ: Mapping[str, str] = {}, **inputs: str
) -> "subprocess.CompletedProcess[str]":
    """Run a step of a workflow in the workspace `folder`."""
    path = folder.parent / "event.json"
    path.write_text(json.dumps(payload), encoding="utf-8")
    given = {f"INPUT_{name.upper().replace('_', '-')}": value for name, value in inputs.items()}
    return bench(
        folder,
        "action",
        GITHUB_REPOSITORY="org/shop",
        GITHUB_RUN_ID="1",
        GITHUB_EVENT_NAME=event,
        GITHUB_EVENT_PATH=str(path),
        GITHUB_WORKSPACE=str(folder),
        INPUT_COMMENT="never",
        **given,
        **environ,
    )


def test_folder_that_looks_like_a_bare_repository_starts_nothing(shop: Path, tmp_path: Path) -> None:
    marker, apps = tmp_path / "started", shop / "apps"
    for name in ("objects", "refs", "wt"):
        (apps / name).mkdir()
        (apps / name / ".keep").touch()
    (apps / "HEAD").write_text("ref: refs/heads/main\n", encoding="ascii")
    (apps / "config").write_text(
        f'[core]\n\tbare = false\n\tworktree = wt\n\tfsmonitor = "touch {marker}; false"\n', encoding="ascii"
    )
    commit(shop)
    for done in (
        bench(shop, "run", "apps/bench.yml", "--engine", "docker"),
        bench(shop, "run", "apps/bench.yml", "--engine", "docker", "--baseline", "HEAD"),
        bench(apps, "run", "--engine", "docker", "--baseline", "main"),
        step(shop, "push", {"repository": {"default_branch": "main"}}, config="apps/bench.yml"),
    ):
        assert done.returncode == 3, done.stderr + done.stdout
        assert not marker.exists()


@pytest.mark.parametrize(
    "path", ["../../secret", "{secret}", "link", "/proc/self/environ", "/dev/zero", "pipe", "huge"]
)
def test_seed_that_is_not_a_file_of_the_repository_is_not_read(shop: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text(SECRET, encoding="ascii")
    (shop / "apps" / "link").symlink_to("../../secret")
    os.mkfifo(shop / "apps" / "pipe")
    with (shop / "apps" / "huge").open("wb") as file:
        file.truncate(2**33)
    configure(shop / "apps", seed=path.format(secret=tmp_path / "secret"))
    for done in (bench(shop, "run", "apps/bench.yml"), bench(shop, "check", "apps/bench.yml")):
        assert done.returncode == 2, done.stderr
        assert "names files that it may not use: seed" in done.stderr
        assert "ghp_" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("context", "dockerfile"), [("../..", "Dockerfile"), ("/", "etc/passwd"), (".", "/etc/passwd")]
)
def test_build_of_files_elsewhere_is_refused(shop: Path, context: str, dockerfile: str) -> None:
    configure(shop / "apps", context=context, dockerfile=dockerfile)
    done = bench(shop, "run", "apps/bench.yml")
    assert done.returncode == 2, done.stderr
    assert "is outside of" in done.stderr


def test_configuration_that_is_a_link_reveals_nothing_of_its_target(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"machine github.com login x password {SECRET}", encoding="ascii")
    (shop / "apps" / "bench.yml").unlink()
    (shop / "apps" / "bench.yml").symlink_to("../../netrc")
    done = bench(shop, "run", "apps/bench.yml")
    assert done.returncode == 2, done.stderr
    assert "machine" not in done.stderr
    assert "is outside of" in done.stderr


@pytest.mark.parametrize("name", ["pull_request", "issue_comment", "pull_request_target"])
def test_step_whose_head_is_not_the_pull_request_builds_nothing(shop: Path, name: str) -> None:
    base = git(shop, "rev-parse", "HEAD")
    pull = {"number": 5, "head": {"sha": "a" * 40}, "base": {"sha": base}}
    done = step(shop, name, {"number": 5, "pull_request": pull}, config="apps/bench.yml")
    assert done.returncode == 2, done.stdout
    assert "HEAD is not pull request #5" in done.stdout
    assert "building" not in done.stdout
    assert not (shop / "bench-results").exists()


def test_step_of_a_merge_queue_compares_with_its_base(shop: Path) -> None:
    base = git(shop, "rev-parse", "HEAD")
    head = commit_again(shop)
    group = {"merge_group": {"head_sha": head, "base_sha": base}}
    done = step(shop, "merge_group", group, config="apps/bench.yml")
    assert f"merge group at {head[:7]}: compared with its base {base[:7]}" in done.stdout
    assert done.returncode == 3, done.stdout  # no engine


def commit_again(folder: Path) -> str:
    (folder / "more").touch()
    return commit(folder)


def test_step_obeys_no_command_of_the_pull_request(shop: Path) -> None:
    """The error repeats a value of the configuration."""
    text = "variants:\n  app: {image: 'x', port: '\\n::set-output name=verdict::unchanged\\n##[add-mask]e'}\n"
    (shop / "apps" / "bench.yml").write_text(text.replace("'\\n", '"\\n').replace("e'}", 'e"}'), encoding="utf-8")
    done = step(shop, "push", {}, config="apps/bench.yml")
    assert done.returncode == 2
    assert "set-output" in done.stdout
    log = RunnerLog().read(done.stdout).read(done.stderr)
    assert [line for line in log.obeyed if not line.startswith("::error title=bench-action::")] == []
    assert done.stderr == ""


SECRETS = """\
services: {{}}
secrets: [{name}]
variants: {{app: {{build: ., env: {{KEY: "${{{name}}}"}}}}}}
profiles: {{p: {{connections: 1, threads: 1, duration: 1s}}}}
"""


@pytest.mark.parametrize(
    "name", ["ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN", "INPUT_GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY"]
)
def test_secret_of_the_runner_is_refused_even_if_the_workflow_allows_it(shop: Path, name: str) -> None:
    (shop / "apps" / "bench.yml").write_text(SECRETS.format(name=name), encoding="utf-8")
    variables = {name: SECRET}
    for done in (
        bench(shop, "run", "apps/bench.yml", **variables),
        bench(shop, "check", "apps/bench.yml", "--secrets", name, **variables),
        step(shop, "push", {}, config="apps/bench.yml", environ=variables),
        step(shop, "push", {}, config="apps/bench.yml", secrets=name, environ=variables),
        step(shop, "push", {}, config="apps/bench.yml", secrets=f"{name}={SECRET}", environ=variables),
    ):
        assert done.returncode == 2, done.stderr + done.stdout
        assert f"no configuration may read {name}" in done.stderr + done.stdout
        assert SECRET not in done.stderr + done.stdout


def test_secret_reaches_a_run_only_if_the_workflow_allows_it(shop: Path) -> None:
    (shop / "apps" / "bench.yml").write_text(SECRETS.format(name="STRIPE_KEY"), encoding="utf-8")
    variables = {"STRIPE_KEY": SECRET}
    for done in (
        bench(shop, "run", "apps/bench.yml", **variables),
        bench(shop, "check", "apps/bench.yml", "--secrets", "OTHER", **variables),
        step(shop, "push", {}, config="apps/bench.yml", environ=variables),
        step(shop, "push", {}, config="apps/bench.yml", secrets="OTHER", environ=variables),
    ):
        assert done.returncode == 2, done.stderr + done.stdout
        assert "asks for secrets that are not allowed: STRIPE_KEY" in done.stderr + done.stdout
    for done in (
        bench(shop, "run", "apps/bench.yml", "--secrets", "OTHER,STRIPE_KEY", "--engine", "docker", **variables),
        step(shop, "push", {}, config="apps/bench.yml", secrets="OTHER, STRIPE_KEY", environ=variables),
        step(shop, "push", {}, config="apps/bench.yml", secrets=f"STRIPE_KEY={SECRET}"),
    ):
        assert done.returncode == 3, done.stderr + done.stdout  # no engine


def test_step_masks_allowed_secrets_in_every_form_before_it_prints_anything(shop: Path) -> None:
    value = 'p@ss "word"'
    (shop / "apps" / "bench.yml").write_text(SECRETS.format(name="KEY"), encoding="utf-8")
    logins = "ghcr.io user hunter2-hunter2"
    done = step(shop, "push", {}, config="apps/bench.yml", secrets="KEY", registries=logins, environ={"KEY": value})
    obeyed = RunnerLog().read(done.stdout).obeyed
    masked = {line.removeprefix("::add-mask::").replace("%25", "%") for line in obeyed}
    forms = {value, base64.b64encode(value.encode()).decode("ascii"), quote(value, safe=""), json.dumps(value)[1:-1]}
    assert forms | {"hunter2-hunter2"} <= masked
    others = [line for line in done.stdout.splitlines() if "::" not in line]
    assert not [line for line in others if "p@ss" in line or "hunter2" in line]


@pytest.mark.parametrize(
    ("name", "value"),
    [("LD_PRELOAD", "evil.so"), ("PYTHONPATH", "evil"), ("DOCKER_CONFIG", "evil"), ("BASH_ENV", "evil/start")],
)
def test_configuration_starts_nothing_by_the_variables_of_compose(
    shop: Path, tmp_path: Path, name: str, value: str
) -> None:
    marker, evil = tmp_path / "started", shop / "apps" / "evil"
    (evil / "cli-plugins").mkdir(parents=True)
    start = f"#!/bin/sh\ntouch {marker}\n"
    for path in (evil / "start", evil / "cli-plugins" / "docker-compose"):
        path.write_text(start, encoding="ascii")
        path.chmod(0o755)
    (evil / "sitecustomize.py").write_text(f"open({str(marker)!r}, 'w')\n", encoding="ascii")
    (shop / "apps" / "compose.yaml").write_text("services: {web: {build: ., ports: ['80:80']}}\n", encoding="ascii")
    text = f"compose: {{env: {{{name}: {shop / 'apps' / value}}}}}\n"
    (shop / "apps" / "bench.yml").write_text(text, encoding="utf-8")
    done = bench(shop, "run", "apps/bench.yml")
    assert not marker.exists()
    assert done.returncode == 2, done.stderr
    assert f"no configuration may set {name}" in done.stderr


@pytest.mark.parametrize("bomb", [False, True])
def test_configuration_that_is_a_bomb_is_refused(shop: Path, bomb: bool) -> None:
    text = "variants: {app: {image: x}}\nx-a0: &a0 {x: 1}\n"
    levels = range(1, 9 if bomb else 3)
    text += "".join(f"x-a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in levels)
    (shop / "apps" / "bench.yml").write_text(text, encoding="utf-8")
    done = bench(shop, "run", "apps/bench.yml", "--engine", "docker")
    assert done.returncode == (2 if bomb else 3), done.stderr
    assert ("apps/bench.yml:" in done.stderr and "more values than" in done.stderr) is bomb


def test_error_reaches_no_terminal_as_commands(shop: Path) -> None:
    text = 'variants: {app: {image: x, port: "\\e]52;c;ZXZpbA==\\a\\e[2J\\u202e"}}\n'
    (shop / "apps" / "bench.yml").write_text(text, encoding="utf-8")
    done = bench(shop, "run", "apps/bench.yml")
    assert done.returncode == 2, done.stderr
    assert {"\x1b", "\x07", "\u202e"}.isdisjoint(done.stderr)
