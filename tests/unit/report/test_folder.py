"""The output folder."""

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.git import git
from tests.unit.factories import make_result, make_trial

from bench_action.model.errors import InputError
from bench_action.model.result import Result, Trial
from bench_action.report.folder import OutputFolder

pytestmark = pytest.mark.unit


def test_store__makes_its_folder_which_ignores_itself(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    store = OutputFolder(tmp_path / "a" / "b")
    assert [path.name for path in store.folder.iterdir()] == [".gitignore"]
    store.write(make_result())
    (store.folder / "trend").mkdir()
    (store.folder / "trend" / "index.html").touch()
    OutputFolder(store.folder)
    assert git(tmp_path, "status", "--porcelain", "--untracked-files=all") == ""
    assert git(tmp_path, "add", "--all", "--dry-run") == ""


def test_store__in_a_folder_with_other_files_hides_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "bench.yml").touch()
    OutputFolder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bench.yml"]


@pytest.mark.parametrize("output", ["results", "results/deeper", "here/../results", "{folder}/results"])
def test_store__follows_no_link_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    checkout.mkdir()
    elsewhere.mkdir()
    (elsewhere / "result.json").write_text("theirs", encoding="utf-8")
    (checkout / "results").symlink_to(elsewhere)
    monkeypatch.chdir(checkout)
    with pytest.raises(InputError, match="is behind a link"):
        OutputFolder(Path(output.format(folder=checkout)))
    assert [path.name for path in elsewhere.iterdir()] == ["result.json"]
    assert OutputFolder(elsewhere).folder == elsewhere  # what the user names is the user's


def test_store__follows_no_link_of_the_repository_from_a_folder_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    (checkout / "apps").mkdir(parents=True)
    elsewhere.mkdir()
    git(checkout, "init", "--quiet")
    (checkout / "results").symlink_to(elsewhere)
    (tmp_path / "other-way").symlink_to(checkout)
    monkeypatch.chdir(checkout / "apps")
    for name in (Path("../results"), tmp_path / "other-way" / "results" / "deeper"):
        with pytest.raises(InputError, match="is behind a link"):
            OutputFolder(name)
    assert not list(elsewhere.iterdir())
    assert OutputFolder(tmp_path / "other-way" / "apps").folder.is_dir()  # a link that is not the repository's


def test_store__appends_to_no_link_that_came_later(tmp_path: Path) -> None:
    store, theirs = OutputFolder(tmp_path / "results"), tmp_path / "theirs"
    theirs.touch()
    store.begin()
    (tmp_path / "results" / "trials.jsonl").symlink_to(theirs)
    with pytest.raises(InputError, match=r"add a trial to trials\.jsonl"):
        store.append(make_trial())
    assert theirs.read_bytes() == b""


def test_store__writes_through_no_link_in_its_folder(tmp_path: Path) -> None:
    folder, theirs = tmp_path / "results", tmp_path / "theirs"
    folder.mkdir()
    theirs.write_text("theirs", encoding="utf-8")
    for name in ("result.json", "report.md", ".result.json.unfinished", "trials.jsonl", ".bench-action-write"):
        (folder / name).symlink_to(theirs)
    store = OutputFolder(folder)
    store.begin()
    store.append(make_trial())
    store.write(make_result())
    assert theirs.read_text(encoding="utf-8") == "theirs"
    assert (folder / "result.json").is_file()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_store__refuses_a_folder_that_cannot_be_written_to(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to the output folder") as caught:
        OutputFolder(tmp_path / name)
    assert caught.value.advice == "--output DIR"


def test_store__keeps_an_earlier_run_until_this_one_begins_to_measure(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write(make_result())
    (tmp_path / "notes.txt").touch()
    (tmp_path / "trials.jsonl").touch()
    store = OutputFolder(tmp_path)
    assert (tmp_path / "result.json").is_file()
    store.begin()
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", ".gitignore"}
    store.begin()


def test_store__appends_each_trial_as_a_line(tmp_path: Path) -> None:
    store = OutputFolder(tmp_path)
    trials = [make_trial(block=block) for block in range(3)]
    for number, trial in enumerate(trials, start=1):
        store.append(trial)
        assert (tmp_path / "trials.jsonl").read_text(encoding="utf-8").count("\n") == number
    lines = (tmp_path / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Trial.model_validate_json(line) for line in lines] == trials


def test_store__writes_result_report_and_charts(tmp_path: Path) -> None:
    result = make_result()
    OutputFolder(tmp_path).write(result)
    assert {file.name for file in tmp_path.iterdir()} == {
        ".gitignore",
        "result.json",
        "metrics.txt",
        "report.md",
        "report.html",
        "requests-per-second-article-500.svg",
    }
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert Result.model_validate_json(text) == result
    assert next(iter(json.loads(text))) == "schema_version"
    assert "requests-per-second-article-500.svg" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_store__a_run_without_valid_trials_has_no_chart(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write(make_result([]))
    assert {file.name for file in tmp_path.iterdir()} == {
        ".gitignore",
        "result.json",
        "metrics.txt",
        "report.md",
        "report.html",
    }


def test_store__a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    store = OutputFolder(tmp_path)
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
    store, trial = OutputFolder(tmp_path), make_trial()
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
    store = OutputFolder(tmp_path)
    with largest_file(size), pytest.raises(InputError, match=r"could not write report\.html") as caught:
        store.write(result)
    assert Result.model_validate_json((tmp_path / "result.json").read_text(encoding="utf-8")) == result
    assert "It holds result.json, metrics.txt, report.md now" in caught.value.cause
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".unfinished")]


def test_store__on_a_full_disk_leaves_no_half_of_a_result(tmp_path: Path) -> None:
    store = OutputFolder(tmp_path)
    store.write(make_result())
    before = (tmp_path / "result.json").read_bytes()
    with largest_file(1000), pytest.raises(InputError, match=r"could not write result\.json"):
        store.write(make_result([]))
    assert (tmp_path / "result.json").read_bytes() == before


def test_store__whose_earlier_results_cannot_be_removed_says_so(tmp_path: Path) -> None:
    store = OutputFolder(tmp_path)
    (tmp_path / "report.md").mkdir()
    with pytest.raises(InputError, match="could not remove the results of an earlier run"):
        store.begin()


def test_store__whose_folder_is_gone_complains_once(tmp_path: Path) -> None:
    store = OutputFolder(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(InputError, match=r"add a trial to trials\.jsonl"):
        store.append(make_trial())
    store.append(make_trial())
