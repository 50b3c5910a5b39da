"""Which run owns an object, and whether that run is dead."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.engine import ownership
from bench_action.engine.docker.labels import is_left_behind, make_labels
from bench_action.engine.ownership import Ownership, Process, is_abandoned, read_own_file

pytestmark = pytest.mark.unit

NOW = 1_800_000_000.0
LATER, EARLIER = str(int(NOW) + 1), str(int(NOW) - 1)
words = st.text(st.characters(exclude_characters="/"), max_size=20)


def this_process() -> Process:
    process = Process.from_pid(os.getpid())
    assert process is not None
    return process


def exited_process() -> Process:
    """A process of this machine that has exited."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = Process.from_pid(child.pid)
    assert process is not None
    return process


def test_is_running__until_the_process_has_exited() -> None:
    assert this_process().is_running() is True
    assert exited_process().is_running() is False


def test_is_running__not_if_a_later_process_has_its_number() -> None:
    me = this_process()
    assert replace(me, started=me.started + "0").is_running() is False


@pytest.mark.parametrize("change", [{"machine": "another boot"}, {"pid_namespace": "pid:[1]"}])
@pytest.mark.parametrize("process", [this_process, exited_process])
def test_is_running__is_unknown_for_a_process_elsewhere(process: Callable[[], Process], change: dict[str, Any]) -> None:
    assert replace(process(), **change).is_running() is None


def test_is_running__is_unknown_on_a_copy_of_a_virtual_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies have the same boot id, and processes with the same numbers that started at the same time."""
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(ownership, "_MEMORY", tmp_path)
    here, exited = this_process(), exited_process()
    assert (here.is_running(), exited.is_running()) == (True, False)
    monkeypatch.setattr(ownership, "_MEMORY", tmp_path / "copy")
    assert (here.is_running(), exited.is_running()) == (None, None)


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "device", "large", "missing"])
def test_read_own_file__refuses_anything_but_a_small_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "owner"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to("/etc/hostname")
        case "folder":
            path.mkdir()
        case "device":
            path = Path("/dev/zero")
        case "large":
            path.write_bytes(b"1" * (2 << 20))
    with pytest.raises(OSError, match=r".*"):
        read_own_file(path)


def test_read_own_file__refuses_a_file_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner").write_text("1", encoding="ascii")
    assert read_own_file(tmp_path / "owner") == "1"
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError):
        read_own_file(tmp_path / "owner")


def test_from_pid__is_none_for_an_unused_number() -> None:
    assert Process.from_pid(2**22 + 1) is None


@given(words, words, st.integers(min_value=0, max_value=2**31), words)
def test_parse__reads_back_the_text_of_a_process(boot_id: str, namespace: str, pid: int, started: str) -> None:
    process = Process(boot_id, namespace, pid, started)
    assert Process.parse(str(process)) == process


@given(st.text())
def test_parse__accepts_or_refuses_any_text(text: str) -> None:
    process = Process.parse(text)
    assert process is None or len(text.split("/")) == 4


@pytest.mark.parametrize("text", ["", "a/b/c/d", "a/b/1", "a/b/1/2/3", "a/b/-1/2"])
def test_parse__refuses_other_text(text: str) -> None:
    assert Process.parse(text) is None


@pytest.mark.parametrize(
    ("expires_at", "abandoned"), [(EARLIER, True), (LATER, False), (str(int(NOW)), False), ("", False), ("soon", False)]
)
def test_is_abandoned__by_time_if_the_process_is_unknown(expires_at: str, abandoned: bool) -> None:
    assert is_abandoned("", expires_at, now=NOW) is abandoned


def test_is_abandoned__as_soon_as_its_process_has_exited() -> None:
    assert is_abandoned(str(exited_process()), LATER, now=NOW)
    assert not is_abandoned(str(this_process()), LATER, now=NOW)


def test_is_abandoned__never_while_its_process_runs() -> None:
    """A run may be long, a laptop may have slept, and a clock may be ahead."""
    assert not is_abandoned(str(this_process()), EARLIER, now=NOW)
    assert is_abandoned(str(replace(this_process(), machine="another")), EARLIER, now=NOW)


def test_claim__is_for_this_process_and_a_limited_time() -> None:
    owner = Ownership.claim("run-1", "owner/repo")
    assert Process.parse(owner.process) == this_process()
    assert 3600 < owner.expires_at - time.time() <= 24 * 3600


def test_make_labels__has_the_names_that_users_filter_by() -> None:
    owner = Ownership("run-1", "a/b/1/2", 1_800_000_000, "owner/repo")
    assert make_labels(owner) == {
        "bench-action": "",
        "bench-action.run": "run-1",
        "bench-action.repository": "owner/repo",
        "bench-action.expires": "1800000000",
        "bench-action.process": "a/b/1/2",
        "bench-action.job": "",
    }


def test_is_left_behind__only_if_ours_and_expired() -> None:
    expired = make_labels(Ownership("run-1", "", int(NOW) - 1, ""))
    assert is_left_behind(expired, now=NOW)
    assert not is_left_behind(make_labels(Ownership("run-1", "", int(NOW) + 1, "")), now=NOW)
    assert not is_left_behind({name: value for name, value in expired.items() if name != "bench-action"}, now=NOW)
    assert not is_left_behind({"bench-action": ""}, now=NOW)
