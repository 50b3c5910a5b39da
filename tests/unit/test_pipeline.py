"""What brings a run's stack up."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.quiet import Quiet
from tests.unit.factories import make_result

from bench_action import pipeline
from bench_action.config.baseline import Lack
from bench_action.config.options import Options
from bench_action.engine.protocol import Engine
from bench_action.git.revisions import Revisions
from bench_action.model.errors import BenchError, InputError, InterruptedRunError, StackError
from bench_action.model.machine import Condition
from bench_action.model.result import Result
from bench_action.pipeline import Ports, add_notes
from bench_action.report.folder import OutputFolder
from bench_action.stack.memory import Room

pytestmark = pytest.mark.unit

ROOM = Room(2, Condition("memory of the slots", "ok", ""))


def bring_up(monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[str]:
    """Bring up a stack without a base subject; return the warnings."""
    warned: list[str] = []
    quiet = Quiet()
    monkeypatch.setattr(quiet, "warn", warned.append)
    stack = SimpleNamespace(lacks={"web": Lack("base-failed", "base could not be started: it `exited`", ("boom",))})
    monkeypatch.setattr(pipeline, "bring_up", lambda *_, **__: stack)
    ports = cast(Ports, SimpleNamespace(environ={}, progress=quiet))
    revisions = cast(Revisions, SimpleNamespace(head=None, base=None))
    pipeline._bring_up(cast(Engine, None), revisions, Options(Path("bench.yml"), **options), ports, ROOM)
    return warned


def test_bring_up__a_self_test_whose_second_side_does_not_start_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StackError, match="the second web of the self-test did not come up") as caught:
        bring_up(monkeypatch, self_test=True)
    assert caught.value.cause == "base could not be started: it exited"
    assert caught.value.log == ("boom",)


def test_bring_up__head_is_measured_without_a_base_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bring_up(monkeypatch) == ["web is measured without base: base could not be started: it exited"]


def write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BenchError, *, result_exists: bool
) -> list[BenchError]:
    """Write a result into a folder where that fails."""

    def fail(output: OutputFolder, _: Result) -> None:
        if result_exists:
            (output.folder / "result.json").touch()
        raise error

    output = OutputFolder(tmp_path)
    monkeypatch.setattr(OutputFolder, "write", fail)
    return pipeline._write(output, make_result(), Quiet())


def test_write__a_result_that_no_disk_takes_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = InputError("could not write result.json")
    assert write(tmp_path, monkeypatch, full, result_exists=False) == [full]
    regression = StackError("something graver")
    add_notes(regression, [full])
    note = regression.__notes__[-1]
    assert regression.__notes__[0] == "  also:   could not write result.json"
    assert Result.model_validate_json(note.splitlines()[-1]) == make_result()


def test_write__a_result_that_was_written_before_the_disk_was_full_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (error,) = write(tmp_path, monkeypatch, InputError("could not write report.html"), result_exists=True)
    assert not getattr(error, "__notes__", [])


def test_write__a_signal_is_not_taken_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InterruptedRunError):
        write(tmp_path, monkeypatch, InterruptedRunError(15), result_exists=False)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EROFS])
def test_run__on_a_machine_that_has_run_out_of_something_says_so(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "all gone", "/tmp/x")  # noqa: S108

    monkeypatch.setattr(pipeline, "_run", fail)
    with pytest.raises(StackError, match=r"this machine has run out of .* all gone"):
        pipeline.run(Options(None), cast(Ports, None))
