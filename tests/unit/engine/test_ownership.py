"""Who owns what a run made, and whether that run is gone."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.engine.docker.labels import abandoned, labels_of
from bench_action.engine.ownership import Ownership, Process, is_abandoned

pytestmark = pytest.mark.unit

NOW = 1_800_000_000.0
LATER, EARLIER = str(int(NOW) + 1), str(int(NOW) - 1)
words = st.text(st.characters(exclude_characters="/"), max_size=20)


def this_process() -> Process:
    found = Process.of(os.getpid())
    assert found is not None
    return found


def ended_process() -> Process:
    """A process of this machine that is gone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = Process.of(child.pid)
    assert found is not None
    return found


def test_process__lives_while_it_runs_and_is_gone_afterwards() -> None:
    assert not this_process().is_gone()
    assert ended_process().is_gone()


def test_process__a_later_one_with_its_number_is_another() -> None:
    me = this_process()
    assert Process(me.boot_id, me.pid_namespace, me.pid, me.started + "0").is_gone()


@pytest.mark.parametrize("change", [{"boot_id": "another boot"}, {"pid_namespace": "pid:[1]"}])
def test_process__of_elsewhere_is_never_called_gone(change: dict[str, str]) -> None:
    ended = ended_process()
    fields = {"boot_id": ended.boot_id, "pid_namespace": ended.pid_namespace} | change
    assert not Process(**fields, pid=ended.pid, started=ended.started).is_gone()


def test_process__that_never_was_is_none() -> None:
    assert Process.of(2**22 + 1) is None


@given(words, words, st.integers(min_value=0, max_value=2**31), words)
def test_process__is_read_back_from_its_text(boot_id: str, namespace: str, pid: int, started: str) -> None:
    process = Process(boot_id, namespace, pid, started)
    assert Process.parse(str(process)) == process


@given(st.text())
def test_process__parse_refuses_or_understands_any_text(text: str) -> None:
    process = Process.parse(text)
    assert process is None or len(text.split("/")) == 4


@pytest.mark.parametrize("text", ["", "a/b/c/d", "a/b/1", "a/b/1/2/3", "a/b/-1/2"])
def test_process__parse_refuses_other_text(text: str) -> None:
    assert Process.parse(text) is None


@pytest.mark.parametrize(
    ("expires_at", "gone"), [(EARLIER, True), (LATER, False), (str(int(NOW)), False), ("", False), ("soon", False)]
)
def test_is_abandoned__by_time_where_the_process_cannot_be_known(expires_at: str, gone: bool) -> None:
    assert is_abandoned("", expires_at, now=NOW) is gone


def test_is_abandoned__as_soon_as_its_process_is_gone() -> None:
    assert is_abandoned(str(ended_process()), LATER, now=NOW)
    assert not is_abandoned(str(this_process()), LATER, now=NOW)


def test_ownership__of_this_process_is_not_abandoned_before_it_expires() -> None:
    owner = Ownership.of_this_process("run-1", "owner/repo")
    assert Process.parse(owner.process) == this_process()
    assert 3600 < owner.expires_at - time.time() <= 24 * 3600


def test_labels__are_the_names_that_users_filter_by() -> None:
    owner = Ownership("run-1", "a/b/1/2", 1_800_000_000, "owner/repo")
    assert labels_of(owner) == {
        "bench-action": "",
        "bench-action.run": "run-1",
        "bench-action.repository": "owner/repo",
        "bench-action.expires": "1800000000",
        "bench-action.process": "a/b/1/2",
        "bench-action.job": "",
    }


def test_labels__only_what_is_ours_and_old_is_abandoned() -> None:
    old = labels_of(Ownership("run-1", "", int(NOW) - 1, ""))
    assert abandoned(old, now=NOW)
    assert not abandoned(labels_of(Ownership("run-1", "", int(NOW) + 1, "")), now=NOW)
    assert not abandoned({name: value for name, value in old.items() if name != "bench-action"}, now=NOW)
    assert not abandoned({"bench-action": ""}, now=NOW)
