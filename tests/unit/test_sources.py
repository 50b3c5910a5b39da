"""What is measured, told by a real git repository."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_action.model.result import Source
from bench_action.sources import read_source

pytestmark = pytest.mark.unit


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """`git` in a new repository with one commit."""

    def run(*arguments: str) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", *who, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    run("init", "--initial-branch", "main")
    (tmp_path / "file").write_text("one", encoding="utf-8")
    run("add", "file")
    run("commit", "--message", "one")
    return run


def test_read_source__tells_commit_and_branch(tmp_path: Path, git: Callable[..., str]) -> None:
    found = read_source(tmp_path, {})
    assert (found.head_sha, found.ref, found.dirty) == (git("rev-parse", "HEAD"), "refs/heads/main", False)
    assert (found.repository, found.event) == ("", "")


def test_read_source__of_a_folder_inside(tmp_path: Path, git: Callable[..., str]) -> None:
    (tmp_path / "inner").mkdir()
    assert read_source(tmp_path / "inner", {}).head_sha == git("rev-parse", "HEAD")


def test_read_source__only_changes_of_what_git_knows_make_it_dirty(tmp_path: Path, git: Callable[..., str]) -> None:
    (tmp_path / "new").touch()
    assert not read_source(tmp_path, {}).dirty
    (tmp_path / "file").write_text("two", encoding="utf-8")
    assert read_source(tmp_path, {}).dirty


def test_read_source__github_knows_better(tmp_path: Path, git: Callable[..., str]) -> None:
    git("remote", "add", "origin", "https://example.org/a/b.git")
    environ = {
        "GITHUB_REPOSITORY": "owner/repo",
        "GITHUB_REF": "refs/pull/1/merge",
        "GITHUB_EVENT_NAME": "pull_request",
    }
    found = read_source(tmp_path, environ)
    assert (found.repository, found.ref, found.event) == ("owner/repo", "refs/pull/1/merge", "pull_request")


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://github.com/owner/repo", "owner/repo"),
        ("https://github.com/owner/repo.git", "owner/repo"),
        ("https://github.com/owner/repo.name/", "owner/repo.name"),
        ("git@github.com:owner/repo.git", "owner/repo"),
        ("ssh://git@github.com:22/owner/repo.git", "owner/repo"),
        ("https://user:token@github.com/owner/repo.git", "owner/repo"),
        ("https://token@example.org/repo.git", ""),
        ("repo.git", ""),
    ],
)
def test_read_source__repository_from_the_remote(
    tmp_path: Path, git: Callable[..., str], url: str, repository: str
) -> None:
    git("remote", "add", "origin", url)
    assert read_source(tmp_path, {}).repository == repository


def test_read_source__a_detached_head_is_on_no_branch(tmp_path: Path, git: Callable[..., str]) -> None:
    git("checkout", "--detach")
    found = read_source(tmp_path, {})
    assert (found.ref, found.head_sha) == ("", git("rev-parse", "HEAD"))


def test_read_source__outside_git_is_empty(tmp_path: Path) -> None:
    assert read_source(tmp_path, {}) == Source()


def test_read_source__without_git_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_source(tmp_path, {}) == Source()
