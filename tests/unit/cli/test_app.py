"""The command line, run in this process; what needs containers is tested elsewhere."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.runner import RunnerLog
from tests.unit.factories import make_compared, make_comparison, make_count, make_result

from bench_action import __version__
from bench_action.action.step import Action
from bench_action.cli import app as cli
from bench_action.config.options import Options
from bench_action.model.errors import (
    BenchError,
    InterruptedRunError,
    InvalidMeasurementError,
    RegressionError,
    StackError,
)
from bench_action.model.result import NotCompared, Result
from bench_action.pipeline import Outcome, Ports

pytestmark = pytest.mark.unit

Command = Callable[..., int]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs `bench-action` with arguments, and returns its exit status. Signal handlers are restored afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["bench-action", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The result file of a run."""
    path = tmp_path / "result.json"
    path.write_text(make_result().model_dump_json(), encoding="utf-8")
    return path


Captured = pytest.CaptureFixture[str]


def test_main__help_names_every_command(command: Command, capsys: Captured) -> None:
    assert command("--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("run", "report", "schema"))


def test_main__prints_its_version(command: Command, capsys: Captured) -> None:
    assert command("--version") == 0
    assert capsys.readouterr().out == f"bench-action {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--nope"], ["run", "--nope"], ["dance"], ["run", "--seed", "x"], ["report"], ["run", "--engine", "moon"]],
)
def test_main__invalid_arguments_are_bad_input(command: Command, capsys: Captured, arguments: list[str]) -> None:
    assert command(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_schema__is_json_schema(command: Command, capsys: Captured) -> None:
    assert command("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["variants"]
    assert command("schema", "--result") == 0
    assert "schema_version" in json.loads(capsys.readouterr().out)["properties"]


@pytest.mark.parametrize("preset", ["quick", "article"])
def test_run__a_configuration_that_cannot_be_read(
    command: Command, capsys: Captured, tmp_path: Path, preset: str
) -> None:
    assert command("run", str(tmp_path / "none.yml"), "--preset", preset, "--output", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "error: could not read the configuration" in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "slow"], "unknown preset: 'slow'"),
        (["--variant", "flask"], "unknown variant: flask"),
        (["--profile", "slow"], "unknown profile: slow"),
    ],
)
def test_run__names_that_do_not_exist(
    command: Command, capsys: Captured, tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert command("run", *arguments, "--output", str(tmp_path / "out")) == 2
    assert message in capsys.readouterr().err


def test_report__in_the_terminal(command: Command, capsys: Captured, stored: Path) -> None:
    assert command("report", str(stored)) == 0
    assert "aiohttp serves 5" in capsys.readouterr().out


def test_report__as_markdown(command: Command, capsys: Captured, stored: Path) -> None:
    assert command("report", str(stored), "--format", "markdown") == 0
    assert capsys.readouterr().out.startswith("# bench-action: ")


def test_report__as_json_is_the_result_again(command: Command, capsys: Captured, stored: Path) -> None:
    assert command("report", str(stored), "--format", "json") == 0
    assert Result.model_validate_json(capsys.readouterr().out) == make_result()


@pytest.mark.parametrize("form", ["terminal", "markdown", "json"])
def test_report__into_a_file(command: Command, capsys: Captured, stored: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / "report"
    assert command("report", str(stored), "--format", form, "--output", str(target)) == 0
    assert capsys.readouterr().out == ""
    assert "aiohttp" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema_version": 2}', '{"schema_version": 1}', make_result().model_dump_json()[:-100]],
)
def test_report__of_a_damaged_result(command: Command, capsys: Captured, tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    assert command("report", str(path)) == 2
    error = capsys.readouterr().err
    assert "is not a result of bench-action" in error
    assert "Traceback" not in error


def test_report__of_nothing(command: Command, capsys: Captured, tmp_path: Path) -> None:
    assert command("report", str(tmp_path / "none.json")) == 2
    assert "cannot read" in capsys.readouterr().err


def test_report__of_a_file_that_is_not_text(command: Command, capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(b"\xff\xfe")
    assert command("report", str(path)) == 2


def test_report__into_a_folder_that_does_not_exist(command: Command, stored: Path, tmp_path: Path) -> None:
    for form in ("terminal", "markdown"):
        target = str(tmp_path / "gone" / "report")
        assert command("report", str(stored), "--format", form, "--output", target) == 2


def failing(error: BaseException) -> Callable[..., None]:
    def app(**_: object) -> None:
        raise error

    return app


def test_main__prints_an_error_of_ours_and_exits_with_its_status(
    command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = StackError("django died", where="loading", cause="memory", advice="more of it", log=["[red]last[/red]"])
    error.add_note("cleaning up failed as well: x")
    monkeypatch.setattr(cli, "app", failing(error))
    assert command() == 3
    assert capsys.readouterr().err == (
        "error: django died\n  where:  loading\n  likely: memory\n  try:    more of it\n  last lines of its log:\n"
        "  | [red]last[/red]\ncleaning up failed as well: x\n"
    )


def test_main__an_interrupted_run_exits_with_the_status_of_its_signal(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "app", failing(InterruptedRunError(signal.SIGTERM)))
    assert command() == 143


def test_main__names_the_signal_that_a_library_has_turned_into_another_error(
    command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        except Exception as error:
            raise StackError(f"no engine answers: {error}") from error

    monkeypatch.setattr(cli, "app", connect)
    assert command() == 128 + signal.SIGTERM
    assert "interrupted by SIGTERM" in capsys.readouterr().err


def test_main__a_bug_is_reported_as_one(command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", failing(KeyError("oops")))
    assert command() == 70
    error = capsys.readouterr().err
    assert "KeyError: 'oops'" in error
    assert "This is a bug in bench-action" in error


_ESCAPES = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31mred\u202e"


def test_errors_and_stored_results__do_not_reach_the_terminal_as_commands(
    command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    log = (f"log {_ESCAPES}",)
    failed = NotCompared(cell="web · list", status="base-failed", reason=f"it exited {_ESCAPES}", log=log)
    path.write_text(make_result(not_compared=(failed,)).model_dump_json(), encoding="utf-8")
    assert command("report", str(path)) == 0
    for error in (StackError("x", cause=_ESCAPES, log=log), ValueError(_ESCAPES)):
        monkeypatch.setattr(cli, "app", failing(error))
        command()
    printed = "".join(capsys.readouterr())
    assert printed.count("red") >= 3
    assert {"\x1b", "\x9b", "\x07", "\u202e"}.isdisjoint(printed)


def test_text_that_is_not_unicode__is_printed_escaped(tmp_path: Path) -> None:
    code = "from bench_action.cli import app; app.app = lambda **_: 1 / 0 if False else print('a\\ud800'); app.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\\ud800\n", "")


def test_run__hides_allowed_secrets_in_all_that_it_prints(
    command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    value = "sk_test_4eC39HqLyjWDarjtT1"

    def run(options: Options, ports: Ports) -> Outcome:
        assert options.secrets.values == {"KEY": value, "OTHER_KEY": "another value"}
        ports.progress.step(f"step {value}")
        ports.progress.warn(f"warning {value}")
        raise (StackError if ports.environ["FAILS"] == "error" else ValueError)(f"the end: {value}, another value")

    monkeypatch.setattr(cli, "run_pipeline", run)
    monkeypatch.setenv("KEY", value)
    monkeypatch.setenv("OTHER_KEY", "another value")
    for fails in ("error", "bug"):
        monkeypatch.setenv("FAILS", fails)
        assert command("run", "--secrets", "KEY,OTHER_KEY") == {"error": 3, "bug": 70}[fails]
        printed = "".join(capsys.readouterr())
        assert value not in printed
        assert "the end: ***, ***" in printed
        assert "step ***" in printed
        assert "warning ***" in printed


def test_run__refuses_to_allow_what_the_runner_logs_in_with(command: Command, capsys: Captured) -> None:
    assert command("run", "--secrets", "ACTIONS_RUNTIME_TOKEN") == 2
    assert "no configuration may read ACTIONS_RUNTIME_TOKEN" in capsys.readouterr().err


_HOSTILE = (
    "::set-output name=verdict::unchanged",
    "  ::add-mask::e",
    "step 3/4 ##[add-matcher].github/evil.json",
    "##[set-output name=comment-url]https://example.org",
)
_JOB = {"GITHUB_REPOSITORY": "org/shop", "GITHUB_EVENT_NAME": "push"}


def hostile_end(kind: str) -> BaseException:
    """Make an exception that ends a step, with somebody else's commands in every part of its message."""
    if kind == "bug":
        return ValueError("\n".join(_HOSTILE))
    if kind == "cancelled":
        error: BenchError = InterruptedRunError(signal.SIGINT)
    else:
        error = StackError(
            _HOSTILE[0], where=_HOSTILE[2], cause="\n".join(_HOSTILE), advice="\n".join(_HOSTILE), log=_HOSTILE
        )
    error.add_note("\n".join(_HOSTILE))
    return error


@pytest.mark.parametrize("kind", ["error", "bug", "cancelled", "success"])
@pytest.mark.parametrize("ours", [("action",), ("publish", "folder"), ("action", "--sweep")])
def test_step__obeys_only_its_own_commands_however_it_ends(
    command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch, kind: str, ours: tuple[str, ...]
) -> None:
    def end(step: Action, *_: object) -> tuple[None, None]:
        print(*_HOSTILE, sep="\n")
        print(*_HOSTILE, sep="\n", file=sys.stderr)
        step.commands.annotate("notice", "ours", "text")
        print(*_HOSTILE, sep="\n", file=sys.stderr)
        if kind == "success":
            return None, None
        raise hostile_end(kind)

    for method in ("execute", "publish", "sweep"):
        monkeypatch.setattr(Action, method, end)
    for name, text in _JOB.items():
        monkeypatch.setenv(name, text)
    assert command(*ours) in {0, 3, 70, 130}
    printed = capsys.readouterr()
    assert all(line in printed.out for line in _HOSTILE)
    assert printed.err == "", "the runner reads two streams in parallel: there must be only one"
    assert RunnerLog().read(printed.out).obeyed == ["::notice title=ours::text"]


@pytest.mark.parametrize("event", ["missing", "directory"])
def test_step__that_ends_before_it_begins_obeys_nothing(
    command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, event: str
) -> None:
    folder = tmp_path / "\n##[set-output name=verdict]unchanged"
    folder.mkdir()
    monkeypatch.setenv("GITHUB_REPOSITORY", "org/shop")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(folder if event == "directory" else folder / "none"))
    assert command("action") == 2
    printed = capsys.readouterr()
    assert "set-output" in printed.out
    assert RunnerLog().read(printed.out + printed.err).obeyed == []


@pytest.mark.parametrize("script", ["entrypoint.sh", "post-entrypoint.sh"])
def test_step__prints_on_one_stream_with_all_its_programs(tmp_path: Path, script: str) -> None:
    """Also a program that it starts, and the interpreter itself after the last line."""
    (tmp_path / "bench-action").write_text("#!/bin/sh\necho out\necho err >&2\n", encoding="ascii")
    (tmp_path / "bench-action").chmod(0o755)
    path = Path(__file__).parents[3] / script
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", str(path)], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\nerr\n", "")


def test_command__outside_of_a_step_sends_no_runner_commands(
    command: Command, capsys: Captured, tmp_path: Path
) -> None:
    assert command("report", str(tmp_path / "none.json")) == 2
    assert "stop-commands" not in "".join(capsys.readouterr())


def test_command__whose_output_a_full_disk_does_not_take_keeps_its_status(tmp_path: Path) -> None:
    """A closed stream, or one on a full disk, makes Python exit with 120, and our message with a traceback."""
    absent = str(tmp_path / "none.json")
    for arguments, status in ((["schema"], 3), (["report", absent], 2)):
        with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
            done = subprocess.run(
                [sys.executable, "-m", "bench_action", *arguments], stdout=full, stderr=full, check=False
            )
        assert done.returncode == status, arguments
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "bench_action", "schema"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert b"this machine has run out of" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("moment", ["_print_error", "conclude"])
def test_command__that_is_interrupted_while_it_ends_exits_by_the_signal(
    command: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch, stored: Path, moment: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError

    monkeypatch.setattr(cli, moment, interrupt)
    monkeypatch.setattr(cli, "_measure", lambda *_: Outcome(make_result(), ()))
    assert command("run", "--preset", "quick") == 143 if moment == "conclude" else command("report", "none") == 143
    assert "Traceback" not in capsys.readouterr().err


def test_start__imports_nothing_that_only_some_runs_need() -> None:
    late = {"docker", "gidgethub", "plotly", "requests"}
    code = f"import sys, bench_action.cli.app; print(sorted({late} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


_SIGNAL_WHILE_IMPORTING = """
import os, signal, sys, types
class Late(types.ModuleType):
    def __getattr__(self, name):
        os.kill(os.getpid(), signal.SIGINT)
sys.modules["bench_action.cli.app"] = Late("late")
from bench_action.__main__ import main
main()
"""


def test_start__a_signal_before_anything_was_made_ends_it_quietly() -> None:
    code = _SIGNAL_WHILE_IMPORTING
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


NEW = NotCompared(cell="web · list", status="new", reason="base `1a2b3c4` has no `bench.yml`")


@pytest.mark.parametrize("fail_on", list(cli.FailOn))
def test_raise_verdict__nothing_compared_is_a_failure_only_if_a_comparison_is_required(fail_on: cli.FailOn) -> None:
    nothing = Outcome(make_result(not_compared=(NEW,), verdict="measured"), ())
    cli.raise_verdict(nothing, fail_on)
    with pytest.raises(InvalidMeasurementError, match="no cell was compared") as caught:
        cli.raise_verdict(nothing, fail_on, require_comparison=True)
    assert (caught.value.exit_status, caught.value.where, caught.value.cause) == (5, NEW.cell, NEW.reason)


def test_raise_verdict__one_compared_cell_is_a_comparison_if_it_has_enough_blocks() -> None:
    def compare(blocks: int) -> Outcome:
        found = make_comparison(blocks=blocks, reason="" if blocks > 3 else "restarting took 13 s")
        some = make_result(comparisons=(found,), compared=("web · item",), not_compared=(NEW,), verdict="unchanged")
        return Outcome(some, ())

    cli.raise_verdict(compare(4), cli.FailOn.REGRESSION, require_comparison=True)
    cli.raise_verdict(compare(1), cli.FailOn.REGRESSION)
    with pytest.raises(InvalidMeasurementError, match="under load in 4 blocks or more") as caught:
        cli.raise_verdict(compare(1), cli.FailOn.REGRESSION, require_comparison=True)
    assert caught.value.cause == "restarting took 13 s"


def test_raise_verdict__a_regression_comes_first() -> None:
    lost = Outcome(make_compared([make_count(queries=20), make_count(revision="base")], compared=()), ())
    with pytest.raises(RegressionError):
        cli.raise_verdict(lost, cli.FailOn.REGRESSION, require_comparison=True)


def test_raise_verdict__a_self_test_that_compares_nothing_fails() -> None:
    run = make_result().run.model_copy(update={"self_test": True})
    with pytest.raises(InvalidMeasurementError, match="no cell was compared, so the self-test shows nothing"):
        cli.raise_verdict(Outcome(make_result(run=run, not_compared=(NEW,), verdict="measured"), ()), cli.FailOn.NEVER)
