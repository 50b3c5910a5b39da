"""GitHub's API refuses, breaks, and loses or cuts answers, at each request of each thing that a step does there."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tests.faults.case import Case, Group, Problem, judge_ending
from tests.faults.oracles import find_in_markdown
from tests.faults.step import REPOSITORY, Step, find_github, run_step
from tests.github.double import GitHubDouble
from tests.github.exchange import Answer, Fault
from tests.unit.factories import make_compared, make_paired, make_result, make_trial

from bench_action.github.client import Access
from bench_action.github.texts import make_marker
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.github import open_github_history
from bench_action.history.record import parse_line
from bench_action.history.recording import make_records
from bench_action.model.result import Result

_BOT = "github-actions[bot]"
_STATUSES = (401, 403, 404, 409, 422, 429, 500, 502, 503)
_TRANSIENT = frozenset({429, 500, 502, 503})
_HTML = {"content-type": "text/html"}
_JSON = {"content-type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to a request. `passes`: if it happens once, the step succeeds nevertheless."""

    name: str
    changes: Mapping[str, Any]
    passes: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A request of a scenario: the one of this method whose path matches."""

    scenario: str
    method: str
    path: str


def _refuse(status: int) -> Trouble:
    headers = {"retry-after": "1"} if status == 429 else {}
    return Trouble(
        f"{status}", {"answer": Answer(status, headers, {"message": f"status {status}"})}, status in _TRANSIENT
    )


def _answer(name: str, body: Any, headers: Mapping[str, str] = _JSON, status: int = 200) -> Trouble:
    return Trouble(name, {"answer": Answer(status, headers, body)})


_TROUBLES: Sequence[Trouble] = (
    *map(_refuse, _STATUSES),
    Trouble("no answer", {"drop": True}, passes=True),
    Trouble("lost answer", {"drop": True, "after_write": True}, passes=True),
    Trouble("500 after it was done", {**_refuse(500).changes, "after_write": True}, passes=True),
    Trouble("cut answer", {"cut": True}, passes=True),
    _answer("half of the JSON", b'{"id": 1, "body": "x'),
    _answer("empty answer", b""),
    _answer("another form", {}),
    _answer("a list", []),
    _answer("null", None),
    _answer("a text", b'"text"'),
    _answer("a proxy's page", b"<html>sign in</html>", _HTML),
    _answer("a redirect", b"", {"location": "https://evil.example/"}, 302),
    Trouble("rate limit", {"answer": Answer(403, {"retry-after": "1"}, {"message": "secondary rate limit"})}, True),
)
_PLACES: Sequence[Place] = (
    Place("comment", "GET", r"/user$"),
    Place("comment", "GET", r"/issues/\d+/comments"),
    Place("comment", "POST", r"/issues/\d+/comments"),
    Place("edit", "PATCH", r"/issues/comments/"),
    Place("begin", "GET", r"/git/ref/"),
    Place("begin", "POST", r"/git/trees"),
    Place("begin", "POST", r"/git/commits"),
    Place("begin", "POST", r"/git/refs"),
    Place("append", "GET", r"/git/ref/"),
    Place("append", "GET", r"/git/commits/"),
    Place("append", "GET", r"/git/trees/"),
    Place("append", "GET", r"/git/blobs/"),
    Place("append", "POST", r"/git/trees"),
    Place("append", "PATCH", r"/git/refs/"),
    Place("publish", "GET", r"/runs/\d+/artifacts"),
    Place("publish", "GET", r"/artifacts/\d+/zip"),
    Place("publish", "GET", r"/blobs?/"),
    Place("publish", "GET", r"/pulls$"),
    Place("publish", "POST", r"/issues/\d+/comments"),
)
_TIMES = (1, 99)
_CASES = [*itertools.product(_PLACES, _TROUBLES, _TIMES)]
_FULL = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_STATE")


def examine(case: Case) -> Iterator[Problem]:
    """Make one request fail, once or always, in a step whose run has a result."""
    place, trouble, times = _CASES[case.number % len(_CASES)]
    github = find_github()
    prepare, event = _SCENARIOS[place.scenario]
    more = prepare(github)
    github.faults.append(Fault(place.method, place.path, times=times, **trouble.changes))
    step = run_step(github, case.folder, event, _make_payload(github, event), _make_run(), **more)
    what = f"{place.scenario}: {trouble.name} to {place.method} {place.path}, {times} times"
    for problem in judge_ending(step.ended.status, step.ended.log, (0, 2, 6)):
        yield replace(problem, text=f"{what}\n{problem.text}" if problem.kind == "wrong" else f"{problem.text}\n{what}")
    if github.faults[0].times == times:
        yield Problem("wrong", f"the request was never sent: {what}")
    yield from (replace(problem, text=f"{problem.text}: {what}") for problem in _judge(github, place, step))
    if trouble.passes and times == 1 and step.ended.status:
        yield Problem("lost", f"one fault ended the step with {step.ended.status}: {what}\n{step.ended.log[-800:]}")


def _judge(github: GitHubDouble, place: Place, step: Step) -> Iterator[Problem]:
    """Judge what is at GitHub, and in the step's outputs, which a fault of GitHub does not touch."""
    comments = [comment for comment in github.state.comments.get(1, ()) if comment.login == _BOT]
    wanted = place.scenario in {"comment", "edit", "publish"}
    if len(comments) > 1:
        yield Problem("wrong", f"{len(comments)} comments")
    if wanted and not step.ended.status and not comments and "no comment" not in step.ended.log:
        yield Problem("lost", "no comment, and no error")
    if place.scenario in {"begin", "append"}:
        files = github.state.git.files(DEFAULT_BRANCH) if _has_branch(github) else {}
        runs = [
            parse_line(line).run_id
            for name, content in files.items()
            if "jsonl" in name
            for line in content.split(b"\n")
            if line
        ]
        if runs.count("run-new") > 1 or (place.scenario == "append" and "run-0" not in runs):
            yield Problem("lost", f"the history has the runs {runs}")
        if not step.ended.status and "run-new" not in runs and "no history" not in step.ended.log:
            yield Problem("lost", "no record, and no error")
    if place.scenario != "publish" and "verdict<<" not in step.outputs:
        yield Problem("lost", "no outputs")
    for comment in comments:
        for text in find_in_markdown(
            comment.body, _addresses(), (make_marker("bench-action"), comment.body.splitlines()[-1])
        ):
            yield Problem("wrong", text)


