"""A step of a workflow in this process, against a double of GitHub, without its waits."""

import asyncio
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.faults.command import Ended, run_command
from tests.git import git
from tests.github.double import GitHubDouble
from tests.github.state import State

from bench_action.action import step as action
from bench_action.config.options import Options
from bench_action.github import client
from bench_action.history import history
from bench_action.model.result import Result
from bench_action.pipeline import Outcome

REPOSITORY = "org/shop"


@dataclass(frozen=True, slots=True)
class Step:
    """How a step ended, with its outputs and its summary."""

    ended: Ended
    outputs: str
    summary: str


@functools.cache
def _start_double() -> GitHubDouble:
    """Start the double of this process, which ends with it."""
    return GitHubDouble(repository=REPOSITORY).__enter__()


def find_github() -> GitHubDouble:
    """Find the double of this process, as it was when it began."""
    github = _start_double()
    github.state = State(REPOSITORY)
    github.faults.clear()
    github.requests.clear()
    github.violations.clear()
    return github


def run_step(
    github: GitHubDouble,
    folder: Path,
    event: str,
    payload: Mapping[str, Any],
    result: Result | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    **inputs: str,
) -> Step:
    """Run a step. `result`: that of its run, which is not measured. A pull request's head is what is checked out."""
    if "pull_request" in payload:
        payload = {**payload, "pull_request": {**payload["pull_request"], "head": {"sha": _check_out(folder)}}}
    (folder / "event.json").write_text(json.dumps(payload), encoding="utf-8")
    files = {"GITHUB_OUTPUT": folder / "outputs", "GITHUB_STEP_SUMMARY": folder / "summary"}
    for file in files.values():
        file.write_text("", encoding="utf-8")
    given = {"github_token": "token", "baseline": "none", "output": str(folder / "out"), **inputs}
    variables = {
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_EVENT_NAME": event,
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_API_URL": github.url,
        "GITHUB_RUN_ID": "7",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_WORKFLOW": "trend",
        "GITHUB_JOB": "benchmark",
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_STATE": str(folder / "state"),
        **{name: str(file) for name, file in files.items()},
        **{f"INPUT_{name.upper().replace('_', '-')}": value for name, value in given.items()},
        **(environ or {}),
    }
    with _without_waits(), mock.patch.object(action, "run", _make_run(result)):
        ended = run_command(folder, "action", environ=variables)
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files.values()]
    return Step(ended, *texts)


def _check_out(folder: Path) -> str:
    """Make a commit in a folder, which is in no repository yet, and return it."""
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "head")
    return git(folder, "rev-parse", "HEAD")


def _make_run(result: Result | None) -> Any:
    def run(options: Options, _: object) -> Outcome:
        assert result is not None
        names = {"config": str(options.config or ""), "key": options.key, "job": options.workflow_job}
        return Outcome(result.model_copy(update={"run": result.run.model_copy(update=names)}), [])

    return run


@contextmanager
def _without_waits() -> Iterator[None]:
    """Let nobody wait for GitHub: neither between writes, nor after an answer that asks for it."""

    sleep = asyncio.sleep

    async def wait(seconds: float) -> None:
        await sleep(0)

    defaults: Sequence[tuple[Any, str, Any]] = (
        (client.Client.__init__, "sleep", wait),
        (history.History.__init__, "sleep", lambda _: None),
        (history.History.__init__, "patience_s", 5.0),
    )
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(client, "_BETWEEN_WRITES_S", 0.0))
        stack.enter_context(mock.patch.object(asyncio, "sleep", wait))
        for function, name, value in defaults:
            stack.enter_context(mock.patch.dict(function.__kwdefaults__, {name: value}))
        yield
