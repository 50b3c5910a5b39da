"""Our client against a double that checks every request against GitHub's own description."""

import base64
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.github.double import GitHubDouble
from tests.github.exchange import Answer, Fault, Token

from bench_action.github.artifacts import fetch_results, unpack_result
from bench_action.github.client import Access
from bench_action.github.comments import upsert_comment
from bench_action.github.event import WorkflowRun
from bench_action.github.issues import upsert_issue
from bench_action.github.pulls import fetch_merge_base, fetch_pull_commits, find_pulls
from bench_action.github.texts import Origin, make_marker
from bench_action.model.errors import InputError, PublishError
from bench_action.report.comment import LONGEST

pytestmark = pytest.mark.integration

KEY = "bench-action"
COMMENTS = "/issues/1/comments"


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        double.state.pull(branch="faster")
        yield double
        assert double.violations == []


def access(github: GitHubDouble, token: str = "token", patience_s: float = 10.0) -> Access:
    return Access(github.url, token, "org/shop", patience_s)


def bodies(github: GitHubDouble) -> list[str]:
    return [comment.body for comment in github.state.comments.get(1, [])]


def test_upsert__creates_then_edits_in_place(github: GitHubDouble) -> None:
    first = upsert_comment(access(github), 1, KEY, "first")
    second = upsert_comment(access(github), 1, KEY, "second")
    assert first == second
    assert bodies(github) == [f"{make_marker(KEY)}\nsecond"]


def test_upsert__finds_its_comment_behind_a_hundred_others(github: GitHubDouble) -> None:
    for n in range(130):
        github.state.comment(1, f"comment {n}")
        if n == 110:
            upsert_comment(access(github), 1, KEY, "first")
    upsert_comment(access(github), 1, KEY, "second")
    assert len(bodies(github)) == 131
    assert bodies(github)[111].endswith("second")


def test_upsert__never_edits_a_comment_of_somebody_else(github: GitHubDouble) -> None:
    github.state.comment(1, f"{make_marker(KEY)}\nquoted by a person")
    github.state.comment(1, f"look:\n{make_marker(KEY)}", login="other[bot]")
    github.state.comment(1, f"{make_marker(KEY)}\nquoted by a bot", login="other[bot]")
    before = bodies(github)
    for text in ("ours", "ours again"):
        upsert_comment(access(github), 1, KEY, text)
    assert bodies(github) == [*before, f"{make_marker(KEY)}\nours again"]


@pytest.mark.parametrize(("login", "kind"), [("shop-bench[bot]", "Bot"), ("a-person", "User")])
def test_upsert__recognises_its_own_comments_with_any_token(github: GitHubDouble, login: str, kind: str) -> None:
    github.tokens["own"] = Token(login=login, type=kind)
    github.state.comment(1, f"{make_marker(KEY)}\nof the workflow's token", login="github-actions[bot]")
    for text in ("first", "second"):
        upsert_comment(access(github, "own"), 1, KEY, text)
    assert [one.login for one in github.state.comments[1]] == ["github-actions[bot]", login]
    assert bodies(github)[1] == f"{make_marker(KEY)}\nsecond"


def test_upsert__assumes_the_workflow_s_bot_if_github_does_not_say(github: GitHubDouble) -> None:
    github.faults.append(Fault("POST", "/graphql", Answer(502, {}, {"message": "Bad gateway"}), times=2))
    for text in ("first", "second"):
        upsert_comment(access(github), 1, KEY, text)
    assert bodies(github) == [f"{make_marker(KEY)}\nsecond"]


FRONT, BACK = Origin("front/bench.yml", "ci/front", "7/1/aa"), Origin("back/bench.yml", "ci/back", "7/1/bb")


