"""Signals and cleanup, with real signals."""

import asyncio
import importlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Condition, Event, Lock, Timer
from typing import Any, cast

import pytest

from bench_action.cli.interrupts import SignalInterrupts
from bench_action.engine.protocol import Engine
from bench_action.model.errors import BenchError, InterruptedRunError, StackError
from bench_action.stack.cleanup import cleaned_up
from bench_action.stack.parallel import run_in_parallel

pytestmark = pytest.mark.unit

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
WAIT_S = 30.0


@pytest.fixture
def interrupts() -> Iterator[SignalInterrupts]:
    """Installed handlers; the earlier ones are restored afterwards."""
    before = {number: signal.getsignal(number) for number in [*SIGNALS, signal.SIGALRM]}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under `nohup`
    installed = SignalInterrupts()
    installed.install()
    yield installed
    for number, handler in before.items():
        signal.signal(number, handler)


class RemovableEngine:
    """An engine that can only be cleaned up."""

    def __init__(self, failure: Exception | None = None, *, interrupted: bool = False) -> None:
        self.removed = 0
        self.kept: list[str] = []
        self.warnings: list[str] = []
        self._failure = failure
        self._interrupted = interrupted

    def remove(self) -> list[str]:
        if self._interrupted:
            send(signal.SIGTERM)
            send(signal.SIGINT)
        self.removed += 1
        if self._failure is not None:
            raise self._failure
        return self.kept


