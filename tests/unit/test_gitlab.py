"""The GitLab example: GitLab accepts it, and its script posts one note that later pipelines edit."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from check_jsonschema import main as check_jsonschema  # type: ignore[import-untyped]
from click.testing import CliRunner

pytestmark = pytest.mark.unit

_EXAMPLE = Path(__file__).parents[2] / "examples/gitlab/.gitlab-ci.yml"
# record each request, and reply to the search for the note with what GitLab would
_CURL = """#!/bin/bash
printf '%s\\n' "$*" >>curl.log
[[ $* == *per_page* ]] && cat notes.json
exit 0
"""
_TOOL = """#!/bin/bash
printf '%s\\n' "$*" >>tool.log
mkdir -p bench-results
case $1 in
  run) echo '{}' >bench-results/result.json; printf '%s' 'slower, "quoted" \\ and $HOME' >bench-results/report.md
    exit 1 ;;
  report) echo '<testsuites/>' >"${!#}" ;;
esac
"""


def run_script(folder: Path, notes: list[dict[str, object]], *, token: str = "secret") -> int:
    for name, text in (("curl", _CURL), ("bench-action", _TOOL)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    (folder / "notes.json").write_text(json.dumps(notes), encoding="utf-8")
    (script,) = yaml.safe_load(_EXAMPLE.read_text(encoding="utf-8"))["benchmark"]["script"]
    environ = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "BENCH_TOKEN": token,
        "CI_API_V4_URL": "https://gitlab.test/api/v4",
        "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "3",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": "abc123",
    }
    # GitLab runs scripts like this
    command = ["bash", "-c", f"set -eo pipefail\n{script}"]
    return subprocess.run(command, cwd=folder, env=environ, check=False).returncode


def test_gitlab_example__is_what_gitlab_accepts() -> None:
    found = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.gitlab-ci", str(_EXAMPLE)])
    assert found.exit_code == 0, found.output


def test_gitlab_example__posts_the_report_and_keeps_the_status(tmp_path: Path) -> None:
    assert run_script(tmp_path, [{"id": 1, "body": "a remark of a person"}]) == 1
    assert "run --preset ci --baseline abc123" in (tmp_path / "tool.log").read_text(encoding="utf-8")
    assert (tmp_path / "bench-results/junit.xml").is_file()
    _, post = (tmp_path / "curl.log").read_text(encoding="utf-8").splitlines()
    assert "--request POST" in post
    assert post.endswith("https://gitlab.test/api/v4/projects/7/merge_requests/3/notes")
    body = json.loads((tmp_path / "note.json").read_text(encoding="utf-8"))["body"]
    assert body == '<!-- bench-action -->\nslower, "quoted" \\ and $HOME'


def test_gitlab_example__edits_its_own_note(tmp_path: Path) -> None:
    notes: list[dict[str, object]] = [{"id": 1, "body": "a remark"}, {"id": 42, "body": "<!-- bench-action -->\nold"}]
    assert run_script(tmp_path, notes) == 1
    _, put = (tmp_path / "curl.log").read_text(encoding="utf-8").splitlines()
    assert "--request PUT" in put
    assert put.endswith("/notes/42")


def test_gitlab_example__without_a_token_posts_nothing(tmp_path: Path) -> None:
    assert run_script(tmp_path, [], token="") == 1
    assert not (tmp_path / "curl.log").exists()
