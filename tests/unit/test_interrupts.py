"""Signals and cleaning up, with real signals."""

import os
import signal
from collections.abc import Iterator
from typing import cast

import pytest

from bench_action.engine.protocol import Engine
from bench_action.interrupts import Interrupts
from bench_action.model.errors import InterruptedRunError, StackError
from bench_action.stack.ownership import Owned

pytestmark = pytest.mark.unit

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Installed; what was there before comes back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    installed = Interrupts()
    installed.install()
    yield installed
    for number, handler in before.items():
        signal.signal(number, handler)


class Removing:
    """An engine that can only be cleaned up."""

    def __init__(self, failure: Exception | None = None, *, interrupted: bool = False) -> None:
        self.removed = 0
        self._failure = failure
        self._interrupted = interrupted

    def remove(self) -> None:
        if self._interrupted:
            send(signal.SIGTERM)
            send(signal.SIGINT)
        self.removed += 1
        if self._failure is not None:
            raise self._failure


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def owned(engine: Removing, interrupts: Interrupts) -> Owned:
    return Owned(cast(Engine, engine), interrupts)


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupts__a_signal_ends_the_run_with_the_shells_status(
    interrupts: Interrupts, number: signal.Signals
) -> None:
    with pytest.raises(InterruptedRunError) as caught:
        send(number)
    assert caught.value.exit_status == 128 + number


def test_interrupts__a_second_signal_is_ignored(interrupts: Interrupts) -> None:
    with pytest.raises(InterruptedRunError):
        send(signal.SIGTERM)
    send(signal.SIGINT)
    send(signal.SIGTERM)


def test_interrupts__while_held_a_signal_waits_for_the_release(interrupts: Interrupts) -> None:
    interrupts.hold()
    send(signal.SIGTERM)
    send(signal.SIGINT)
    with pytest.raises(InterruptedRunError) as caught:
        interrupts.release()
    assert caught.value.exit_status == 128 + signal.SIGTERM


def test_interrupts__release_without_a_signal_is_quiet_and_lets_the_next_one_through(interrupts: Interrupts) -> None:
    interrupts.hold()
    interrupts.release()
    with pytest.raises(InterruptedRunError):
        send(signal.SIGINT)


def test_owned__removes_at_a_good_end(interrupts: Interrupts) -> None:
    engine = Removing()
    with owned(engine, interrupts) as inside:
        assert inside is cast(Engine, engine)
        assert engine.removed == 0
    assert engine.removed == 1


@pytest.mark.parametrize("error", [StackError("django died"), KeyError("a bug"), KeyboardInterrupt(), SystemExit(1)])
def test_owned__removes_after_whatever_failed_and_lets_it_through(interrupts: Interrupts, error: BaseException) -> None:
    engine = Removing()
    with pytest.raises(type(error)) as caught, owned(engine, interrupts):
        raise error
    assert caught.value is error
    assert engine.removed == 1


def test_owned__a_failure_to_remove_never_hides_the_first_error(interrupts: Interrupts) -> None:
    engine = Removing(StackError("a network is left"))
    first = StackError("django died")
    with pytest.raises(StackError) as caught, owned(engine, interrupts):
        raise first
    assert caught.value is first
    assert caught.value.__notes__ == ["cleaning up failed as well: a network is left"]


def test_owned__a_failure_to_remove_is_told_where_there_is_no_other(interrupts: Interrupts) -> None:
    with (
        pytest.raises(StackError, match="a network is left"),
        owned(Removing(StackError("a network is left")), interrupts),
    ):
        pass


def test_owned__a_signal_ends_the_block_and_everything_is_removed(interrupts: Interrupts) -> None:
    engine = Removing()
    with pytest.raises(InterruptedRunError) as caught, owned(engine, interrupts):
        send(signal.SIGTERM)
    assert caught.value.exit_status == 143
    assert engine.removed == 1


def test_owned__a_signal_does_not_cut_the_removal_short(interrupts: Interrupts) -> None:
    engine = Removing(interrupted=True)
    with pytest.raises(InterruptedRunError) as caught, owned(engine, interrupts):
        pass
    assert caught.value.exit_status == 143
    assert engine.removed == 1


def test_owned__a_signal_during_removal_does_not_hide_the_first_error(interrupts: Interrupts) -> None:
    engine = Removing(interrupted=True)
    with pytest.raises(StackError, match="django died"), owned(engine, interrupts):
        raise StackError("django died")
    assert engine.removed == 1


def test_owned__ctrl_c_twice_is_as_good_as_once(interrupts: Interrupts) -> None:
    engine = Removing(interrupted=True)
    with pytest.raises(InterruptedRunError) as caught, owned(engine, interrupts):
        send(signal.SIGINT)
    assert caught.value.exit_status == 130
    assert engine.removed == 1
