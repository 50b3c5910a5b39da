"""Which container we run in."""

from pathlib import Path

import pytest

from bench_action.engine.docker.itself import candidates

pytestmark = pytest.mark.unit

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"12:cpuset:/docker/{ID}\n11:memory:/docker/{ID}\n", [ID, "host"]),  # version 1
        (f"0::/system.slice/docker-{ID}.scope\n", [ID, "host"]),  # version 2, namespace of the host
        ("0::/\n", ["host"]),  # version 2, a namespace of its own
        ("", ["host"]),
    ],
)
def test_candidates__come_from_the_control_group_then_the_host_name(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    (tmp_path / "cgroup").write_text(text, encoding="ascii")
    assert candidates(tmp_path / "cgroup", "host") == expected


def test_candidates__are_the_host_name_where_there_is_no_control_group(tmp_path: Path) -> None:
    assert candidates(tmp_path / "none", "host") == ["host"]
