"""The output folder."""

import json
from pathlib import Path

import pytest
from tests.unit.factories import make_result, make_trial

from bench_action.model.errors import InputError
from bench_action.model.result import Result, Trial
from bench_action.store import Store

pytestmark = pytest.mark.unit


def test_store__makes_its_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    Store(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_store__refuses_a_folder_that_cannot_be_written_to(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to the output folder") as caught:
        Store(tmp_path / name)
    assert caught.value.advice == "--output DIR"


def test_store__keeps_an_earlier_run_until_this_one_begins_to_measure(tmp_path: Path) -> None:
    Store(tmp_path).write(make_result())
    (tmp_path / "notes.txt").touch()
    (tmp_path / "trials.jsonl").touch()
    store = Store(tmp_path)
    assert (tmp_path / "result.json").is_file()
    store.begin()
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    store.begin()


def test_store__appends_each_trial_as_a_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trials = [make_trial(block=block) for block in range(3)]
    for number, trial in enumerate(trials, start=1):
        store.append(trial)
        assert (tmp_path / "trials.jsonl").read_text(encoding="utf-8").count("\n") == number
    lines = (tmp_path / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Trial.model_validate_json(line) for line in lines] == trials


def test_store__writes_result_report_and_charts(tmp_path: Path) -> None:
    result = make_result()
    Store(tmp_path).write(result)
    assert {file.name for file in tmp_path.iterdir()} == {
        "result.json", "report.md", "report.html", "requests-per-second-article-500.svg"
    }  # fmt: skip
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert Result.model_validate_json(text) == result
    assert next(iter(json.loads(text))) == "schema_version"
    assert "requests-per-second-article-500.svg" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_store__a_run_without_valid_trials_has_no_chart(tmp_path: Path) -> None:
    Store(tmp_path).write(make_result([]))
    assert {file.name for file in tmp_path.iterdir()} == {"result.json", "report.md", "report.html"}


def test_store__a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_result())
    before = (tmp_path / "result.json").stat().st_ino
    with (tmp_path / "result.json").open(encoding="utf-8") as reader:
        store.write(make_result([]))
        assert Result.model_validate_json(reader.read()) == make_result()
    assert (tmp_path / "result.json").stat().st_ino != before
