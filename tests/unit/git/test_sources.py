"""What is read from git about head and base, with real repositories."""

import os
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from tests.git import git as git_in

from bench_action.engine.ownership import Process
from bench_action.git.sources import (
    _name_tree,
    check_out,
    find_commit_time,
    find_former_name,
    name_configuration,
    read_source,
    resolve_revision,
)
from bench_action.model.errors import InputError
from bench_action.model.result import Source

pytestmark = pytest.mark.unit


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """`git` in a new repository with one commit."""

    run = partial(git_in, tmp_path)
    run("init", "--initial-branch", "main")
    (tmp_path / "file").write_text("one", encoding="utf-8")
    run("add", "file")
    run("commit", "--message", "one")
    return run


def test_read_source__reads_commit_and_branch(tmp_path: Path, git: Callable[..., str]) -> None:
    found = read_source(tmp_path, {})
    assert (found.head_sha, found.ref, found.dirty) == (git("rev-parse", "HEAD"), "refs/heads/main", False)
    assert (found.repository, found.event) == ("", "")


def test_read_source__of_a_folder_inside(tmp_path: Path, git: Callable[..., str]) -> None:
    (tmp_path / "inner").mkdir()
    assert read_source(tmp_path / "inner", {}).head_sha == git("rev-parse", "HEAD")


def test_read_source__only_changes_of_tracked_files_make_it_dirty(tmp_path: Path, git: Callable[..., str]) -> None:
    (tmp_path / "new").touch()
    assert not read_source(tmp_path, {}).dirty
    (tmp_path / "file").write_text("two", encoding="utf-8")
    assert read_source(tmp_path, {}).dirty


def test_read_source__github_s_variables_take_precedence(tmp_path: Path, git: Callable[..., str]) -> None:
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


@pytest.fixture
def history(tmp_path: Path, git: Callable[..., str]) -> str:
    """A second commit, in which an inner file has changed and another is left out of archives; the first one's name."""
    first = git("rev-parse", "HEAD")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "app.py").write_text("two", encoding="utf-8")
    (tmp_path / ".gitattributes").write_text("inner/kept export-ignore\n", encoding="utf-8")
    (tmp_path / "inner" / "kept").write_text("kept", encoding="utf-8")
    git("add", "--all")
    git("commit", "--message", "two")
    return first


def test_resolve_revision__a_branch_a_relative_name_and_a_commit(
    tmp_path: Path, git: Callable[..., str], history: str
) -> None:
    assert resolve_revision(tmp_path, "main") == git("rev-parse", "HEAD")
    assert resolve_revision(tmp_path / "inner", "HEAD~1") == history
    assert resolve_revision(tmp_path, history[:10]) == history


@pytest.mark.parametrize("revision", ["no-such-branch", "HEAD~99", "--upload-pack=x"])
def test_resolve_revision__an_unknown_one_is_an_error(tmp_path: Path, history: str, revision: str) -> None:
    with pytest.raises(InputError):
        resolve_revision(tmp_path, revision)


def test_resolve_revision__outside_of_a_repository_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a git repository") as caught:
        resolve_revision(tmp_path, "main")
    assert "under git" in caught.value.advice


def test_resolve__a_shallow_clone_fetches_what_it_lacks(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, git: Callable[..., str], history: str
) -> None:
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    git("branch", "old", history)
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", "--single-branch", f"file://{tmp_path}", str(clone)], check=True
    )
    assert resolve_revision(clone, "origin/old") == history
    again = tmp_path_factory.mktemp("clone") / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{tmp_path}", str(again)], check=True)
    assert resolve_revision(again, history) == history
    with pytest.raises(InputError, match="no such commit") as caught:
        resolve_revision(again, "elsewhere")
    assert "shallow" in caught.value.advice


def test_check_out__yields_the_counterpart_of_a_folder_and_leaves_nothing(
    tmp_path: Path, git: Callable[..., str], history: str
) -> None:
    (tmp_path / "inner" / "app.py").write_text("three, not committed", encoding="utf-8")
    with check_out(tmp_path / "inner", git("rev-parse", "HEAD")) as folder:
        assert (folder / "app.py").read_text(encoding="utf-8") == "two"
        assert (folder / "kept").is_file()  # an archive would lack it
        assert not (folder.parent / ".git").exists()
    assert not folder.exists()
    assert git("status", "--porcelain") == "M inner/app.py"
    assert git("worktree", "list").count("\n") == 0
    with check_out(tmp_path, history) as older:
        assert [path.name for path in older.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["r", "shop", "a-repository-with-a-rather-long-name", "long" * 40])
def test_check_out__has_a_path_as_long_as_that_of_head(tmp_path: Path, history: str, name: str) -> None:
    """Where a process has its memory depends on the paths that it keeps."""
    top = (tmp_path / ".git").parent.rename(tmp_path.with_name(name))
    with check_out(top / "inner", history) as folder:
        assert len(str(folder)) == len(str(top / "inner"))


def test_check_out__of_a_repository_with_a_very_short_path_is_hardly_longer() -> None:
    scratch = Path("/tmp/base-12345678")  # noqa: S108 (nothing is written there)
    assert _name_tree(scratch, Path("/app")) == "t"
    assert _name_tree(scratch, Path("/home/runner/work/a/a")) == "tr"
    assert len(_name_tree(scratch, Path("/" + 400 * "x"))) == 255


