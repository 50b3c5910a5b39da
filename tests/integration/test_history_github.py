"""The history in a branch at GitHub, against a double that holds every request to GitHub's own description."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.github.double import GitHubDouble
from tests.github.exchange import Answer, Fault
from tests.unit.history.places import make_history, make_record

from bench_action.github.client import Access
from bench_action.github.tree import Trees
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.github import GitHubBranch, open_github_history
from bench_action.history.history import History
from bench_action.history.layout import INDEX, README
from bench_action.history.store import InconsistencyError
from bench_action.model.errors import InputError, PublishError

pytestmark = pytest.mark.integration

WRITERS = 20
SHARD = "records/2026-11.jsonl"
REF = f"refs/heads/{DEFAULT_BRANCH}"
DROPPED = Answer(502, {}, {"message": "Bad gateway"})


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        yield double
        assert double.violations == []


async def quickly(seconds: float) -> None:
    """Wait a hundredth of the time."""
    await asyncio.sleep(seconds / 100)


def place(github: GitHubDouble, token: str = "token", branch: str = DEFAULT_BRANCH) -> GitHubBranch:
    return GitHubBranch(Access(github.url, token, "org/shop", 60.0), branch, pause=quickly)


def history(github: GitHubDouble, **more: Any) -> History:
    return make_history(place(github, **more))


def runs(github: GitHubDouble) -> list[str]:
    return [record.run_id for record in history(github).read()]


def test_append__creates_an_orphan_branch(github: GitHubDouble) -> None:
    assert list(history(github).read()) == []
    assert history(github).append([make_record(), make_record(variant="django")]) == 2
    assert set(github.state.git.files(DEFAULT_BRANCH)) == {README, INDEX, SHARD}
    assert len(github.state.git.history(DEFAULT_BRANCH)) == 1
    assert history(github).append([make_record("run-2")]) == 1
    assert history(github).append([make_record()]) == 0
    assert runs(github) == ["run-1", "run-1", "run-2"]
    assert len(github.state.git.history(DEFAULT_BRANCH)) == 2


def test_append__moves_forward_only(github: GitHubDouble) -> None:
    history(github).append([make_record()])
    history(github).append([make_record("run-2")])
    moves = [request.body for request in github.requests if request.method == "PATCH"]
    assert [move["force"] for move in moves] == [False]


def test_append__leaves_other_branches_and_files_alone(github: GitHubDouble) -> None:
    main = github.state.git.refs["refs/heads/main"]
    history(github).append([make_record()])
    files = github.state.git.files(DEFAULT_BRANCH)
    github.state.git.commit({**files, "site/index.html": b"\xff"}, DEFAULT_BRANCH)
    history(github).append([make_record("run-2")])
    assert github.state.git.files(DEFAULT_BRANCH)["site/index.html"] == b"\xff"
    assert github.state.git.refs["refs/heads/main"] == main


def test_append__of_a_large_month(github: GitHubDouble) -> None:
    records = [make_record(f"run-{n}") for n in range(1300)]
    assert history(github).append(records) == 1300
    assert len(github.state.git.files(DEFAULT_BRANCH)[SHARD]) > 500_000
    assert history(github).append([make_record("last")]) == 1
    assert runs(github) == [*(f"run-{n}" for n in range(1300)), "last"]


def test_append__twenty_writers_append_in_parallel(github: GitHubDouble) -> None:
    start = threading.Barrier(WRITERS)

    def write(number: int) -> int:
        store = History(place(github))
        start.wait(60)
        return store.append([make_record(f"run-{number:02}")])

    with ThreadPoolExecutor(WRITERS) as pool:
        assert list(pool.map(write, range(WRITERS))) == [1] * WRITERS
    assert sorted(runs(github)) == [f"run-{n:02}" for n in range(WRITERS)]
    assert len(github.state.git.history(DEFAULT_BRANCH)) == WRITERS


RACE = {"message": "Update is not a fast forward"}
WRITES = [("POST", "/git/blobs"), ("POST", "/git/trees"), ("POST", "/git/commits"), ("PATCH", "/git/refs/")]


@pytest.mark.parametrize("step", [*WRITES, ("POST", "/git/refs$")], ids=" ".join)
@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True, "after_write": True},
        {"drop": True},
        {"answer": DROPPED, "after_write": True},
        {"answer": DROPPED},
        {"answer": Answer(409, {}, {"message": "Conflict"})},
        {"answer": Answer(409, {}, {"message": "Conflict"}), "after_write": True},
        {"answer": Answer(422, {}, RACE)},
        {"answer": Answer(422, {}, RACE), "after_write": True},
        {"answer": Answer(404, {}, {"message": "Not Found"})},
    ],
    ids=lambda fault: json.dumps({name: getattr(value, "status", value) for name, value in fault.items()}),
)
def test_append__with_a_fault_in_a_write_has_the_record_once(
    github: GitHubDouble, monkeypatch: pytest.MonkeyPatch, step: tuple[str, str], fault: dict[str, Any]
) -> None:
    monkeypatch.setattr("bench_action.github.tree._LARGEST_INLINE", 100)  # so that there are blobs
    begins = step[1].endswith("$")
    if not begins:
        history(github).append([make_record("before")])
    github.faults.append(Fault(*step, **fault))
    assert history(github).append([make_record(), make_record(variant="django")]) == 2
    assert github.faults[0].times == 0, "the fault happened"
    assert runs(github) == [*([] if begins else ["before"]), "run-1", "run-1"]
    assert len(github.state.git.history(DEFAULT_BRANCH)) == 2 - begins


@pytest.mark.parametrize("path", ["/git/ref/", "/git/commits/", "/git/trees/", "/git/blobs/"])
def test_append__reads_again_if_an_answer_is_lost(github: GitHubDouble, path: str) -> None:
    history(github).append([make_record()])
    github.faults += [Fault("GET", path, drop=True), Fault("GET", path, DROPPED)]
    assert history(github).append([make_record("run-2")]) == 1
    assert runs(github) == ["run-1", "run-2"]


def test_append__gives_up_in_the_end(github: GitHubDouble) -> None:
    github.faults.append(Fault("POST", "/git/trees", DROPPED, times=99))
    with pytest.raises(PublishError, match="4 tries") as caught:
        history(github).append([make_record()])
    assert caught.value.exit_status == 6
    assert REF not in github.state.git.refs


@pytest.mark.parametrize(
    ("token", "status", "advice"), [("fork-token", 403, "contents: write"), ("wrong", 401, "token")]
)
def test_append__without_rights_advises_what_to_set(github: GitHubDouble, token: str, status: int, advice: str) -> None:
    with pytest.raises(PublishError) as caught:
        history(github, token=token).append([make_record()])
    assert (caught.value.status, REF in github.state.git.refs) == (status, False)
    assert advice in caught.value.advice


def test_append__to_a_protected_branch_fails_immediately(github: GitHubDouble) -> None:
    history(github).append([make_record()])
    rule = {"message": "Repository rule violations found\n\nChanges must be made through a pull request.\n\n"}
    github.faults.append(Fault("PATCH", "/git/refs/", Answer(422, {}, rule)))
    with pytest.raises(PublishError) as caught:
        history(github).append([make_record("run-2")])
    assert "rule violations" in caught.value.what
    assert "protect" in caught.value.advice


def test_append__in_an_empty_repository_is_reported(github: GitHubDouble) -> None:
    github.faults.append(Fault("GET", "/git/ref/", Answer(409, {}, {"message": "Git Repository is empty."})))
    with pytest.raises(PublishError) as caught:
        history(github).append([make_record()])
    assert "first commit" in caught.value.advice


def test_branch__with_other_files_is_left_alone(github: GitHubDouble) -> None:
    before = github.state.git.commit({"index.html": "x"}, DEFAULT_BRANCH)
    with pytest.raises(InputError, match="files that are not a history"):
        history(github).append([make_record()])
    assert github.state.git.refs[REF] == before


def truncated(files: dict[str, bytes]) -> None:
    files[SHARD] = files[SHARD][:-20]


def edited_with_its_index_gone(files: dict[str, bytes]) -> None:
    truncated(files)
    del files[INDEX]


def newer(files: dict[str, bytes]) -> None:
    files[INDEX] = files[INDEX].replace(b'"schema_version": 1', b'"schema_version": 2')


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (truncated, InconsistencyError, "do not match"),
        (edited_with_its_index_gone, InputError, "line 1"),
        (newer, InputError, "update bench-action"),
    ],
)
def test_branch__that_was_damaged_is_reported_and_not_overwritten(
    github: GitHubDouble, damage: Callable[[dict[str, bytes]], None], error: type[Exception], message: str
) -> None:
    history(github).append([make_record()])
    files = github.state.git.files(DEFAULT_BRANCH)
    damage(files)
    before = github.state.git.commit(files, DEFAULT_BRANCH)
    with pytest.raises(error) as caught:
        history(github).append([make_record("run-2")])
    assert message in str(caught.value)
    assert github.state.git.refs[REF] == before


def test_branch__that_moved_back_is_reported(github: GitHubDouble) -> None:
    store = history(github)
    store.append([make_record()])
    first = github.state.git.refs[REF]
    store.append([make_record("run-2")])
    second = github.state.git.refs[REF]
    github.state.git.refs[REF] = first
    with pytest.raises(InconsistencyError, match="moved back") as caught:
        store.append([make_record("run-3")])
    assert second in caught.value.advice
    del github.state.git.refs[REF]
    with pytest.raises(InconsistencyError, match="is gone now"):
        store.append([make_record("run-3")])
    assert REF not in github.state.git.refs


def test_answer__that_is_slightly_old_does_not_mean_that_the_branch_moved_back(github: GitHubDouble) -> None:
    store = history(github)
    store.append([make_record()])
    old = github.state.git.refs[REF]
    store.append([make_record("run-2")])
    url = f"{github.url}/repos/org/shop/git/{REF}"
    target = {"type": "commit", "sha": old, "url": url}
    stale = Answer(200, {}, {"ref": REF, "node_id": "x", "url": url, "object": target})
    github.faults.append(Fault("GET", "/git/ref/", stale))
    assert store.append([make_record("run-3")]) == 1
    assert runs(github) == ["run-1", "run-2", "run-3"]


def test_branch__may_have_any_name(github: GitHubDouble) -> None:
    for branch in ("team/history", "a#b", "x|y"):
        assert history(github, branch=branch).append([make_record()]) == 1
        assert history(github, branch=branch).append([make_record("run-2")]) == 1


def test_trees__of_an_enterprise_server() -> None:
    with GitHubDouble(prefix="/api/v3", enterprise=True) as github:
        assert history(github).append([make_record()]) == 1
        assert github.violations == []


def test_append__after_a_lost_answer_and_a_conflict_finds_that_it_succeeded(github: GitHubDouble) -> None:
    history(github).append([make_record()])
    others = [make_record("other")]

    async def append_another(seconds: float) -> None:
        if others and not github.faults[0].times:  # the move is sent again after this, as its answer was lost
            await asyncio.to_thread(history(github).append, [others.pop()])
        await quickly(seconds)

    github.faults.append(Fault("PATCH", "/git/refs/", drop=True, after_write=True))
    ours = GitHubBranch(Access(github.url, "token", "org/shop"), pause=append_another)
    assert make_history(ours).append([make_record("mine")]) == 1
    assert runs(github) == ["run-1", "mine", "other"]


def test_open_github_history__reads_an_empty_branch(github: GitHubDouble) -> None:
    assert list(open_github_history(Access(github.url, "token", "org/shop")).read()) == []


def test_is_ancestor__of_an_unknown_commit(github: GitHubDouble) -> None:
    history(github).append([make_record()])
    trees = Trees(Access(github.url, "token", "org/shop"), DEFAULT_BRANCH)
    tip = github.state.git.refs[REF]
    assert trees.is_ancestor(tip, tip)
    assert not trees.is_ancestor("b" * 40, tip)