def test_upsert__two_configurations_with_one_key_are_noticed(github: GitHubDouble) -> None:
    assert upsert_comment(access(github), 1, KEY, "front", FRONT).replaced == ""
    posted = upsert_comment(access(github), 1, KEY, "back", BACK)
    assert posted.replaced == "the benchmark of `front/bench.yml`"
    (text,) = bodies(github)
    assert text.startswith(f"{make_marker(KEY)}\nback\n")
    assert "This comment replaces that of the benchmark of `front/bench.yml`" in text
    assert "own `comment-key`" in text
    later = upsert_comment(access(github), 1, KEY, "front", replace(FRONT, step="8/1/cc"))
    assert later.replaced == "the benchmark of `back/bench.yml`"


def test_upsert__the_longest_comment_fits_with_everything_that_is_added(github: GitHubDouble) -> None:
    long = "x" * 300
    for side in ("a", "b"):
        upsert_comment(access(github), 1, long, "y" * LONGEST, Origin(side + long, side + long, f"7/1/{side}{long}"))
    (text,) = bodies(github)
    assert "This comment replaces" in text
    assert len(text) < 65_536 - 500


def test_upsert__two_legs_of_a_matrix_with_one_key_are_noticed(github: GitHubDouble) -> None:
    legs = [Origin("bench.yml", f"ci/bench ({version})", f"7/1/{version}") for version in ("3.11", "3.13")]
    assert [upsert_comment(access(github), 1, KEY, "text", leg).replaced for leg in legs] == [
        "",
        "the job `ci/bench _3.11_` of the same workflow run",
    ]


@pytest.mark.parametrize("step", ["8/1/dd", "7/2/dd"])
def test_upsert__a_later_run_or_attempt_replaces_its_own_comment_without_a_note(
    github: GitHubDouble, step: str
) -> None:
    upsert_comment(access(github), 1, KEY, "first", FRONT)
    assert upsert_comment(access(github), 1, KEY, "second", replace(FRONT, step=step)).replaced == ""
    assert "replaces" not in bodies(github)[0]


def test_upsert__another_job_with_one_key_is_noticed_if_it_is_run_again(github: GitHubDouble) -> None:
    upsert_comment(access(github), 1, KEY, "first", FRONT)
    again = Origin("front/bench.yml", "ci/other", "7/2/dd")
    assert "`ci/front`" in upsert_comment(access(github), 1, KEY, "second", again).replaced


def test_upsert__other_variants_of_one_configuration_are_another_benchmark(github: GitHubDouble) -> None:
    one, other = (Origin(f"bench.yml {name}", f"{name}/bench", f"{number}/1/aa") for number, name in enumerate("ab"))
    upsert_comment(access(github), 1, KEY, "first", one)
    assert upsert_comment(access(github), 1, KEY, "second", other).replaced == "the benchmark of `bench.yml a`"


def test_upsert__keys_of_other_letters_have_comments_of_their_own(github: GitHubDouble) -> None:
    for key in ("前端", "后端", "a,b", "a_b", "x" * 101, "x" * 102):
        upsert_comment(access(github), 1, key, f"of {key}")
    assert len(bodies(github)) == 6


def test_upsert__whose_answer_is_lost_recognises_its_own_comment(github: GitHubDouble) -> None:
    github.faults.append(Fault("POST", COMMENTS, drop=True, after_write=True))
    assert upsert_comment(access(github), 1, KEY, "text", FRONT).replaced == ""
    assert len(bodies(github)) == 1


def test_upsert__nothing_in_a_benchmark_s_name_ends_the_hidden_line(github: GitHubDouble) -> None:
    evil = Origin("--> <img src=x> | y", "`@octocat`", "1/1/--!>")
    upsert_comment(access(github), 1, KEY, "text", evil)
    last = bodies(github)[0].splitlines()[-1]
    assert last.startswith("<!-- bench-action from: ")
    assert last.count("-->") == 1
    assert not set("<>|@`") & set(last.removeprefix("<!--").removesuffix("-->").replace(" | ", ""))
    assert upsert_comment(access(github), 1, KEY, "text", replace(evil, step="2/1/x")).replaced == ""


