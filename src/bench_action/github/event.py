"""The event that started this job, read from GitHub's variables and the event's payload."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench_action.model.errors import InputError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BRANCH_EVENTS = frozenset({"push", "schedule", "workflow_dispatch"})
_API, _SERVER = "https://api.github.com", "https://github.com"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The run that a `workflow_run` event is about: its commit, its branch, and the owner of that branch's fork.

    `head_branch`, `head_owner`: empty if unknown, as after the fork was deleted. `failed`: whether one of its jobs
    failed, or it was cancelled.
    """

    id: int
    head_sha: str
    head_branch: str
    head_owner: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """The event that started a job.

    `pull`: the pull request's number, None if the event is not about one. `head_sha`, `base_sha`: the commits of the
    pull request or the merge group, empty if the event does not name them. `base_branch`: the one that the pull request
    would be merged into. `on_default_branch`: whether it is a push, a
    schedule or a dispatch on the default branch. `ref`, `sha`: the ref that the job runs for, and its commit.
    """

    name: str
    repository: str
    run_id: str = ""
    api_url: str = _API
    server_url: str = _SERVER
    pull: int | None = None
    head_sha: str = ""
    base_sha: str = ""
    base_branch: str = ""
    on_default_branch: bool = False
    ref: str = ""
    sha: str = ""
    workflow_run: WorkflowRun | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables that GitHub sets (its "Default environment variables"). Raises InputError."""
        repository = environ.get("GITHUB_REPOSITORY", "")
        if not _REPOSITORY.fullmatch(repository):
            raise InputError(
                "this is not a GitHub Actions job: GITHUB_REPOSITORY is not set",
                advice="outside of GitHub Actions, use `bench-action run`",
            )
        payload = _read_payload(environ.get("GITHUB_EVENT_PATH", ""))
        pull, number = _get_part(payload, "pull_request"), payload.get("number")
        group = _get_part(payload, "merge_group")
        if not pull and _get_part(_get_part(payload, "issue"), "pull_request"):  # a comment on a pull request
            number = _get_part(payload, "issue").get("number")
        return cls(
            name=environ.get("GITHUB_EVENT_NAME", ""),
            repository=repository,
            run_id=environ.get("GITHUB_RUN_ID", ""),
            api_url=environ.get("GITHUB_API_URL") or _API,
            server_url=environ.get("GITHUB_SERVER_URL") or _SERVER,
            pull=_parse_number(pull.get("number") if pull else number),
            head_sha=_parse_sha(_get_part(pull, "head").get("sha") or group.get("head_sha")),
            base_sha=_parse_sha(_get_part(pull, "base").get("sha") or group.get("base_sha")),
            base_branch=_parse_text(_get_part(pull, "base").get("ref")),
            on_default_branch=_is_on_default_branch(environ, payload),
            ref=environ.get("GITHUB_REF", ""),
            sha=_parse_sha(environ.get("GITHUB_SHA")),
            workflow_run=_parse_workflow_run(_get_part(payload, "workflow_run")),
        )

    @property
    def has_own_code(self) -> bool:
        """Whether it is about code that is not merged yet, which HEAD must be."""
        return self.pull is not None or self.name == "merge_group" or self.workflow_run is not None

    def is_own(self, run: WorkflowRun) -> bool:
        """Whether a run measured a branch of this repository's owner, and no fork's."""
        return run.head_owner.lower() == self.repository.partition("/")[0].lower()

    @property
    def repository_url(self) -> str:
        """The address of the repository's page."""
        return f"{self.server_url}/{self.repository}"

    @property
    def run_url(self) -> str:
        """The address of the page of this job's run."""
        return self.make_run_url(self.run_id) if self.run_id else ""

    def make_run_url(self, identity: int | str) -> str:
        """Make the address of the page of a run of this repository."""
        return f"{self.repository_url}/actions/runs/{identity}"


def _is_on_default_branch(environ: Mapping[str, str], payload: Mapping[str, Any]) -> bool:
    branch = _get_part(payload, "repository").get("default_branch")
    return (
        environ.get("GITHUB_EVENT_NAME") in _BRANCH_EVENTS
        and isinstance(branch, str)
        and environ.get("GITHUB_REF") == f"refs/heads/{branch}"
    )


def _parse_workflow_run(run: Mapping[str, Any]) -> WorkflowRun | None:
    if (identity := _parse_number(run.get("id"))) is None:
        return None
    branch = _parse_text(run.get("head_branch"))
    owner = _parse_text(_get_part(_get_part(run, "head_repository"), "owner").get("login"))
    failed = run.get("conclusion") in {"failure", "cancelled", "timed_out", "startup_failure"}
    return WorkflowRun(identity, _parse_sha(run.get("head_sha")), branch, owner, failed)


def _read_payload(path: str) -> Mapping[str, Any]:
    try:
        payload = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise InputError(f"could not read the event's payload: {error}") from error
    return payload if isinstance(payload, dict) else {}


def _get_part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, dict) else {}


def _parse_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _parse_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parse_sha(value: object) -> str:
    return value if isinstance(value, str) and _SHA.fullmatch(value) else ""
