"""What is published of a result, and what is accepted of another job's."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.factories import make_comparison, make_result, warn

from bench_action.github.commands import Commands
from bench_action.model.errors import InputError, PublishError, StackError
from bench_action.model.warning import Code
from bench_action.publish.result import Publisher, list_annotations, make_outputs, read_foreign_result
from bench_action.report.comment import Links

pytestmark = pytest.mark.unit


def stored(folder: Path, **changes: Any) -> Path:
    found = json.loads(make_result().model_dump_json()) | changes
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")
    return folder


def test_make_outputs__returns_strings_and_json() -> None:
    lost = make_comparison(verdict="regressed", gate=0.01, level="fail", ratio=0.9, smallest_detectable=0.012)
    found = make_outputs(make_result(comparisons=(lost,), verdict="regressed"), Path("bench-results"))
    assert found["verdict"] == "regressed"
    assert json.loads(found["regressions"])[0]["metric"] == lost.metric
    assert found["smallest-detectable"] == "0.0120"
    assert json.loads(found["requests-per-second"])["aiohttp · article-500"] > 0


def test_list_annotations__begins_with_regressions_and_names_each_warning_once() -> None:
    lost = make_comparison(verdict="regressed", gate=0.01, level="fail", ratio=0.9)
    warnings = (warn(Code.STEAL), warn(Code.STEAL), warn(Code.CONNECT_ERRORS))
    found = list_annotations(make_result(comparisons=(lost,), warnings=warnings))
    assert [level for level, _, _ in found] == ["error", "error", "warning"]
    assert "1 more like this" in found[2][2]


def test_list_annotations__warns_of_a_loss_that_no_gate_forbids() -> None:
    lost = make_comparison(verdict="measured", gate=None, level=None)
    (found,) = list_annotations(make_result(comparisons=(lost,), warnings=()))
    assert found == ("warning", "aiohttp · article-500", "aiohttp is 10 % slower on article-500")


def test_make_outputs__names_no_files_that_are_not_kept() -> None:
    found = make_outputs(make_result(), None)
    assert (found["result"], found["report"]) == ("", "")


def test_publisher__without_a_pull_request_writes_summary_and_outputs(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_OUTPUT": str(tmp_path / "output")}
    Publisher(Commands(io.StringIO(), environ), Links()).publish(make_result(), Path("out"))
    assert "bench-action" in (tmp_path / "summary").read_text(encoding="utf-8")
    assert "verdict<<" in (tmp_path / "output").read_text(encoding="utf-8")


def test_publisher__whose_summary_cannot_be_written_publishes_the_rest(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path), "GITHUB_OUTPUT": str(tmp_path / "output")}
    with pytest.raises(PublishError, match="GITHUB_STEP_SUMMARY"):
        Publisher(Commands(io.StringIO(), environ), Links()).publish(make_result(), Path("out"))
    assert "verdict<<" in (tmp_path / "output").read_text(encoding="utf-8")


def test_publisher__shows_a_failure_with_its_log(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    stream = io.StringIO()
    error = StackError("aiohttp did not start", cause="exit status 1", log=["```", "Traceback", "::error::x"])
    Publisher(Commands(stream, environ), Links()).publish_failure(error)
    text = (tmp_path / "summary").read_text(encoding="utf-8")
    assert "could not measure: aiohttp did not start" in text
    assert "\n````text\n" in text
    assert stream.getvalue().count("\n::") == 0


def test_read_foreign_result__reads_a_valid_one(tmp_path: Path) -> None:
    assert read_foreign_result(stored(tmp_path)).run.seed == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema_version": 1}',
        "[" * 100_000,
        '{"a": NaN}',
        '{"verdict": Infinity}',
        "\\ud800",
    ],
)
def test_read_foreign_result__refuses_what_is_not_a_result(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read_foreign_result(tmp_path)


def test_read_foreign_result__refuses_a_link_and_a_large_file(tmp_path: Path) -> None:
    (tmp_path / "result.json").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is not a regular file, or has over"):
        read_foreign_result(tmp_path)
    (tmp_path / "result.json").unlink()
    with (tmp_path / "result.json").open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    with pytest.raises(InputError, match="is not a regular file, or has over"):
        read_foreign_result(tmp_path)
    with pytest.raises(InputError, match="could not read"):
        read_foreign_result(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["surplus", "verdict"])
def test_read_foreign_result__refuses_another_schema(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_foreign_result(stored(tmp_path, **{name: "green"}))


def test_read_foreign_result__removes_what_would_end_its_markup(tmp_path: Path) -> None:
    hostile = warn(Code.STEAL, message="`@octocat\u202e\x00" + "x" * 9000).model_dump(mode="json")
    found = read_foreign_result(stored(tmp_path, warnings=[hostile | {"advice": "see https://evil.example"}]))
    assert "`" not in found.warnings[0].message
    assert "\u202e" not in found.warnings[0].message
    assert len(found.warnings[0].message) == 4000
    assert found.warnings[0].advice == Code.STEAL.advice
