"""Base's tree is complete: with sparse, partial and shallow clones, submodules and LFS."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.git import git

from bench_action.git.missing import explain_missing
from bench_action.git.sources import check_out, read_source, resolve_revision
from bench_action.git.worktree import WorkTree
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "more")
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "config", "uploadpack.allowFilter", "true")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    write(folder, **files)
    commit(folder)
    return folder


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def read_files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Two commits: the second one changes `app/main` and removes `data`."""
    shop = repository(tmp_path / "shop", app__main="one", data__rows="rows", other__file="other")
    git(shop, "rm", "--quiet", "-r", "data")
    write(shop, app__main="two")
    commit(shop)
    return shop


BASE = {"app/main": "one", "data/rows": "rows", "other/file": "other"}


def test_sparse_clone_has_the_whole_base(shop: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--sparse", str(shop), str(clone))
    git(clone, "sparse-checkout", "set", "app")
    assert not (clone / "other").exists()
    with check_out(clone, resolve_revision(clone, "HEAD~1")) as base:
        assert read_files(base) == BASE
    with check_out(clone / "app", resolve_revision(clone, "HEAD~1")) as base:
        assert read_files(base) == {"main": "one"}
    assert git(clone, "status", "--porcelain") == ""
    assert not (clone / "other").exists()


GUARD = '#!/bin/sh\ntest "$TOKEN" = right || exit 1\nexec git-upload-pack "$@"\n'


@pytest.fixture
def partial(shop: Path, tmp_path: Path) -> Path:
    """A clone without the contents of old files, whose origin requires a token."""
    clone, guard = tmp_path / "clone", tmp_path / "guard"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", f"file://{shop}", str(clone))
    guard.write_text(GUARD, encoding="ascii")
    guard.chmod(0o755)
    git(clone, "config", "remote.origin.uploadpack", str(guard))
    return clone


def test_partial_clone_fetches_what_it_lacks_with_the_token(partial: Path) -> None:
    environ = {**os.environ, "TOKEN": "right"}
    with check_out(partial, resolve_revision(partial, "HEAD~1", environ), environ) as base:
        assert read_files(base) == BASE


def test_partial_clone_whose_origin_does_not_answer_says_what_to_do(partial: Path) -> None:
    with (
        pytest.raises(InputError, match="could not read the sources") as caught,
        check_out(partial, resolve_revision(partial, "HEAD~1")),
    ):
        pass
    assert "partial clone" in caught.value.advice
    assert "fetch-depth: 0" in caught.value.advice


def test_fetching_neither_deepens_nor_truncates_a_clone(shop: Path, tmp_path: Path) -> None:
    git(shop, "branch", "other", "HEAD~1")
    for depth in ("--depth=1", "--single-branch"):
        clone = tmp_path / depth
        git(tmp_path, "clone", "--quiet", depth, "--branch", "main", f"file://{shop}", str(clone))
        shallow = git(clone, "rev-parse", "--is-shallow-repository")
        git(shop, "switch", "--quiet", "other")
        git(shop, "commit", "--quiet", "--allow-empty", "--message", depth)
        wanted = git(shop, "rev-parse", "other")
        git(shop, "switch", "--quiet", "main")
        assert resolve_revision(clone, "origin/other") == wanted
        assert git(clone, "rev-parse", "--is-shallow-repository") == shallow


def add_submodule(outer: Path, inner: Path, path: str) -> None:
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), path)


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A submodule in a submodule, each at another commit in HEAD than in HEAD~1."""
    leaf = repository(tmp_path / "leaf", leaf="one")
    middle = repository(tmp_path / "middle", middle="one")
    add_submodule(middle, leaf, "deep/leaf")
    commit(middle)
    outer = repository(tmp_path / "outer", app__main="one")
    add_submodule(outer, middle, "vendor")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")
    commit(outer)
    for folder, file in (
        (outer / "vendor" / "deep" / "leaf", "leaf"),
        (outer / "vendor", "middle"),
        (outer, "app__main"),
    ):
        write(folder, **{file: "two"})
        commit(folder)
    return outer


NESTED_FILES = {"app/main": "one", "vendor/middle": "one", "vendor/deep/leaf/leaf": "one"}


def check_out_all(folder: Path, revision: str = "HEAD~1") -> tuple[dict[str, str], list[str]]:
    """Check out a revision, and return its files, without git's own, and the warnings."""
    warnings: list[str] = []
    with check_out(folder, resolve_revision(folder, revision), warn=warnings.append) as base:
        return {name: text for name, text in read_files(base).items() if ".git" not in name}, warnings


