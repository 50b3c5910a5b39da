"""What an ignore file leaves out."""

from pathlib import Path

import pytest

from bench_action.engine.docker.ignore import Ignore

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


def left_out(context: Path, text: str) -> list[str]:
    kept = set(Ignore.parse(text).kept(context))
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
def test_ignore__leaves_out(context: Path, text: str, names: list[str]) -> None:
    assert left_out(context, text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("**\n!app/main.py", [name for name in (*FILES, "link") if name != "app/main.py"]),
        ("app\n!app/docs", ["app/__pycache__/a.pyc", "app/main.py", "app/main.test.py"]),
        ("!app/docs\napp", ["app/__pycache__/a.pyc", "app/main.py", "app/main.test.py", "app/docs/README.md"]),
        ("*.md\n!README.md\nREAD*", ["README.md"]),
    ],
)
def test_ignore__the_last_pattern_that_matches_decides(context: Path, text: str, names: list[str]) -> None:
    assert left_out(context, text) == names


def test_ignore__a_file_of_stars_ends(context: Path) -> None:
    """Trying every split of a long name between them would take years."""
    (context / ("a" * 250)).touch()
    (context / ("a/" * 20)).mkdir(parents=True)
    assert left_out(context, "*a" * 60 + "*b\n" + "**/a/" * 15 + "b\n" + "*" * 200 + "b") == []
