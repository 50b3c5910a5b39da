"""Files, and headings of documents, that messages, comments and docstrings point to exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

_ROOT = Path(__file__).parents[2]
_SOURCES = sorted(
    path
    for pattern in ("src/**/*", "*.yml", "*.sh", "Dockerfile")
    for path in _ROOT.glob(pattern)
    if path.suffix in {".py", ".yml", ".j2", ".js", ".sh", ""} and path.is_file()
)
_FILE = re.compile(r"\b(?:docs|examples)/[\w.-]+\.(?:md|yml|json|svg|png)\b|\bREADME\b(?!\.|:)")
_HEADING_AFTER = re.compile(r'\s*,\s*(?:section\s+)?"([^"]+)"|, ([A-Z]\w+)\)')
_HEADING_BEFORE = re.compile(r'"([^"]+)" in (?:the )?\Z')


def _find_references(text: str) -> Iterator[tuple[str, str]]:
    """Find files, and the headings named with them; the heading is empty if none is."""
    text = re.sub(r'\s*\n\s*(?:#\s|")?', " ", text)  # a reference may continue in the next line
    for match in _FILE.finditer(text):
        name = "README.md" if match[0] == "README" else match[0]
        after, before = _HEADING_AFTER.match(text, match.end()), _HEADING_BEFORE.search(text[: match.start()])
        yield name, (after[1] or after[2]) if after else before[1] if before else ""


def _list_headings(document: Path) -> list[str]:
    """List the headings of a document, without the files that a heading names in parentheses."""
    lines = document.read_text(encoding="utf-8").splitlines()
    return [re.sub(r" \(`.*\)$", "", line.lstrip("# ")) for line in lines if line.startswith("#")]


@pytest.mark.parametrize("path", _SOURCES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_references__name_files_and_headings_that_exist(path: Path) -> None:
    for name, heading in _find_references(path.read_text(encoding="utf-8")):
        document = _ROOT / name
        assert document.is_file(), f"{name} does not exist"
        assert not heading or heading in _list_headings(document), f"{name} has no heading {heading!r}"


def test_references__are_found_with_their_headings() -> None:
    text = """(README, "Exit status") (README, Forks) docs/a.md, "B
    c", as "D" in docs/e.md, README.md of a history, examples/f.yml"""
    assert list(_find_references(text)) == [
        ("README.md", "Exit status"),
        ("README.md", "Forks"),
        ("docs/a.md", "B c"),
        ("docs/e.md", "D"),
        ("examples/f.yml", ""),
    ]
