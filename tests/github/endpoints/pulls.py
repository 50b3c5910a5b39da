"""Pull requests, comparisons of commits, the repository, and the user."""

from typing import Any

from tests.github.call import Call, Endpoint
from tests.github.endpoints.issues import render_issue, render_user
from tests.github.exchange import Answer, not_found, refusal
from tests.github.git import Commit
from tests.github.state import End, Pull

_BASIC = ("id", "number", "title", "body", "state", "user", "created_at", "updated_at", "closed_at", "html_url")


def render_repository(call: Call, full_name: str) -> dict[str, Any]:
    state = call.state
    own = full_name == state.repository
    owner, _, name = full_name.partition("/")
    return {
        "id": state.repository_id if own else state.repository_id + 1,
        "name": name,
        "full_name": full_name,
        "owner": render_user(owner, "Organization" if own else "User"),
        "private": state.private,
        "fork": not own,
        "default_branch": state.default_branch,
        "url": f"{call.url}/repos/{full_name}",
        "html_url": f"https://github.com/{full_name}",
    }


def render_pull(call: Call, pull: Pull) -> dict[str, Any]:
    issue = render_issue(call, pull)
    return {
        **{name: issue[name] for name in _BASIC},
        "url": call.address(f"pulls/{pull.number}"),
        "issue_url": issue["url"],
        "comments_url": issue["comments_url"],
        "head": _render_end(call, pull.head),
        "base": _render_end(call, pull.base),
    }


def list_pulls(call: Call) -> Answer:
    """List pull requests. Like GitHub, ignore a `head` without an owner."""
    query = call.query
    state, base, head = query.get("state", "open"), query.get("base"), query.get("head", "")
    pulls = [one for one in call.state.pulls.values() if state in (one.state, "all") and base in (None, one.base.ref)]
    if ":" in head:
        pulls = [one for one in pulls if one.head.label == head]
    pulls.sort(key=lambda one: (one.created_at, one.number), reverse=query.get("direction", "desc") == "desc")
    return call.answer_page(pulls, render_pull)


def get_pull(call: Call) -> Answer:
    if (pull := call.state.pulls.get(call.in_path["pull_number"])) is None:
        raise not_found()
    comments = len(call.state.comments.get(pull.number, ()))
    return Answer(body={**render_pull(call, pull), "merged": False, "comments": comments})


def compare(call: Call) -> Answer:
    """Compare two commits. Both may be branches, tags, hashes, or a fork's owner:branch."""
    base_name, dots, head_name = call.in_path["basehead"].partition("...")
    base, head = _end(call, base_name), _end(call, head_name)
    git = call.state.git
    common = git.merge_base(base, head) if dots and base and head else None
    if common is None or base is None or head is None:
        raise not_found()
    ahead, behind = git.ancestors(head) - git.ancestors(base), git.ancestors(base) - git.ancestors(head)
    status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    body = {
        "base_commit": render_commit(call, git.commits[base]),
        "merge_base_commit": render_commit(call, git.commits[common]),
        "status": status.get((bool(ahead), bool(behind)), "identical"),
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": [render_commit(call, one) for one in git.commits.values() if one.sha in ahead],
    }
    return Answer(body=body)


def render_commit(call: Call, commit: Commit) -> dict[str, Any]:
    return {
        "sha": commit.sha,
        "url": call.address(f"commits/{commit.sha}"),
        "commit": {"message": commit.message, "tree": {"sha": commit.tree}},
        "parents": [{"sha": one} for one in commit.parents],
    }


def get_repository(call: Call) -> Answer:
    return Answer(body=render_repository(call, call.state.repository))


def get_user(call: Call) -> Answer:
    """Get the user. The token of a workflow is an installation's, which has none."""
    if call.token.type == "Bot":
        raise refusal(403, "Resource not accessible by integration")
    return Answer(body={**render_user(call.token.login, call.token.type), "user_view_type": "public"})


def _render_end(call: Call, end: End) -> dict[str, Any]:
    return {
        "label": end.label,
        "ref": end.ref,
        "sha": end.sha,
        "user": render_user(end.owner, "Organization" if end.repo == call.state.repository else "User"),
        "repo": render_repository(call, end.repo),
    }


def _end(call: Call, name: str) -> str | None:
    owner, colon, branch = name.rpartition(":")
    if colon and owner != call.state.repository.partition("/")[0]:
        return next((one.head.sha for one in call.state.pulls.values() if one.head.label == name), None)
    return call.state.git.resolve(branch)


ENDPOINTS = {
    "GET /user": Endpoint(get_user),
    "GET /repos/{owner}/{repo}": Endpoint(get_repository),
    "GET /repos/{owner}/{repo}/pulls": Endpoint(list_pulls, "read", ("pull-requests",)),
    "GET /repos/{owner}/{repo}/pulls/{pull_number}": Endpoint(get_pull, "read", ("pull-requests",)),
    "GET /repos/{owner}/{repo}/compare/{basehead}": Endpoint(compare, "read", ("contents",)),
}
