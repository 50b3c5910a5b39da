"""Which compose is used, and how it is read."""

from pathlib import Path

import pytest

from bench_action.config.compose.command import find_compose

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("printed", "classic"),
    [
        ("2.40.3", False),
        ("v2.6.0", False),
        ("v5.0.1", False),
        ("Docker Compose version v2.3.3", False),
        ("1.29.2", True),
        ("docker-compose version 1.25.0, build 0a186604", True),
        ("", True),  # what it is, is not known: YAML is read from any
    ],
)
def test_find_compose__only_a_known_version_is_asked_for_json(tmp_path: Path, printed: str, classic: bool) -> None:
    program = tmp_path / "docker-compose"
    program.write_text(f"#!/bin/sh\necho '{printed}'\n", encoding="utf-8")
    program.chmod(0o755)
    assert find_compose(tmp_path, {"PATH": str(tmp_path)}, {}).classic is classic