def test_submodules_are_filled_with_their_own_commits(nested: Path) -> None:
    assert check_out_all(nested) == (NESTED_FILES, [])
    assert not read_source(nested, {}).dirty


def test_submodule_that_this_clone_does_not_have_is_empty_in_both(nested: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(nested), str(tmp_path / "clone"))
    files, warnings = check_out_all(tmp_path / "clone")
    assert files == {"app/main": "one"}
    assert warnings == []


def test_submodule_that_head_has_moved_or_removed_is_filled_by_its_name(nested: Path) -> None:
    git(nested, "mv", "vendor", "third-party")
    commit(nested)
    assert check_out_all(nested, "HEAD~2") == (NESTED_FILES, [])
    git(nested, "rm", "--quiet", "third-party")
    commit(nested)
    assert check_out_all(nested, "HEAD~3") == (NESTED_FILES, [])


def test_submodule_whose_commit_cannot_be_fetched_is_named(nested: Path, tmp_path: Path) -> None:
    """A shallow submodule has only head's commit, and nothing is fetched for it from a local path."""
    clone = tmp_path / "clone"
    allow = ("-c", "protocol.file.allow=always")
    git(tmp_path, "clone", "--quiet", f"file://{nested}", str(clone))
    git(clone, "config", "submodule.vendor.url", f"file://{nested / 'vendor'}")
    git(nested / "vendor", "branch", "for-the-clone")
    git(clone, *allow, "submodule", "--quiet", "update", "--init", "--depth=1")
    files, warnings = check_out_all(clone)
    assert files == {"app/main": "one"}
    (text,) = warnings
    assert text.startswith("the submodule vendor is empty in the base revision: could not fetch its commit")
    with check_out(clone, resolve_revision(clone, "HEAD~1")) as base:
        assert "vendor is a submodule, and empty" in explain_missing(clone, base, [])


@pytest.mark.parametrize("shallow", [True, False])
def test_submodule_whose_commit_is_fetched_stays_as_complete_as_it_is(tmp_path: Path, shallow: bool) -> None:
    inner, outer = (repository(tmp_path / name, file="one") for name in ("inner", "outer"))
    write(inner, file="two")
    commit(inner)
    add_submodule(outer, inner, "vendor")
    commit(outer)
    vendor = outer / "vendor"
    git(vendor, "config", "protocol.file.allow", "always")
    if shallow:
        git(vendor, "fetch", "--quiet", "--depth=1", "origin", "main")
    write(inner, file="three")
    git(outer, "update-index", "--cacheinfo", f"160000,{commit(inner)},vendor")
    git(outer, "commit", "--quiet", "--message", "another commit of vendor, which this clone does not have")
    files, warnings = check_out_all(outer, "HEAD")
    assert (files["vendor/file"], warnings) == ("three", [])
    assert git(vendor, "rev-parse", "--is-shallow-repository") == str(shallow).lower()
    assert git(vendor, "rev-list", "--count", "HEAD") == ("1" if shallow else "2")


