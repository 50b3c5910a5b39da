"""Which files a configuration may name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.git import git

from bench_action.config.baseline import load_base
from bench_action.config.load import load_project
from bench_action.config.paths import find_problem, find_root
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

SECRET = "machine github.com login x password ghp_0123456789abcdefghijklmnopqrstuvwxyz"
CONFIG = """\
seed: {seed}
variants:
  app:
    build: {{context: {context}, dockerfile: {dockerfile}}}
    local: {{command: [x], requirements: {requirements}}}
profiles: {{p: {{connections: 1, threads: 1, duration: 1s}}}}
"""
GOOD = {"seed": "seed.sql", "context": "app", "dockerfile": "Dockerfile", "requirements": "app/requirements.txt"}
FILES = ("seed.sql", "app/Dockerfile", "app/requirements.txt")


@pytest.fixture(params=["git", "no git"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A complete configuration, with and without a repository; a secret is outside of it."""
    folder = tmp_path / "shop"
    (folder / "app").mkdir(parents=True)
    if request.param == "git":
        git(folder, "init", "--quiet")
    for name in FILES:
        (folder / name).write_text("--\n", encoding="utf-8")
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "Dockerfile").write_text("FROM x\n", encoding="utf-8")
    configure(folder)
    return folder


def configure(folder: Path, **changes: str) -> Path:
    file = folder / "bench.yml"
    file.write_text(CONFIG.format(**GOOD | changes), encoding="utf-8")
    return file


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_project(folder / "bench.yml", "quick")
    text = str(caught.value)
    assert "password" not in text
    return text


def test_files_of_the_repository_are_accepted(shop: Path) -> None:
    (shop / "linked.sql").symlink_to("seed.sql")
    (step,) = load_project(configure(shop, seed="linked.sql"), "quick").config.seed
    assert step.file == "linked.sql"


@pytest.mark.parametrize(
    ("key", "path", "role"),
    [
        ("seed", "../secret", "seed"),
        ("seed", "{outside}/Dockerfile", "seed"),
        ("seed", "/proc/self/environ", "seed"),
        ("seed", "/dev/zero", "seed"),
        ("context", "../outside", "build context"),
        ("context", "{outside}", "build context"),
        ("context", "/", "build context"),
        ("dockerfile", "../../outside/Dockerfile", "Dockerfile"),
        ("requirements", "../../etc/passwd", "requirements"),
        ("requirements", "/etc/passwd", "requirements"),
    ],
)
def test_files_elsewhere_are_refused(shop: Path, key: str, path: str, role: str) -> None:
    configure(shop, **{key: path.format(outside=shop.parent / "outside")})
    text = refusal(shop)
    assert role in text
    assert "is outside of" in text or "does not exist" in text


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("seed.sql", "../secret"),
        ("seed.sql", "/proc/self/environ"),
        ("app", "../outside"),
        ("app/Dockerfile", "/etc/passwd"),
        ("app/.dockerignore", "/proc/self/environ"),
        ("app/Dockerfile.dockerignore", "../../secret"),
        ("app/requirements.txt", "../../secret"),
        ("bench.yml", "../secret"),
    ],
)
def test_links_are_followed_before_they_are_checked(shop: Path, name: str, target: str) -> None:
    path = shop / name
    if path.is_dir():
        path.rename(shop / "moved")
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)
    assert "is outside of" in refusal(shop)


def test_path_past_a_link_is_refused(shop: Path) -> None:
    """For the kernel it is inside; a program that first removes `down/..` would read a file outside."""
    (shop / "a" / "b").mkdir(parents=True)
    (shop / "down").symlink_to("a/b")
    configure(shop, seed="down/../../seed.sql")
    assert "leads to two places" in refusal(shop)
    configure(shop, seed="app/../seed.sql")
    load_project(shop / "bench.yml", "quick")


