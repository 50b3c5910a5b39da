"""How much of the engine's machine a container may take."""

from pathlib import Path

import pytest

from bench_action.engine.docker.limits import Limits

pytestmark = pytest.mark.unit

GIB = 2**30


def make_proc(folder: Path, *, total: int = 8 * GIB, available: int = 6 * GIB, pid_max: int = 32768) -> Path:
    """Write what the kernel of a machine reports."""
    (folder / "sys/kernel").mkdir(parents=True)
    meminfo = f"MemTotal:  {total // 1024} kB\nMemFree: 1 kB\nMemAvailable: {available // 1024} kB\n"
    (folder / "meminfo").write_text(meminfo, encoding="ascii")
    (folder / "sys/kernel/pid_max").write_text(f"{pid_max}\n", encoding="ascii")
    (folder / "sys/kernel/threads-max").write_text("63000\n", encoding="ascii")
    return folder


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_share_out__every_slot_may_have_a_container_at_its_limit(tmp_path: Path, slots: int) -> None:
    limits = Limits.share_out(8 * GIB, slots, make_proc(tmp_path))
    assert 0.6 * 6 * GIB < slots * limits.memory < 0.9 * 6 * GIB
    assert slots * limits.processes < 32768 / 2 + 1


def test_share_out__takes_all_of_another_machines_memory_to_be_available(tmp_path: Path) -> None:
    here = Limits.share_out(8 * GIB, 2, make_proc(tmp_path))
    there = Limits.share_out(16 * GIB, 2, tmp_path)
    assert there.memory > 2 * here.memory
    assert there.processes == 4096
    assert Limits.share_out(16 * GIB, 2, tmp_path / "not-there") == there


def test_share_out__leaves_enough_to_start_anything(tmp_path: Path) -> None:
    limits = Limits.share_out(8 * GIB, 8, make_proc(tmp_path, available=GIB // 2, pid_max=1000))
    assert (limits.memory, limits.processes) == (128 * 2**20, 256)


def test_share_out__a_large_machine_still_limits_processes(tmp_path: Path) -> None:
    assert Limits.share_out(8 * GIB, 2, make_proc(tmp_path, pid_max=4194304)).processes == 4096


def test_lower_to__respects_a_configured_limit_only_if_it_is_smaller() -> None:
    limits = Limits(GIB, 100)
    assert [limits.lower_to(memory).memory for memory in (0, GIB // 4, 2 * GIB)] == [GIB, GIB // 4, GIB]


@pytest.mark.parametrize(
    ("options", "complete"),
    [("", "size=800"), ("mode=1777", "mode=1777,size=800"), ("size=1m", "size=1m"), ("uid=1,size=2g", "uid=1,size=2g")],
)
def test_size_folder__adds_a_size_unless_there_is_one(options: str, complete: str) -> None:
    assert Limits(1000, 1).size_folder(options) == complete
