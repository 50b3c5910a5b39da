"""What started this job, from GitHub's variables and the event's payload, which is read as data."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench_action.model.errors import InputError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_OF_A_BRANCH = frozenset({"push", "schedule", "workflow_dispatch"})
_API, _SERVER = "https://api.github.com", "https://github.com"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The run that a `workflow_run` event is about: its commit, and where its branch is, as GitHub says."""

    id: int
    head_sha: str
    head_branch: str
    head_owner: str


@dataclass(frozen=True, slots=True)
class Event:
    """`pull`: the pull request's number, None where the event is about none; `head_sha`, `base_sha`: its commits, or
    those of a merge group, empty where the event does not tell. `on_default_branch`: of a push, a schedule or a
    dispatch. `ref`, `sha`: the branch, tag or pull request that the job runs for, and its commit.
    """

    name: str
    repository: str
    run_id: str = ""
    api_url: str = _API
    server_url: str = _SERVER
    pull: int | None = None
    head_sha: str = ""
    base_sha: str = ""
    on_default_branch: bool = False
    ref: str = ""
    sha: str = ""
    workflow_run: WorkflowRun | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """From the variables that GitHub sets (docs: "Default environment variables"). Raises InputError."""
        repository = environ.get("GITHUB_REPOSITORY", "")
        if not _REPOSITORY.fullmatch(repository):
            raise InputError(
                "this is no GitHub Actions job: GITHUB_REPOSITORY is not set",
                advice="`bench-action run` measures without GitHub",
            )
        payload = _payload(environ.get("GITHUB_EVENT_PATH", ""))
        pull, number = _part(payload, "pull_request"), payload.get("number")
        group = _part(payload, "merge_group")
        if not pull and _part(_part(payload, "issue"), "pull_request"):  # a comment on a pull request
            number = _part(payload, "issue").get("number")
        return cls(
            name=environ.get("GITHUB_EVENT_NAME", ""),
            repository=repository,
            run_id=environ.get("GITHUB_RUN_ID", ""),
            api_url=environ.get("GITHUB_API_URL") or _API,
            server_url=environ.get("GITHUB_SERVER_URL") or _SERVER,
            pull=_number(pull.get("number") if pull else number),
            head_sha=_sha(_part(pull, "head").get("sha") or group.get("head_sha")),
            base_sha=_sha(_part(pull, "base").get("sha") or group.get("base_sha")),
            on_default_branch=_is_default(environ, payload),
            ref=environ.get("GITHUB_REF", ""),
            sha=_sha(environ.get("GITHUB_SHA")),
            workflow_run=_workflow_run(_part(payload, "workflow_run")),
        )

    @property
    def repository_url(self) -> str:
        """The repository's page."""
        return f"{self.server_url}/{self.repository}"

    @property
    def run_url(self) -> str:
        """The page of this job's run."""
        return self.url_of_run(self.run_id) if self.run_id else ""

    def url_of_run(self, identity: int | str) -> str:
        """The page of a run of this repository."""
        return f"{self.repository_url}/actions/runs/{identity}"


def _is_default(environ: Mapping[str, str], payload: Mapping[str, Any]) -> bool:
    branch = _part(payload, "repository").get("default_branch")
    return (
        environ.get("GITHUB_EVENT_NAME") in _OF_A_BRANCH
        and isinstance(branch, str)
        and environ.get("GITHUB_REF") == f"refs/heads/{branch}"
    )


def _workflow_run(run: Mapping[str, Any]) -> WorkflowRun | None:
    identity, branch = _number(run.get("id")), run.get("head_branch")
    owner = _part(_part(run, "head_repository"), "owner").get("login")
    if identity is None or not isinstance(branch, str) or not isinstance(owner, str):
        return None
    return WorkflowRun(identity, _sha(run.get("head_sha")), branch, owner)


def _payload(path: str) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise InputError(f"the event's payload cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = whole.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _sha(value: object) -> str:
    return value if isinstance(value, str) and _SHA.fullmatch(value) else ""