def _addresses() -> Sequence[str]:
    return [f"https://github.com/{REPOSITORY}/actions/runs/{number}" for number in (7, *range(1001, 1100))]


def _has_branch(github: GitHubDouble) -> bool:
    return f"refs/heads/{DEFAULT_BRANCH}" in github.state.git.refs


def examine_files(case: Case) -> Iterator[Problem]:
    """Let the disk of the runner be full: each of its files refuses what a step writes to it."""
    github = find_github()
    scenario = ("comment", "append", "publish")[case.number % 3]
    prepare, event = _SCENARIOS[scenario]
    more = prepare(github)
    environ = {_FULL[case.number // 3 % len(_FULL)]: "/dev/full"}
    step = run_step(github, case.folder, event, _make_payload(github, event), _make_run(), environ=environ, **more)
    yield from judge_ending(step.ended.status, step.ended.log, (0, 6))
    if step.ended.status and "could not write" not in step.ended.log:
        yield Problem("wrong", f"the message does not name the file\n{step.ended.log}")


@functools.cache
def _make_run() -> Result:
    """Make the result of a run that has begun now, and is appended to a history."""
    result = make_result([make_trial(block=block, speed=200 + block) for block in range(1, 6)])
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return result.model_copy(update={"run": result.run.model_copy(update={"id": "run-new", "started_at": at})})


def _make_payload(github: GitHubDouble, event: str) -> Mapping[str, Any]:
    if event == "workflow_run":
        (run,) = github.state.runs.values()
        head = {"head_sha": run.head_sha, "head_branch": run.head_branch}
        return {"workflow_run": {"id": run.id, **head, "head_repository": {"owner": {"login": "stranger"}}}}
    if event == "pull_request":
        return {"number": 1, "pull_request": {"number": 1, "base": {"sha": "b" * 40}}}
    return {"repository": {"default_branch": "main"}}


def _prepare_comment(github: GitHubDouble) -> dict[str, Any]:
    github.state.pull()
    return {}


def _prepare_edit(github: GitHubDouble) -> dict[str, Any]:
    github.state.pull()
    github.state.comment(1, f"{make_marker('bench-action')}\nold", login=_BOT)
    return {}


def _prepare_begin(github: GitHubDouble) -> dict[str, Any]:
    return {"comment": "never"}


def _prepare_append(github: GitHubDouble) -> dict[str, Any]:
    before = _make_run()
    run = before.run.model_copy(update={"id": "run-0", "started_at": "2026-11-20T00:00:00+00:00"})
    access = Access(github.url, "token", REPOSITORY)
    open_github_history(access, DEFAULT_BRANCH).append(make_records(before.model_copy(update={"run": run})))
    return {"comment": "never"}


def _prepare_publish(github: GitHubDouble) -> dict[str, Any]:
    run = github.state.run(github.state.pull(repo="stranger/shop"))
    result = make_compared(make_paired(940)).model_dump_json()
    github.state.artifact(run, "results", {"result.json": result})
    return {"publish": "results"}


_SCENARIOS: Mapping[str, tuple[Callable[[GitHubDouble], dict[str, Any]], str]] = {
    "comment": (_prepare_comment, "pull_request"),
    "edit": (_prepare_edit, "pull_request"),
    "begin": (_prepare_begin, "push"),
    "append": (_prepare_append, "push"),
    "publish": (_prepare_publish, "workflow_run"),
}
GROUPS = (
    Group("api", "faults of GitHub's API", len(_CASES), examine, cpu_s=60),
    Group("runner-files", "files of the runner on a full disk", 9, examine_files, cpu_s=60),
)
