"""Which run owns an object, and whether that run is dead."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.engine.docker.labels import is_left_behind, make_labels
from bench_action.engine.ownership import Ownership, Process, is_abandoned

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


def test_has_exited__only_after_the_process_has() -> None:
    assert not this_process().has_exited()
    assert exited_process().has_exited()


def test_has_exited__if_a_later_process_has_its_number() -> None:
    me = this_process()
    assert Process(me.boot_id, me.pid_namespace, me.pid, me.started + "0").has_exited()


@pytest.mark.parametrize("change", [{"boot_id": "another boot"}, {"pid_namespace": "pid:[1]"}])
def test_has_exited__is_never_true_for_a_process_elsewhere(change: dict[str, str]) -> None:
    exited = exited_process()
    fields = {"boot_id": exited.boot_id, "pid_namespace": exited.pid_namespace} | change
    assert not Process(**fields, pid=exited.pid, started=exited.started).has_exited()


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
