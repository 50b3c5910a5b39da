"""The event: pull requests, comments on them, runs of forks, and malformed payloads."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench_action.github.event import Event, WorkflowRun
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

BASE, HEAD = "b" * 40, "a" * 40
PULL = {
    "number": 7,
    "head": {"sha": HEAD, "ref": "faster", "repo": {"full_name": "stranger/shop"}},
    "base": {"sha": BASE, "ref": "main"},
}


def read(folder: Path, payload: Any, **variables: str) -> Event:
    path = folder / "event.json"
    path.write_text(json.dumps(payload), encoding="utf-8")
    return Event.read({"GITHUB_REPOSITORY": "org/shop", "GITHUB_EVENT_PATH": str(path), **variables})


def test_event__of_a_pull_request_names_it_and_its_commits(tmp_path: Path) -> None:
    event = read(tmp_path, {"number": 7, "pull_request": PULL}, GITHUB_EVENT_NAME="pull_request", GITHUB_RUN_ID="12")
    assert (event.pull, event.head_sha, event.base_sha, event.base_branch) == (7, HEAD, BASE, "main")
    assert event.run_url == "https://github.com/org/shop/actions/runs/12"


def test_event__of_a_comment_names_the_pull_request_it_is_on(tmp_path: Path) -> None:
    assert read(tmp_path, {"issue": {"number": 9, "pull_request": {"url": "…"}}}).pull == 9
    assert read(tmp_path, {"issue": {"number": 9}}).pull is None


def test_event__of_a_merge_group_names_its_commits(tmp_path: Path) -> None:
    group = {"head_sha": HEAD, "base_sha": BASE, "base_ref": "refs/heads/main"}
    event = read(tmp_path, {"merge_group": group}, GITHUB_EVENT_NAME="merge_group", GITHUB_SHA=HEAD, GITHUB_REF="r")
    assert (event.pull, event.head_sha, event.base_sha) == (None, HEAD, BASE)
    assert (event.name, event.sha, event.ref) == ("merge_group", HEAD, "r")


def test_event__of_a_push_is_about_no_pull_request(tmp_path: Path) -> None:
    event = read(tmp_path, {"ref": "refs/heads/main"}, GITHUB_API_URL="https://ghe.example/api/v3")
    assert (event.pull, event.workflow_run, event.api_url) == (None, None, "https://ghe.example/api/v3")


def test_event__of_a_workflow_run_says_whose_commit_ran(tmp_path: Path) -> None:
    run = {"id": 5, "head_sha": HEAD, "head_branch": "x|y", "head_repository": {"owner": {"login": "stranger"}}}
    assert read(tmp_path, {"workflow_run": run}).workflow_run == WorkflowRun(5, HEAD, "x|y", "stranger")
    run["head_repository"] = None  # the fork was deleted since
    assert read(tmp_path, {"workflow_run": run}).workflow_run == WorkflowRun(5, HEAD, "x|y", "")


@pytest.mark.parametrize(
    "payload",
    [
        [],
        "text",
        {"pull_request": []},
        {"pull_request": {"number": "7"}},
        {"pull_request": {"number": True}},
        {"pull_request": {"number": -1, "head": {"sha": "$(id)"}}},
        {"workflow_run": {"id": "5", "head_branch": None}},
        {"issue": "none"},
    ],
)
def test_event__ignores_values_of_the_wrong_type(tmp_path: Path, payload: Any) -> None:
    event = read(tmp_path, payload)
    assert (event.pull, event.head_sha, event.workflow_run) == (None, "", None)


def test_event__outside_a_job_is_an_error() -> None:
    with pytest.raises(InputError, match="not a GitHub Actions job"):
        Event.read({})


def test_event__whose_payload_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="payload"):
        Event.read({"GITHUB_REPOSITORY": "org/shop", "GITHUB_EVENT_PATH": str(tmp_path / "event.json")})
