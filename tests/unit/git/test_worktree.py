"""Nothing that a pull request can commit makes git start a program or use another repository."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.git import git

from bench_action.config.paths import find_top
from bench_action.git.sources import check_out, find_former_name, read_head_and_parents, read_source, resolve_revision
from bench_action.git.worktree import WorkTree, find_git_dir
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that hostile programs create; it must not exist in the end."""
    path = tmp_path / "started"
    yield path
    assert not path.exists(), "a program of the checkout was started"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with one commit, and a folder in it."""
    folder = tmp_path / "shop"
    (folder / "apps").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "apps" / "app.py").write_text("one", encoding="utf-8")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "more")
    return git(folder, "rev-parse", "HEAD")


def use_everything(folder: Path, revision: str = "HEAD") -> str:
    """Do everything that the tool does with git in a checkout, and return the head that it read."""
    source = read_source(folder, {})
    read_head_and_parents(folder)
    with suppress(InputError), check_out(folder, resolve_revision(folder, revision)):
        pass
    return source.head_sha


def look_bare(folder: Path, marker: Path) -> None:
    """Make a folder of the tree look like a bare repository whose settings start programs."""
    for name in ("objects", "refs", "wt"):
        (folder / name).mkdir()
        (folder / name / ".keep").touch()
    (folder / "HEAD").write_text("ref: refs/heads/main\n", encoding="ascii")
    start = f"touch {marker}; false"
    (folder / "config").write_text(
        f'[core]\n\tbare = false\n\tworktree = wt\n\tfsmonitor = "{start}"\n\tsshCommand = "{start}"\n'
        f'\tpager = "{start}"\n[remote "origin"]\n\turl = ssh://host/repo\n',
        encoding="utf-8",
    )


@pytest.mark.parametrize("revision", ["HEAD", "main", "elsewhere"])
def test_a_folder_that_looks_like_a_bare_repository_is_only_a_folder(
    shop: Path, marker: Path, tmp_path: Path, revision: str
) -> None:
    look_bare(shop / "apps", marker)
    head = commit(shop)
    assert use_everything(shop / "apps", revision) == head
    look_bare(tmp_path, marker)  # in no repository at all
    assert use_everything(tmp_path, revision) == ""


@pytest.mark.parametrize("setting", ["smudge", "clean", "process"])
def test_filters_that_the_tree_names_do_not_run(shop: Path, marker: Path, setting: str) -> None:
    """The machine's own settings may define a filter, but the tree must not run it."""
    (shop / ".gitattributes").write_text("* filter=a.b=c -text\n", encoding="ascii")
    head = commit(shop)
    for name, value in ((setting, f"touch {marker}; cat"), ("required", "true")):
        subprocess.run(["git", "config", f"filter.a.b=c.{name}", value], cwd=shop, check=True)
    (shop / "apps" / "app.py").write_text("two", encoding="utf-8")  # git must read it again
    assert read_source(shop, {}).dirty
    with check_out(shop / "apps", head) as folder:
        assert (folder / "app.py").read_text(encoding="utf-8") == "one"


def test_hooks_and_monitors_do_not_run(shop: Path, marker: Path) -> None:
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc"):
        path = shop / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {marker}\n", encoding="ascii")
        path.chmod(0o755)
    git(shop, "config", "core.fsmonitor", f"touch {marker}; false")
    assert use_everything(shop / "apps", "main") == git(shop, "rev-parse", "HEAD")


def test_programs_that_show_differences_do_not_run(shop: Path, marker: Path) -> None:
    """The search for a configuration's former name compares files."""
    (shop / ".gitattributes").write_text("*.py diff=shown\n", encoding="ascii")
    base = commit(shop)
    for setting in ("diff.external", "diff.shown.command", "diff.shown.textconv"):
        git(shop, "config", setting, f"touch {marker}; true")
    (shop / "apps" / "app.py").rename(shop / "apps" / "renamed.py")
    git(shop, "add", "--all")
    assert find_former_name(shop / "apps", "renamed.py", base) == "app.py"


@pytest.mark.parametrize("revision", ["origin/--upload-pack=touch {marker};", "--upload-pack=touch {marker};", "-h"])
def test_a_revision_is_not_an_option(shop: Path, marker: Path, tmp_path: Path, revision: str) -> None:
    git(tmp_path, "clone", "--quiet", str(shop), str(tmp_path / "clone"))
    with pytest.raises(InputError, match="is not a revision"):
        resolve_revision(tmp_path / "clone", revision.format(marker=marker))


@pytest.mark.parametrize("revision", ["main:refs/heads/stolen", "+main:main", "HEAD~99", "a..b", "v1^{}", "x y", ""])
def test_a_revision_writes_no_branch(shop: Path, tmp_path: Path, revision: str) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(shop), str(clone))
    with pytest.raises(InputError):
        resolve_revision(clone, revision)
    assert git(clone, "for-each-ref", "refs/heads").count("\n") == 0


def test_a_remote_that_is_a_command_is_not_started(shop: Path, marker: Path) -> None:
    git(shop, "remote", "add", "origin", f"ext::sh -c 'touch% {marker}'")
    git(shop, "config", "protocol.ext.allow", "always")
    with pytest.raises(InputError, match="no such commit"):
        resolve_revision(shop, "elsewhere")


@pytest.fixture(params=["worktree", "submodule"])
def other(request: pytest.FixtureRequest, shop: Path, tmp_path: Path) -> Path:
    """A folder whose `.git` is a file."""
    if request.param == "worktree":
        git(shop, "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
        return tmp_path / "other"
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(shop), "other")
    return outer / "other"


def test_worktrees_and_submodules_are_work_trees(other: Path, shop: Path) -> None:
    assert find_top(other / "apps") == other
    assert read_source(other / "apps", {}).head_sha == git(shop, "rev-parse", "HEAD")
    with check_out(other / "apps", resolve_revision(other, "HEAD")) as folder:
        assert (folder / "app.py").read_text(encoding="utf-8") == "one"


def test_folder_in_two_repositories_belongs_to_the_inner_one(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is inside the other, and git's variables, as in a hook, name the wrong one."""
    inner = shop / "apps" / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    (inner / "file").touch()
    head = commit(inner)
    monkeypatch.setenv("GIT_DIR", str(shop / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(shop))
    assert read_source(inner, {}).head_sha == head
    monkeypatch.setenv("GIT_DIR", str(inner / ".git"))
    assert read_source(shop / "apps", {}).head_sha not in {"", head}


def test_repository_that_a_user_names(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    assert find_git_dir(bare) == bare
    assert find_git_dir(shop) == find_git_dir(shop / "apps") == shop / ".git"
    monkeypatch.chdir(shop)
    assert find_git_dir(Path("apps")) == shop / ".git"
    assert find_git_dir(tmp_path) == tmp_path


def test_git_that_is_not_installed_is_an_error_only_if_it_is_needed(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tree = WorkTree.find(shop)
    assert tree is not None
    assert tree.ask("rev-parse", "HEAD") == ""
    with pytest.raises(InputError, match="could not run git"):
        tree.run("status")


def test_settings_of_the_environment_are_kept(shop: Path) -> None:
    """The token is one of them."""
    git(shop, "config", "filter.x.smudge", "cat")
    environ = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "a.b",
        "GIT_CONFIG_VALUE_0": "kept",
        "PATH": "/usr/bin:/bin",
    }
    tree = WorkTree.find(shop, environ)
    assert tree is not None
    assert tree.ask("config", "a.b") == "kept"
    assert tree.ask("config", "filter.x.smudge") == ""