def test_name_of_a_submodule_cannot_lead_to_another_repository(tmp_path: Path) -> None:
    """The repository chooses the name: git refuses such names, and so do we."""
    inner = repository(tmp_path / "inner", file="one")
    outer = repository(tmp_path / "outer", app="one")
    add_submodule(outer, inner, "vendor")
    text = (outer / ".gitmodules").read_text(encoding="utf-8").replace('"vendor"', '"../../../inner/.git"')
    (outer / ".gitmodules").write_text(text, encoding="utf-8")
    commit(outer)
    git(outer, "rm", "--quiet", "--cached", "vendor")
    shutil.rmtree(outer / "vendor")
    commit(outer)
    files, warnings = check_out_all(outer)
    assert files == {"app": "one"}
    assert "this clone does not have it" in warnings[0]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A repository with LFS as actions/checkout sets it up, and without git-lfs."""
    large = repository(tmp_path / "large", app="one", data=POINTER)
    (large / ".gitattributes").write_text("data filter=lfs diff=lfs merge=lfs -text\n", encoding="ascii")
    commit(large)
    for name, command in (("process", "filter-process"), ("smudge", "smudge -- %f"), ("clean", "clean -- %f")):
        git(large, "config", f"filter.lfs.{name}", f"git-lfs {command}")
    git(large, "config", "filter.lfs.required", "true")
    return large


def test_lfs_without_git_lfs_leaves_pointers(large: Path) -> None:
    (large / "data").touch()  # git must read it again
    assert not read_source(large, {}).dirty
    assert check_out_all(large, "HEAD") == ({"app": "one", "data": POINTER}, [])
    (large / "app").write_text("two", encoding="utf-8")
    assert read_source(large, {}).dirty


def test_lfs_files_that_only_head_has_are_named(large: Path) -> None:
    (large / "data").write_text("the object", encoding="utf-8")
    assert not read_source(large, {}).dirty  # only git-lfs could say whether it has changed
    files, warnings = check_out_all(large, "HEAD")
    assert files["data"] == POINTER
    (text,) = warnings
    assert "1 file of Git LFS could not be read and is a pointer: data. git-lfs is not installed" in text
    with check_out(large, resolve_revision(large, "HEAD")) as base:
        assert explain_missing(large, base, []).startswith("data is a Git LFS pointer")


def test_lfs_runs_by_our_own_command_line(large: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git-lfs").symlink_to("/bin/true")
    git(large, "config", "filter.lfs.smudge", "touch started")
    tree = WorkTree.find(large, {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})
    assert tree is not None
    assert tree.has_lfs
    assert tree.ask("config", "filter.lfs.smudge") == "git-lfs smudge -- %f"
    assert tree.ask("config", "filter.lfs.required") == "false"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A repository in which an earlier step built `web/dist`, and left a file."""
    built = repository(tmp_path / "built", web__Dockerfile="COPY dist /dist\n", web__app="one")
    (built / ".gitignore").write_text("dist\n", encoding="ascii")
    commit(built)
    write(built, web__dist__main="built", web__left="x", bench_results__x="x")
    return built


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ("COPY dist /dist", "dist is ignored by git"),
        ("cannot find module '/app/dist/main'", "dist is ignored by git"),
        ("COPY left .", "left is not under git"),
        ("COPY distribution /x", ""),
        ("COPY app .", ""),
        ("", ""),
    ],
)
def test_files_of_an_earlier_step_are_named(built: Path, evidence: str, expected: str) -> None:
    with check_out(built / "web", resolve_revision(built, "HEAD")) as base:
        found = explain_missing(built / "web", base, [evidence])
    assert found.startswith(expected)
    assert bool(found) == bool(expected)
    assert not expected or 'image: "name:{revision}"' in found


def test_outside_of_git_nothing_is_explained(tmp_path: Path) -> None:
    assert explain_missing(tmp_path, tmp_path, ["COPY dist /dist"]) == ""


def test_fetch_from_an_empty_address_is_an_input_error(shop: Path) -> None:
    subprocess.run(["git", "config", "remote.origin.url", ""], cwd=shop, check=True)
    with pytest.raises(InputError):
        resolve_revision(shop, "elsewhere")
