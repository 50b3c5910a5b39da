"""Explaining how a part exited, with the limit that it had reached."""

from dataclasses import replace

import pytest

from bench_action.engine.protocol import Exit, Handle
from bench_action.stack.exits import lacks_space, make_exit_error

pytestmark = pytest.mark.unit

TINY = Handle("1", "tiny", "subject", "tiny", 8000, memory_limit=1288490189, process_limit=4096)
LOCAL = Handle("1", "tiny", "subject", "tiny", 8000)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (Exit(TINY, 137, True), "tiny ran out of memory and was killed (limit 1.2 GiB)"),
        (Exit(LOCAL, 137, True), "tiny ran out of memory and was killed"),
        (
            Exit(TINY, 3, True),
            "tiny exited with status 3, after processes of it ran out of memory and were killed (limit",
        ),
        (Exit(TINY, 137, False), "tiny exited with status 137"),
    ],
)
def test_make_exit_error__a_lack_of_memory_is_named_with_its_limit(end: Exit, text: str) -> None:
    error = make_exit_error(end, ["its log"])
    assert error.what.startswith(text)
    assert ("fewer workers" in error.advice) == end.out_of_memory


@pytest.mark.parametrize(
    "log",
    [
        ["    os.fork()", "BlockingIOError: [Errno 11] Resource temporarily unavailable"],
        ["RuntimeError: can't start new thread"],
        ["Error: spawn sh EAGAIN"],
        ["java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory"],
        ["runtime: failed to create new OS thread (have 9 already; errno=11)"],
        ["sh: 1: Cannot fork"],
        ["can't create Thread: Resource temporarily unavailable (ThreadError)"],
    ],
)
def test_make_exit_error__a_log_shows_that_no_process_could_be_started(log: list[str]) -> None:
    error = make_exit_error(Exit(TINY, 1, False), log)
    assert error.what == "tiny exited with status 1: it seems to have reached its limit of 4,096 processes"
    assert make_exit_error(Exit(LOCAL, 1, False), log).what == "tiny exited with status 1"


@pytest.mark.parametrize(
    "log",
    [["BlockingIOError: [Errno 11] Resource temporarily unavailable", "recv() failed"], ["Segmentation fault"], []],
)
def test_make_exit_error__other_exits_are_not_explained_by_a_limit(log: list[str]) -> None:
    error = make_exit_error(Exit(TINY, 1, False), log, "loading tiny")
    assert (error.what, error.where, error.log) == ("tiny exited with status 1", "loading tiny", tuple(log))
    assert "its log shows why" in error.cause


def test_make_exit_error__a_full_folder_is_named() -> None:
    log = ['ERROR:  could not extend file "base/5/16384": No space left on device']
    error = make_exit_error(Exit(TINY, 1, False), log)
    assert error.what == "tiny exited with status 1: it had no space left"
    assert "folders in memory" in error.advice


def test_lacks_space__is_not_about_watched_files() -> None:
    assert not lacks_space(["inotify_add_watch(7, /app): No space left on device"])


def test_make_exit_error__a_service_that_ends_well_may_be_one_that_runs_once() -> None:
    end = Exit(Handle("1", "createbuckets", "other", "x", 0), 0, out_of_memory=False)
    assert "`services: {createbuckets: {once: true}}`" in make_exit_error(end, []).advice
    assert "once: true" not in make_exit_error(replace(end, exit_code=1), []).advice
    assert "once: true" not in make_exit_error(replace(end, handle=replace(end.handle, kind="subject")), []).advice
