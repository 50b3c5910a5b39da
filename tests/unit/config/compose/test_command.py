"""Which compose is used, and how it is read."""

from pathlib import Path

import pytest

from bench_action.config.compose.command import find_compose
from bench_action.model.errors import InputError

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


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            r'failed to read /app/.env: line 3: unexpected character "-" in variable name "API-KEY=hunter2"',
            "failed to read /app/.env: line 3: unexpected character in the name of a variable",
        ),
        (
            'line 2: unexpected character "\'" in variable name near "hunter2"',
            "line 2: unexpected character in the name",
        ),
        ('line 1: unterminated quoted value "hunter2 and', "line 1: unterminated quoted value …"),
        (
            "yaml: unmarshal errors: line 1: cannot unmarshal !!str `KEY=hunter2` into map",
            "cannot unmarshal !!str … into",
        ),
        ('line 1: unterminated quoted value "abc" hunter2', "line 1: unterminated quoted value …"),
        ('Invalid template: "hunter2${"', "Invalid template: …"),
        (
            "invalid interpolation format for services.web.environment.DB.\nYou may need to escape any $.\nhunter2${",
            "invalid interpolation format …",
        ),
        (
            'Invalid interpolation format for "environment" option in service "web": "hunter2${"',
            "interpolation format …",
        ),
        (
            "invalid interpolation format for a.b.\nYou may need to escape.\nhunter2\nrequired variable X is missing",
            "invalid interpolation format …; required variable X is missing",
        ),
        ("services.web additional properties 'imge' not allowed", "additional properties 'imge' not allowed"),
    ],
)
def test_read__quotes_nothing_of_an_environment_file(tmp_path: Path, message: str, shown: str) -> None:
    program, said = tmp_path / "docker-compose", tmp_path / "said"
    said.write_text(message, encoding="utf-8")
    program.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && echo 2.40.3 && exit\ncat {said} >&2\nexit 1\n', encoding="utf-8"
    )
    program.chmod(0o755)
    with pytest.raises(InputError) as caught:
        find_compose(tmp_path, {"PATH": f"{tmp_path}:/bin:/usr/bin"}, {}).read([tmp_path / "compose.yaml"])
    assert shown in str(caught.value)
    assert "hunter2" not in str(caught.value)
