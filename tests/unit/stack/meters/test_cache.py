"""Which Redis commands count as work."""

import pytest

from bench_action.stack.meters.cache import count_commands, is_work

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "command", ["incr", "get", "set", "ping", "config_like", "client_like", "multi", "xinfo|stream"]
)
def test_is_work__counts_commands(command: str) -> None:
    assert is_work(command)


@pytest.mark.parametrize(
    "command",
    ["hello", "auth", "select", "client|setinfo", "client|setname", "client", "info", "echo", "config|get", "quit"],
)
def test_is_work__leaves_out_connection_set_up_and_our_own_commands(command: str) -> None:
    assert not is_work(command)


def test_count_commands__counts_what_is_new() -> None:
    before = {"incr": 3, "info": 1, "get": 5}
    after = {"incr": 13, "info": 9, "get": 5, "set": 2, "client|setinfo": 40}
    assert count_commands(before, after) == 12


def test_count_commands__is_none_after_a_reset() -> None:
    assert count_commands({"get": 5000, "info": 1}, {"get": 100, "info": 2}) is None
    assert count_commands({"get": 5, "info": 1}, {"get": 100, "config|resetstat": 1}) is None
    restored = {"get": 5000, "info": 2, "config|resetstat": 1}
    assert count_commands({"get": 5, "info": 1}, restored) is None
    assert count_commands(restored, restored | {"get": 5001}) is None
