"""Runs of workflows, and their artifacts."""

import hashlib
from typing import Any

from tests.github.call import Call, Endpoint
from tests.github.endpoints.pulls import render_repository
from tests.github.exchange import Answer, not_found, refusal
from tests.github.state import Artifact, Run

_RIGHTS = ("actions",)


def render_run(call: Call, run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "path": run.path,
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion,
        "run_attempt": run.attempt,
        "head_repository": render_repository(call, run.head_repo),
        "repository": render_repository(call, call.state.repository),
        "pull_requests": [_render_pull(call, number) for number in run.pull_requests],
        "url": call.address(f"actions/runs/{run.id}"),
        "html_url": f"https://github.com/{call.state.repository}/actions/runs/{run.id}",
        "artifacts_url": call.address(f"actions/runs/{run.id}/artifacts"),
    }


def render_artifact(call: Call, artifact: Artifact) -> dict[str, Any]:
    url = call.address(f"actions/artifacts/{artifact.id}")
    return {
        "id": artifact.id,
        "name": artifact.name,
        "size_in_bytes": len(artifact.content),
        "digest": f"sha256:{hashlib.sha256(artifact.content).hexdigest()}",
        "expired": artifact.expired,
        "created_at": artifact.created_at,
        "url": url,
        "archive_download_url": f"{url}/zip",
        "workflow_run": {
            "id": artifact.run.id,
            "head_branch": artifact.run.head_branch,
            "head_sha": artifact.run.head_sha,
        },
    }


def get_run(call: Call) -> Answer:
    return Answer(body=render_run(call, _run(call)))


def list_artifacts(call: Call) -> Answer:
    """List artifacts, newest first unless another order is requested."""
    run, name = _run(call), call.query.get("name")
    found = [a for a in call.state.artifacts.values() if a.run is run and name in (None, a.name)]
    found.sort(key=lambda artifact: artifact.id, reverse=call.query.get("direction", "desc") == "desc")
    page, headers = call.select_page(found)
    body = {"total_count": len(found), "artifacts": [render_artifact(call, artifact) for artifact in page]}
    return Answer(200, headers, body)


def download_artifact(call: Call) -> Answer:
    artifact = call.state.artifacts.get(call.in_path["artifact_id"])
    if artifact is None or call.in_path["archive_format"] != "zip":
        raise not_found()
    if artifact.expired:
        raise refusal(410, "Artifact has expired")
    return Answer(302, {"location": call.blobs.sign(artifact)})


def _run(call: Call) -> Run:
    if (found := call.state.runs.get(call.in_path["run_id"])) is None:
        raise not_found()
    return found


def _render_pull(call: Call, number: int) -> dict[str, Any]:
    pull = call.state.pulls[number]
    ends = {name: {"ref": end.ref, "sha": end.sha} for name, end in (("head", pull.head), ("base", pull.base))}
    return {"id": 10_000 + number, "number": number, "url": call.address(f"pulls/{number}"), **ends}


_RUN = "/repos/{owner}/{repo}/actions/runs/{run_id}"
ENDPOINTS = {
    f"GET {_RUN}": Endpoint(get_run, "read", _RIGHTS),
    f"GET {_RUN}/artifacts": Endpoint(list_artifacts, "read", _RIGHTS),
    "GET /repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}": Endpoint(
        download_artifact, "read", _RIGHTS
    ),
}