def test_check_out__removes_what_a_killed_run_left_behind(
    tmp_path: Path, git: Callable[..., str], history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    machine, namespace, *_ = str(Process.from_pid(os.getpid())).split("/")
    for name, owner in (("gone", f"{machine}/{namespace}/4194305/1"), ("mine", str(Process.from_pid(os.getpid())))):
        (place / f"base-{name}").mkdir()
        (place / f"base-{name}" / "owner").write_text(owner, encoding="ascii")
    with check_out(tmp_path, history):
        left = {folder.name for folder in place.iterdir()}
    assert "base-mine" in left
    assert "base-gone" not in left


def test_find_former_name__follows_a_file_that_was_moved_and_changed(tmp_path: Path, git: Callable[..., str]) -> None:
    text = "".join(f"line {number}\n" for number in range(20))
    (tmp_path / "bench.yml").write_text(text, encoding="utf-8")
    git("add", "bench.yml")
    git("commit", "--message", "two")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    git("mv", "bench.yml", "deep/er/other.yml")
    (tmp_path / "deep" / "er" / "other.yml").write_text(text + "one more\n", encoding="utf-8")
    assert find_former_name(tmp_path / "deep" / "er", "other.yml", commit) == "../../bench.yml"
    assert find_former_name(tmp_path, "file", commit) == ""
    git("mv", "deep/er/other.yml", "other.yml")
    assert find_former_name(tmp_path, "other.yml", commit) == "bench.yml"


def test_find_former_name__does_not_follow_a_copy(tmp_path: Path, git: Callable[..., str]) -> None:
    (tmp_path / "copy").write_text("one", encoding="utf-8")
    git("add", "copy")
    assert find_former_name(tmp_path, "copy", git("rev-parse", "HEAD")) == ""


def commit_at(git: Callable[..., str], seconds: int) -> None:
    tree = git("rev-parse", "HEAD^{tree}")
    environ = {**os.environ, "GIT_COMMITTER_DATE": f"@{seconds} +0000"}
    command = [
        "git",
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@example.org",
        "commit-tree",
        tree,
        "-p",
        "HEAD",
        "-m",
        "x",
    ]
    top = git("rev-parse", "--show-toplevel")
    done = subprocess.run(command, cwd=top, env=environ, capture_output=True, text=True, check=True)
    git("update-ref", "HEAD", done.stdout.strip())


def test_read_source__reads_when_head_was_committed(tmp_path: Path, git: Callable[..., str]) -> None:
    at = int(git("log", "-1", "--format=%ct"))
    for seconds in (at - 1000, int(time.time()) + 10**6):  # of committers whose clocks were wrong
        commit_at(git, seconds)
        assert datetime.fromisoformat(read_source(tmp_path, {}).committed_at).timestamp() == at
    git("switch", "--create", "feature")
    commit_at(git, at - 500)
    git("switch", "main")
    git("merge", "--no-ff", "--message", "merge", "feature")
    merged = int(git("log", "-1", "--format=%ct"))
    assert datetime.fromisoformat(read_source(tmp_path, {}).committed_at).timestamp() == merged >= at


def test_read_source__in_a_shallow_clone_reads_the_date_of_its_commit(tmp_path: Path, git: Callable[..., str]) -> None:
    git("commit", "--allow-empty", "--message", "two")
    git("clone", "--depth=1", f"file://{tmp_path}", "shallow")
    assert read_source(tmp_path / "shallow", {}).committed_at == read_source(tmp_path, {}).committed_at


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ("1000", "1970-01-01T00:16:40Z"),
        ("1000\n3000\n2000", "1970-01-01T00:50:00Z"),  # a committer's clock was behind: no commit precedes its parents
        ("99999999999\n3000", "1970-01-01T00:50:00Z"),  # ahead: not from the future
        ("99999999999999999999", ""),
        ("-5", ""),
        ("0", ""),
        ("", ""),
        ("fatal: bad", ""),
    ],
)
def test_find_commit_time__is_after_the_parents_and_not_in_the_future(dates: str, expected: str) -> None:
    assert find_commit_time(dates, 5000.0) == expected


def test_name_configuration__is_the_path_from_the_top_of_the_repository(
    tmp_path: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "services" / "a"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert name_configuration(inner, "bench.yml") == "services/a/bench.yml"
    assert name_configuration(tmp_path, "bench.yml") == "bench.yml"
    assert name_configuration(tmp_path / "elsewhere", "b.yml") == "elsewhere/b.yml"


def test_name_configuration__differs_between_repositories_of_one_workspace(tmp_path: Path) -> None:
    names = set()
    for name in ("shop", "blog"):
        (tmp_path / name).mkdir()
        git_in(tmp_path / name, "init", "--quiet")
        names.add(name_configuration(tmp_path / name, "bench.yml", str(tmp_path)))
    assert names == {"shop/bench.yml", "blog/bench.yml"}
    assert name_configuration(tmp_path / "shop", "bench.yml", str(tmp_path / "elsewhere")) == "bench.yml"


def test_name_configuration__outside_of_a_repository_shows_no_path_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_configuration(tmp_path / "a", "bench.yml") == "a/bench.yml"
    monkeypatch.chdir("/")
    monkeypatch.setattr(Path, "cwd", lambda: Path("/nowhere"))
    assert name_configuration(tmp_path / "a", "bench.yml") == "a/bench.yml"