class SendingLock:
    """A lock that sends a signal whenever it has been released."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.acquire = self.lock.acquire

    def release(self) -> None:
        self.lock.release()
        send(signal.SIGINT)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def clean(engine: RemovableEngine, interrupts: SignalInterrupts) -> AbstractContextManager[Engine]:
    return cleaned_up(cast(Engine, engine), interrupts, engine.warnings.append)


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupts__a_signal_ends_the_run_with_the_status_of_a_shell(
    interrupts: SignalInterrupts, number: signal.Signals
) -> None:
    with pytest.raises(InterruptedRunError) as caught:
        send(number)
    assert caught.value.exit_status == 128 + number


def test_interrupts__a_second_signal_is_ignored(interrupts: SignalInterrupts) -> None:
    with pytest.raises(InterruptedRunError):
        send(signal.SIGTERM)
    send(signal.SIGINT)
    send(signal.SIGTERM)


def test_interrupts__while_held_a_signal_waits_for_the_release(interrupts: SignalInterrupts) -> None:
    interrupts.hold()
    send(signal.SIGTERM)
    send(signal.SIGINT)
    with pytest.raises(InterruptedRunError) as caught:
        interrupts.release()
    assert caught.value.exit_status == 128 + signal.SIGTERM


def test_interrupts__release_without_a_signal_is_quiet_and_lets_the_next_one_through(
    interrupts: SignalInterrupts,
) -> None:
    interrupts.hold()
    interrupts.release()
    with pytest.raises(InterruptedRunError):
        send(signal.SIGINT)


def then_wait(action: Callable[[], object]) -> None:
    """Act, then wait for an exception that is raised soon afterwards."""
    action()
    time.sleep(WAIT_S)


def test_interrupts__wait_until_a_lock_of_threading_is_released(interrupts: SignalInterrupts) -> None:
    lock = SendingLock()

    def act() -> None:
        condition = Condition(cast(Any, lock))
        with condition:
            condition.wait(0.001)  # releases the lock, which sends the signal, and takes it again

    with pytest.raises(InterruptedRunError):
        then_wait(act)
    assert not lock.lock.locked()


def test_interrupts__are_not_lost_in_a_finalizer(interrupts: SignalInterrupts) -> None:
    class WithFinalizer:
        def __del__(self) -> None:
            send(signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        then_wait(WithFinalizer)


@pytest.mark.parametrize("place", ["callback", "task", "exception handler"])
def test_interrupts__are_not_lost_in_an_event_loop(interrupts: SignalInterrupts, place: str) -> None:
    """asyncio reports what a callback raises, and goes on."""

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        if place == "task":
            send(signal.SIGTERM)
        elif place == "callback":
            loop.call_soon(send, signal.SIGTERM)
        else:
            loop.set_exception_handler(lambda *_: send(signal.SIGTERM))
            loop.call_soon(lambda: 1 // 0)
        await asyncio.sleep(WAIT_S)

    with pytest.raises(InterruptedRunError) as caught:
        asyncio.run(wait())
    assert caught.value.exit_status == 143


def test_interrupts__never_interrupt_an_import(interrupts: SignalInterrupts, tmp_path: Path) -> None:
    module = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(1000): pass\nwhole = True\n"
    (tmp_path / "interrupted_once.py").write_text(module, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        with pytest.raises(InterruptedRunError):
            then_wait(lambda: importlib.import_module("interrupted_once"))
    assert sys.modules.pop("interrupted_once").whole


def test_interrupts__do_not_wait_for_what_runs_in_parallel(interrupts: SignalInterrupts) -> None:
    """Seeding may take minutes, and a cancelled job is killed after ten seconds."""
    cleaned_up, ended = Event(), list[int]()

    def act(number: int) -> None:
        if number == 7:  # then all eight threads work
            send(signal.SIGTERM)
        ended.append(number if cleaned_up.wait(WAIT_S) else -1)

    with pytest.raises(InterruptedRunError):
        run_in_parallel(act, range(20))
    assert ended == []
    cleaned_up.set()
    wait_until(lambda: len(ended) == 8)
    assert sorted(ended) == [*range(8)]  # what had not begun never does


def test_interrupts__at_any_time_leave_no_thread_behind(interrupts: SignalInterrupts) -> None:
    dice = random.Random(7)
    for _ in range(100):
        begun, ended = interrupted_after(dice.uniform(0.001, 0.006))
        wait_until(lambda begun=begun, ended=ended: sorted(begun) == sorted(ended))  # type: ignore[misc]


def interrupted_after(delay_s: float) -> tuple[list[int], list[int]]:
    """Interrupt threads after a delay, and return what they have begun and what they have ended."""
    interrupts, begun, ended = SignalInterrupts(), list[int](), list[int]()

    def act(number: int) -> None:
        begun.append(number)
        ended.append(number)

    def work() -> None:
        sender.start()
        while True:
            run_in_parallel(act, range(8))
            time.sleep(0.001)

    sender = Timer(delay_s, send, [signal.SIGINT])
    interrupts.install()
    with pytest.raises(InterruptedRunError):
        work()
    sender.join()
    return begun, ended


def test_cleaned_up__removes_after_success(interrupts: SignalInterrupts) -> None:
    engine = RemovableEngine()
    with clean(engine, interrupts) as inside:
        assert inside is cast(Engine, engine)
        assert engine.removed == 0
    assert engine.removed == 1


@pytest.mark.parametrize("error", [StackError("django died"), KeyError("a bug"), KeyboardInterrupt(), SystemExit(1)])
def test_cleaned_up__removes_after_any_failure_and_passes_it_on(
    interrupts: SignalInterrupts, error: BaseException
) -> None:
    engine = RemovableEngine()
    with pytest.raises(type(error)) as caught, clean(engine, interrupts):
        raise error
    assert caught.value is error
    assert engine.removed == 1


def test_cleaned_up__a_failure_to_remove_never_hides_the_first_error(interrupts: SignalInterrupts) -> None:
    engine = RemovableEngine(StackError("a network is left"))
    first = StackError("django died")
    with pytest.raises(StackError) as caught, clean(engine, interrupts):
        raise first
    assert caught.value is first
    assert caught.value.__notes__ == ["cleaning up failed as well: a network is left"]


def test_cleaned_up__a_failure_to_remove_is_raised_if_there_is_no_other(interrupts: SignalInterrupts) -> None:
    with (
        pytest.raises(StackError, match="a network is left"),
        clean(RemovableEngine(StackError("a network is left")), interrupts),
    ):
        pass


def test_cleaned_up__a_failure_to_remove_leaves_what_was_measured(interrupts: SignalInterrupts) -> None:
    failure, failures = StackError("a network is left"), list[BenchError]()
    engine = cast(Engine, RemovableEngine(failure))
    with cleaned_up(engine, interrupts, print, failures.append):
        pass
    assert failures == [failure]


def test_install__leaves_a_signal_ignored_that_nohup_ignores() -> None:
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        SignalInterrupts().install()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_cleaned_up__a_signal_ends_the_block_and_everything_is_removed(interrupts: SignalInterrupts) -> None:
    engine = RemovableEngine()
    with pytest.raises(InterruptedRunError) as caught, clean(engine, interrupts):
        send(signal.SIGTERM)
    assert caught.value.exit_status == 143
    assert engine.removed == 1


def test_cleaned_up__a_signal_does_not_cut_the_removal_short(interrupts: SignalInterrupts) -> None:
    engine = RemovableEngine(interrupted=True)
    with pytest.raises(InterruptedRunError) as caught, clean(engine, interrupts):
        pass
    assert caught.value.exit_status == 143
    assert engine.removed == 1


def test_cleaned_up__a_signal_during_removal_does_not_hide_the_first_error(interrupts: SignalInterrupts) -> None:
    engine = RemovableEngine(interrupted=True)
    with pytest.raises(StackError, match="django died"), clean(engine, interrupts):
        raise StackError("django died")
    assert engine.removed == 1


def test_cleaned_up__ctrl_c_twice_is_the_same_as_once(interrupts: SignalInterrupts) -> None:
    engine = RemovableEngine(interrupted=True)
    with pytest.raises(InterruptedRunError) as caught, clean(engine, interrupts):
        send(signal.SIGINT)
    assert caught.value.exit_status == 130
    assert engine.removed == 1


def test_cleaned_up__warns_of_what_the_engine_keeps(interrupts: SignalInterrupts) -> None:
    engine = RemovableEngine()
    engine.kept = ["bench-action-1-a"]
    with clean(engine, interrupts):
        assert not engine.warnings
    (warning,) = engine.warnings
    assert warning.startswith("could not remove bench-action-1-a")
