"""Repositories of which `bench-action init` makes a draft."""

from pathlib import Path

import pytest
from tests.unit.init.drafts import Make

from bench_action.init.draft import Draft, make_draft


@pytest.fixture
def draft(tmp_path: Path) -> Make:
    """Makes the draft of a git repository with these files."""

    def make(files: dict[str, str]) -> Draft:
        for name, text in {".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return make_draft(tmp_path)

    return make