def test_upsert__keeps_one_comment_for_each_key(github: GitHubDouble) -> None:
    for key in ("a", "b", "a"):
        upsert_comment(access(github), 1, key, f"of {key}")
    assert bodies(github) == [f"{make_marker('a')}\nof a", f"{make_marker('b')}\nof b"]


def test_upsert__removes_what_two_simultaneous_jobs_wrote_twice(github: GitHubDouble) -> None:
    for _ in range(2):
        github.state.comment(1, f"{make_marker(KEY)}\nold", login="github-actions[bot]")
    upsert_comment(access(github), 1, KEY, "new")
    assert bodies(github) == [f"{make_marker(KEY)}\nnew"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(403, {"retry-after": "1"}, {"message": "You have exceeded a secondary rate limit."}),
        Answer(429, {"retry-after": "0"}, {"message": "Too many requests"}),
        Answer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}, {"message": "API rate limit exceeded"}),
        Answer(500, {}, {"message": "Server Error"}),
        Answer(502, {"content-type": "text/html"}, "<html>Unicorn!</html>"),
        Answer(599, {}, ""),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_upsert__tries_again_if_that_may_help(github: GitHubDouble, method: str, answer: Answer) -> None:
    github.faults.append(Fault(method, COMMENTS, answer))
    upsert_comment(access(github), 1, KEY, "text")
    assert len(bodies(github)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", COMMENTS, drop=True, after_write=True),
        Fault("POST", COMMENTS, Answer(502, {}, {"message": "Bad gateway"}), after_write=True),
        Fault("POST", COMMENTS, drop=True),
    ],
)
def test_upsert__whose_answer_is_lost_looks_before_it_writes_again(github: GitHubDouble, fault: Fault) -> None:
    github.faults.append(fault)
    upsert_comment(access(github), 1, KEY, "text")
    assert bodies(github) == [f"{make_marker(KEY)}\ntext"]


def test_upsert__gives_up_within_its_patience(github: GitHubDouble) -> None:
    github.faults.append(Fault("GET", COMMENTS, Answer(403, {"retry-after": "3600"}, {"message": "wait"}), times=99))
    with pytest.raises(PublishError, match="403"):
        upsert_comment(access(github), 1, KEY, "text")
    github.faults[:] = [Fault("POST", COMMENTS, Answer(500, {}, {"message": "no"}), times=99)]
    with pytest.raises(PublishError, match="3 attempts"):
        upsert_comment(access(github), 1, KEY, "text")


@pytest.mark.parametrize(("token", "status"), [("fork-token", 403), ("wrong", 401)])
def test_upsert__that_is_not_allowed_says_what_to_set(github: GitHubDouble, token: str, status: int) -> None:
    with pytest.raises(PublishError) as caught:
        upsert_comment(access(github, token), 1, KEY, "text")
    assert caught.value.status == status
    assert caught.value.advice
    assert len(github.requests) <= 4


def test_upsert__works_on_an_enterprise_server() -> None:
    with GitHubDouble(prefix="/api/v3", enterprise=True) as github:
        github.state.pull()
        upsert_comment(access(github), 1, KEY, "text")
        assert len(bodies(github)) == 1
        assert github.violations == []


def test_no_server__is_a_publish_error() -> None:
    with pytest.raises(PublishError, match="no answer from GitHub"):
        upsert_comment(Access("http://127.0.0.1:9", "token", "org/shop", patience_s=0.5), 1, KEY, "text")


def test_upsert_issue__opens_one_and_updates_it(github: GitHubDouble) -> None:
    github.state.issue("somebody else's", login="octocat")
    first = upsert_issue(access(github), "trend", lambda former: ("It is worse", f"by 5 %{former}"))
    known: list[str] = []

    def render(former: str) -> tuple[str, str]:
        known.append(former)
        return "It is worse still", "by 9 %"

    assert upsert_issue(access(github), "trend", render) == first
    assert known == [f"{make_marker('trend')}\nby 5 %"]
    ours = [one for one in github.state.issues.values() if one.login == "github-actions[bot]"]
    assert [(one.title, one.body) for one in ours] == [("It is worse still", f"{make_marker('trend')}\nby 9 %")]
    ours[0].state = "closed"
    assert upsert_issue(access(github), "trend", lambda _: ("Again", "by 5 %")) != first


