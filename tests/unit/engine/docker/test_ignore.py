"""What an ignore file excludes from a build context."""

import os
from pathlib import Path
from typing import Any

import pytest

from bench_action.engine.docker.ignore import IgnoreRules

pytestmark = pytest.mark.unit

FILES = (
    "README.md",
    "app/__pycache__/a.pyc",
    "app/main.py",
    "app/main.test.py",
    "app/docs/README.md",
    "lib[1]/x",
    "top.py",
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "link").symlink_to("app")
    return tmp_path


def list_excluded(context: Path, text: str) -> list[str]:
    kept = set(IgnoreRules.parse(text).walk(context))
    return [name for name in (*FILES, "link") if name not in kept]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("# *\n\n  \n", []),
        ("*.md", ["README.md"]),
        ("**/*.md", ["README.md", "app/docs/README.md"]),
        ("/app/docs/", ["app/docs/README.md"]),
        ("./app/../top.py", ["top.py"]),
        ("app/*.test.??", ["app/main.test.py"]),
        ("*/docs", ["app/docs/README.md"]),
        ("app/**/README.md", ["app/docs/README.md"]),
        ("app/**", ["app/__pycache__/a.pyc", "app/main.py", "app/main.test.py", "app/docs/README.md"]),
        ("**/__pycache__", ["app/__pycache__/a.pyc"]),
        ("lib\\[1\\]", ["lib[1]/x"]),
        ("[lt]op.p[a-z]", ["top.py"]),
        ("[", []),
        ("link", ["link"]),
        (".", []),
    ],
)
def test_ignore_rules__exclude(context: Path, text: str, names: list[str]) -> None:
    assert list_excluded(context, text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("**\n!app/main.py", [name for name in (*FILES, "link") if name != "app/main.py"]),
        ("app\n!app/docs", ["app/__pycache__/a.pyc", "app/main.py", "app/main.test.py"]),
        ("!app/docs\napp", ["app/__pycache__/a.pyc", "app/main.py", "app/main.test.py", "app/docs/README.md"]),
        ("*.md\n!README.md\nREAD*", ["README.md"]),
    ],
)
def test_ignore_rules__the_last_matching_pattern_decides(context: Path, text: str, names: list[str]) -> None:
    assert list_excluded(context, text) == names


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("app", ["", "lib[1]"]),
        ("app\n!top.py\n!lib*/x", ["", "lib[1]"]),
        ("!app/docs\napp", ["", "lib[1]"]),
        ("app\n!app/docs", ["", "app", "app/docs", "lib[1]"]),
        ("*\n!a*/d?cs/README.md", ["", "app", "app/docs"]),
        ("*\n!app/**/README.md", ["", "app", "app/__pycache__", "app/docs"]),
        ("*\n!**/x", ["", "app", "app/__pycache__", "app/docs", "lib[1]"]),
    ],
)
def test_ignore_rules__an_excluded_folder_is_read_only_if_something_in_it_may_be_included(
    context: Path, text: str, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be large, or belong to another user."""
    scandir, read = os.scandir, []

    def record(path: Path) -> Any:
        read.append(path.relative_to(context).as_posix().removeprefix("."))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", record)
    list(IgnoreRules.parse(text).walk(context))
    assert read == folders


def test_ignore_rules__are_fast_even_with_many_stars(context: Path) -> None:
    """Trying every way in which they could match a long name would take years."""
    (context / ("a" * 250)).touch()
    (context / ("a/" * 20)).mkdir(parents=True)
    assert list_excluded(context, "*a" * 60 + "*b\n" + "**/a/" * 15 + "b\n" + "*" * 200 + "b") == []
