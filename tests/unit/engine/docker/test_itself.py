"""Finding the container that we run in."""

from pathlib import Path

import pytest

from bench_action.engine.docker.itself import list_candidates

pytestmark = pytest.mark.unit

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"12:cpuset:/docker/{ID}\n11:memory:/docker/{ID}\n", [ID, "host"]),  # version 1
        (f"0::/system.slice/docker-{ID}.scope\n", [ID, "host"]),  # version 2, namespace of the host
        ("0::/\n", ["host"]),  # version 2, its own namespace
        ("", ["host"]),
    ],
)
def test_list_candidates__control_group_first_then_host_name(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "cgroup").write_text(text, encoding="ascii")
    assert list_candidates(tmp_path / "cgroup", "host") == expected


def test_list_candidates__only_the_host_name_without_a_control_group(tmp_path: Path) -> None:
    assert list_candidates(tmp_path / "none", "host") == ["host"]