def test_upsert_issue__whose_answer_is_lost_is_not_opened_twice(github: GitHubDouble) -> None:
    github.faults.append(Fault("POST", "/issues", drop=True, after_write=True))
    upsert_issue(access(github), "trend", lambda _: ("It is worse", "by 5 %"))
    assert sum(one.login == "github-actions[bot]" for one in github.state.issues.values()) == 1


def test_fetch_pull_commits__and_fetch_merge_base_are_what_github_says(github: GitHubDouble) -> None:
    pull = github.state.pulls[1]
    assert fetch_pull_commits(access(github), 1) == (pull.base.ref, pull.base.sha, pull.head.sha)
    assert fetch_merge_base(access(github), pull.base.sha, pull.head.sha) == pull.base.sha


def test_find_pulls__of_a_fork_match_branch_and_commit(github: GitHubDouble) -> None:
    pull = github.state.pull(branch="x|y", repo="stranger/shop")
    run = WorkflowRun(5, pull.head.sha, "x|y", "stranger")
    assert find_pulls(access(github), run) == [pull.number]
    assert find_pulls(access(github), WorkflowRun(5, "c" * 40, "x|y", "stranger")) == []
    assert find_pulls(access(github), WorkflowRun(5, pull.head.sha, "x|y", "")) == []
    pull.state = "closed"
    assert find_pulls(access(github), run) == []


def test_fetch_results__writes_the_newest_of_each_name_and_nothing_else(github: GitHubDouble, tmp_path: Path) -> None:
    run = github.state.run(github.state.pulls[1])
    for number in (1, 2):
        github.state.artifact(run, f"shard-{number}", {"result.json": str(number), "trials.jsonl": "x"})
    github.state.artifact(run, "logs", {"log.txt": "y"})
    fetch_results(access(github), run.id, "shard-*", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.*"))] == [
        "0/result.json",
        "1/result.json",
    ]
    assert [(tmp_path / str(number) / "result.json").read_text() for number in (0, 1)] == ["1", "2"]


def test_fetch_results__writes_the_one_file_and_sends_no_token(github: GitHubDouble, tmp_path: Path) -> None:
    run = github.state.run(github.state.pulls[1])
    github.state.artifact(run, "bench-results", {"result.json": "of the first attempt"})
    github.state.artifacts[next(iter(github.state.artifacts))].created_at = "2020-01-01T00:00:00Z"
    github.state.artifact(run, "bench-results", {"result.json": "{}", "../evil.txt": "x", "report.md": "y"})
    fetch_results(access(github), run.id, "bench-results", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["0/result.json"]
    assert (tmp_path / "0" / "result.json").read_text() == "{}"
    assert [one.authorized for one in github.downloads] == [False]
    with pytest.raises(PublishError, match="no artifact 'other'"):
        fetch_results(access(github), run.id, "other", tmp_path)


def test_unpack_result__refuses_what_is_not_a_result() -> None:
    for content in (b"", b"PK\x05\x06" + b"\0" * 18, base64.b64decode("UEsDBA==")):
        with pytest.raises(InputError):
            unpack_result(content)


def test_unpack_result__stops_at_its_limit_even_if_the_archive_declares_less(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b"\0" * (33 * 1024 * 1024))
    subprocess.run(["python3", "-m", "zipfile", "-c", "bomb.zip", "result.json"], cwd=tmp_path, check=True)
    with pytest.raises(InputError, match="larger than"):
        unpack_result((tmp_path / "bomb.zip").read_bytes())
