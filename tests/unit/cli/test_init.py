"""`bench-action init`: which files it writes, and that it never writes over one."""

from pathlib import Path

import pytest
from tests.git import git
from tests.unit.cli.test_app import Captured, Command, command

pytestmark = pytest.mark.unit

__all__ = ["command"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a Dockerfile in a subfolder, which is the working directory."""
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "Dockerfile").write_text("FROM golang\nEXPOSE 80\n", encoding="utf-8")
    (tmp_path / "api" / "go.mod").write_text("module x\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "api")
    return tmp_path


def test_init__writes_both_files_once(repository: Path, command: Command, capsys: Captured) -> None:
    assert command("init") == 0
    printed = capsys.readouterr().out
    assert "wrote bench.yml: Go, the Dockerfile in ., 1 profile (/)" in printed
    assert "wrote ../.github/workflows/benchmark.yml" in printed
    assert "bench-action check --up" in printed
    assert "run --baseline HEAD --rules head" in printed
    assert "config: api/bench.yml" in (repository / ".github/workflows/benchmark.yml").read_text(encoding="utf-8")

    (repository / "api" / "bench.yml").write_text("mine", encoding="utf-8")
    assert command("init") == 0
    assert "bench.yml exists and was not changed (--force replaces it)" in capsys.readouterr().out
    assert (repository / "api" / "bench.yml").read_text(encoding="utf-8") == "mine"

    assert command("init", "--force") == 0
    assert "variants:" in (repository / "api" / "bench.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "argument", "config", "files"),
    [
        (".", "api", " api/bench.yml", "api/.env.example api/.env"),
        ("api", ".", "", ".env.example .env"),
        ("api/inner", "..", " ../bench.yml", "../.env.example ../.env"),
        ("a b", "../api", " ../api/bench.yml", "../api/.env.example ../api/.env"),
    ],
)
def test_init__prints_commands_that_work_where_it_was_called(
    repository: Path,
    command: Command,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    *,
    place: str,
    argument: str,
    config: str,
    files: str,
) -> None:
    compose = "services: {web: {build: ., ports: [80], env_file: [.env, other.env]}}"
    (repository / "api" / "compose.yml").write_text(compose, encoding="utf-8")
    (repository / "api" / ".env.example").write_text("A=1\n", encoding="utf-8")
    (repository / place).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(repository / place)
    assert command("init", argument) == 0
    printed = capsys.readouterr().out
    assert f"  bench-action check{config} --up\n" in printed
    assert f"  bench-action run{config} --baseline HEAD --rules head\n" in printed
    assert f"First: cp {files}\n" in printed
    assert f"First: create {files.split()[1].replace('.env', 'other.env')}, which" in printed


def test_init__quotes_names_with_spaces(
    repository: Path, command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "api").rename(repository / "the api")
    monkeypatch.chdir(repository)
    assert command("init", "the api") == 0
    assert "bench-action check 'the api/bench.yml' --up" in capsys.readouterr().out


def test_init__refuses_a_folder_that_does_not_exist(repository: Path, command: Command, capsys: Captured) -> None:
    """It would take the repository around it."""
    assert command("init", "appi") == 2
    assert "there is no folder appi" in capsys.readouterr().err
    assert not (repository / ".github").exists()


def test_init__names_the_branch_to_compare_with(repository: Path, command: Command, capsys: Captured) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "first")
    git(repository, "update-ref", "refs/remotes/origin/trunk", "HEAD")
    git(repository, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    assert command("init") == 0
    assert "--baseline origin/trunk --rules head" in capsys.readouterr().out


def test_init__follows_no_link_out_of_the_repository(repository: Path, command: Command, capsys: Captured) -> None:
    outside = repository.parent / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine", encoding="utf-8")
    (repository / "api" / "bench.yml").symlink_to(outside / "mine")
    (repository / ".github").symlink_to(outside)
    assert command("init", "--force") == 2
    assert "its folder is a link to" in capsys.readouterr().err
    assert [path.name for path in outside.iterdir()] == ["mine"]
    (repository / ".github").unlink()
    assert command("init", "--force") == 0
    assert (outside / "mine").read_text(encoding="utf-8") == "mine"
    assert not (repository / "api" / "bench.yml").is_symlink()


@pytest.mark.parametrize("option", ["--stdout", "--dry-run"])
def test_init__prints_instead(repository: Path, command: Command, capsys: Captured, option: str) -> None:
    assert command("init", option) == 0
    printed = capsys.readouterr().out
    assert printed.index("# --- bench.yml") < printed.index("# --- ../.github/workflows/benchmark.yml")
    assert not (repository / ".github").exists()
    assert not (repository / "api" / "bench.yml").exists()


def test_init__with_nothing_to_build(tmp_path: Path, command: Command, capsys: Captured) -> None:
    assert command("init", str(tmp_path)) == 2
    error = capsys.readouterr().err
    assert f"nothing to build in {tmp_path}: no Dockerfile and no compose file found" in error
    assert "a Dockerfile could begin like this" in error
    assert list(tmp_path.iterdir()) == []
