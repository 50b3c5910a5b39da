"""The output folder."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk, no file of this process grows beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_store__on_a_full_disk_keeps_whole_lines_and_complains_once(tmp_path: Path) -> None:
    store, trial = Store(tmp_path), make_trial()
    store.append(trial)
    line = (tmp_path / "trials.jsonl").read_bytes()
    with largest_file(2 * len(line) + len(line) // 2):
        store.append(trial)
        with pytest.raises(InputError, match=r"add a trial to trials\.jsonl") as caught:
            store.append(trial)
        store.append(trial)
    store.append(trial)  # there is room again, and what is missing stays so: no reader may take it for complete
    assert (tmp_path / "trials.jsonl").read_bytes() == 2 * line
    assert "too large" in caught.value.what
    assert "--output DIR" in caught.value.advice


def test_store__on_a_full_disk_writes_the_result_before_the_page(tmp_path: Path) -> None:
    result = make_result()
    size = len(result.model_dump_json(indent=2)) + 10
    store = Store(tmp_path)
    with largest_file(size), pytest.raises(InputError, match=r"could not write report\.html") as caught:
        store.write(result)
    assert Result.model_validate_json((tmp_path / "result.json").read_text(encoding="utf-8")) == result
    assert "It holds result.json, report.md now" in caught.value.cause
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".unfinished")]


def test_store__on_a_full_disk_leaves_no_half_of_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_result())
    before = (tmp_path / "result.json").read_bytes()
    with largest_file(1000), pytest.raises(InputError, match=r"could not write result\.json"):
        store.write(make_result([]))
    assert (tmp_path / "result.json").read_bytes() == before


def test_store__whose_earlier_results_cannot_be_removed_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "report.md").mkdir()
    with pytest.raises(InputError, match="could not remove the results of an earlier run"):
        store.begin()