def test_link_of_a_folder_does_not_choose_another_root(shop: Path, tmp_path: Path) -> None:
    """The repository has a link to a folder elsewhere, and the path leads through it."""
    git(shop, "init", "--quiet")
    (shop / "away").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    file = configure(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is outside of"):
        load_project(shop / "away" / file.name, "quick")


def test_what_is_not_a_regular_file_of_a_limited_size_is_refused(shop: Path) -> None:
    seed = shop / "seed.sql"
    seed.unlink()
    os.mkfifo(seed)
    assert "is not a regular file" in refusal(shop)
    seed.unlink()
    seed.mkdir()
    assert "is not a regular file" in refusal(shop)
    seed.rmdir()
    seed.symlink_to("seed.sql")
    assert "loop" in refusal(shop)
    seed.unlink()
    with seed.open("wb") as file:
        file.truncate(4096 * 2**20 + 1)
    assert "is larger than the 4096 MiB allowed" in refusal(shop)
    configure(shop, context="app/Dockerfile")
    assert "is not a folder" in refusal(shop)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_configuration_that_is_not_a_file_is_refused_immediately(shop: Path, make: Callable[[Path], None]) -> None:
    (shop / "bench.yml").unlink()
    make(shop / "bench.yml")
    assert "is not a regular file" in refusal(shop)


def test_files_inside_git_s_folder_are_refused(shop: Path) -> None:
    (shop / ".git").mkdir(exist_ok=True)
    (shop / ".git" / "config").write_text(SECRET, encoding="utf-8")
    configure(shop, seed=".git/config")
    assert "is inside .git" in refusal(shop)


def test_long_scalars_are_not_repeated(shop: Path) -> None:
    (shop / "bench.yml").write_text(SECRET * 3, encoding="utf-8")
    assert len(SECRET) > 40
    text = read_refusal(shop)
    assert SECRET[:40] in text
    assert SECRET[:42] not in text


@pytest.mark.parametrize("text", [f"a: *{'x' * 60}\n", f"a: !{'x' * 60} b\n", f"{'x' * 60}: [\n", f"{'x' * 60}: 1\n"])
def test_no_part_of_a_message_repeats_a_long_text(shop: Path, text: str) -> None:
    (shop / "bench.yml").write_text(text, encoding="utf-8")
    assert "x" * 42 not in read_refusal(shop)


def read_refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_project(folder / "bench.yml", "quick")
    return str(caught.value)


def test_root_is_the_top_of_the_repository_else_the_configuration_s_folder(shop: Path) -> None:
    file = shop / "app" / "bench.yml"
    assert find_root(file) == (shop if (shop / ".git").exists() else shop / "app")


def test_base_has_the_same_root_in_its_own_tree(tmp_path: Path) -> None:
    """A configuration in a folder may name files next to that folder, also in base, but none outside of the tree."""
    shop = tmp_path / "shop"
    shop.mkdir()
    git(shop, "init", "--quiet")
    base = tmp_path / "tree"
    for tree in (shop, base):
        (tree / "bench" / "app").mkdir(parents=True)
        (tree / "data").mkdir()
        for name in FILES[1:]:
            (tree / "bench" / name).write_text("--\n", encoding="utf-8")
        (tree / "data" / "seed.sql").write_text("--\n", encoding="utf-8")
        configure(tree / "bench", seed="../data/seed.sql")
    head = load_project(shop / "bench" / "bench.yml", "quick")
    loaded = load_base(head, base / "bench")
    assert (loaded.project.root, dict(loaded.lacks)) == (base, {})
    for name, target in (("data/seed.sql", "../../secret"), ("bench/app/Dockerfile", "/etc/passwd")):
        (base / name).unlink()
        (base / name).symlink_to(target)
        (lack,) = load_base(head, base / "bench").lacks.values()
        assert "is outside of" in lack.reason


def test_find_problem__says_whether_a_path_is_only_absent(tmp_path: Path) -> None:
    missing = find_problem(tmp_path / "none", tmp_path, "seed")
    assert missing is not None
    assert missing.absent
    outside = find_problem(Path("/nowhere/none"), tmp_path, "seed")
    assert outside is not None
    assert not outside.absent
