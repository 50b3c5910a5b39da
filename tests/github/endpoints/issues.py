"""Issues, and comments on them and on pull requests."""

import zlib
from typing import Any

from tests.github.call import Call, Endpoint
from tests.github.exchange import Answer, invalid, not_found, refusal
from tests.github.git import now
from tests.github.state import Comment, Issue, Pull

LONGEST_BODY = 65_536  # characters
_COMMENTS = ("issues", "pull-requests")
_ISSUES = ("issues",)
_CHANGEABLE = ("title", "body", "state", "state_reason")


def render_user(login: str, kind: str) -> dict[str, Any]:
    return {"login": login, "type": kind, "id": zlib.crc32(login.encode()), "site_admin": False}


def render_comment(call: Call, number: int, comment: Comment) -> dict[str, Any]:
    kind = "pull" if number in call.state.pulls else "issues"
    return {
        "id": comment.id,
        "body": comment.body,
        "user": render_user(comment.login, comment.type),
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "url": call.address(f"issues/comments/{comment.id}"),
        "issue_url": call.address(f"issues/{number}"),
        "html_url": f"https://github.com/{call.state.repository}/{kind}/{number}#issuecomment-{comment.id}",
    }


def render_issue(call: Call, issue: Issue) -> dict[str, Any]:
    """Render an issue. GitHub lists pull requests as issues, too, with the property `pull_request`."""
    pull = isinstance(issue, Pull)
    html_url = f"https://github.com/{call.state.repository}/{'pull' if pull else 'issues'}/{issue.number}"
    more = {"pull_request": {"url": call.address(f"pulls/{issue.number}"), "html_url": html_url}} if pull else {}
    labels = [{"id": zlib.crc32(one.encode()), "name": one, "color": "ededed"} for one in issue.labels]
    return {
        **more,
        "id": 10_000 + issue.number,
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "state": issue.state,
        "state_reason": issue.state_reason,
        "labels": labels,
        "user": render_user(issue.login, issue.type),
        "comments": len(call.state.comments.get(issue.number, ())),
        "created_at": issue.created_at,
        "updated_at": issue.updated_at,
        "closed_at": issue.updated_at if issue.state == "closed" else None,
        "url": call.address(f"issues/{issue.number}"),
        "comments_url": call.address(f"issues/{issue.number}/comments"),
        "html_url": html_url,
    }


def list_comments(call: Call) -> Answer:
    number = _issue(call).number
    since = call.query.get("since", "")
    comments = [one for one in call.state.comments.get(number, ()) if one.updated_at >= since]
    return call.answer_page(comments, lambda _, one: render_comment(call, number, one))


def create_comment(call: Call) -> Answer:
    number = _issue(call).number
    _demand_right(call, number)
    body = _check_body("IssueComment", "data", call.body["body"])
    comment = call.state.comment(number, body, call.token.login, call.token.type)
    answer = render_comment(call, number, comment)
    return Answer(201, {"location": answer["url"]}, answer)


def get_comment(call: Call) -> Answer:
    return Answer(body=render_comment(call, *_comment(call)))


def update_comment(call: Call) -> Answer:
    number, comment = _comment(call)
    _demand_right(call, number)
    comment.body = _check_body("IssueComment", "data", call.body["body"])
    comment.updated_at = now()
    return Answer(body=render_comment(call, number, comment))


def delete_comment(call: Call) -> Answer:
    number, comment = _comment(call)
    _demand_right(call, number)
    call.state.comments[number].remove(comment)
    return Answer(204)


def list_issues(call: Call) -> Answer:
    query = call.query
    state, since = query.get("state", "open"), query.get("since", "")
    labels = {one for one in query.get("labels", "").split(",") if one}
    creator = query.get("creator")
    issues = [
        one
        for one in call.state.issues.values()
        if state in (one.state, "all")
        and labels <= set(one.labels)
        and creator in (None, one.login)
        and one.updated_at >= since
    ]
    when = "updated_at" if query.get("sort") == "updated" else "created_at"
    issues.sort(key=lambda one: (getattr(one, when), one.number), reverse=query.get("direction", "desc") == "desc")
    return call.answer_page(issues, render_issue)


def create_issue(call: Call) -> Answer:
    title, body = str(call.body["title"]), call.body.get("body")
    issue = call.state.issue(title, tuple(_label_names(call.body.get("labels", ()))), call.token.login)
    issue.type, issue.body = call.token.type, body if body is None else _check_body("Issue", "body", body)
    answer = render_issue(call, issue)
    return Answer(201, {"location": answer["url"]}, answer)


def get_issue(call: Call) -> Answer:
    return Answer(body=render_issue(call, _issue(call)))


def update_issue(call: Call) -> Answer:
    issue, body = _issue(call), call.body
    if isinstance(body.get("body"), str):
        _check_body("Issue", "body", body["body"])
    changes: dict[str, Any] = {name: body[name] for name in _CHANGEABLE if name in body}
    if "labels" in body:
        changes["labels"] = _label_names(body["labels"])
    if changes.get("state", issue.state) != issue.state and "state_reason" not in changes:
        changes["state_reason"] = "completed" if changes["state"] == "closed" else "reopened"
    for name, value in changes.items():
        setattr(issue, name, value)
    issue.updated_at = now()
    return Answer(body=render_issue(call, issue))


def _issue(call: Call) -> Issue:
    if (found := call.state.issues.get(call.in_path["issue_number"])) is None:
        raise not_found()
    return found


def _comment(call: Call) -> tuple[int, Comment]:
    if (found := call.state.find_comment(call.in_path["comment_id"])) is None:
        raise not_found()
    return found


def _demand_right(call: Call, number: int) -> None:
    """`pull-requests: write` is for comments on pull requests only, `issues: write` for both."""
    right = "pull-requests" if number in call.state.pulls else "issues"
    if not (call.token.may(right, "write") or call.token.may("issues", "write")):
        raise refusal(403, "Resource not accessible by integration")


def _check_body(resource: str, field: str, body: str) -> str:
    if len(body) > LONGEST_BODY:
        raise invalid(resource, field, "unprocessable", f"Body is too long (maximum is {LONGEST_BODY} characters)")
    return body


def _label_names(labels: Any) -> list[str]:
    return [one if isinstance(one, str) else one["name"] for one in labels]


ENDPOINTS = {
    "GET /repos/{owner}/{repo}/issues": Endpoint(list_issues, "read", _ISSUES),
    "POST /repos/{owner}/{repo}/issues": Endpoint(create_issue, "write", _ISSUES),
    "GET /repos/{owner}/{repo}/issues/{issue_number}": Endpoint(get_issue, "read", _COMMENTS),
    "PATCH /repos/{owner}/{repo}/issues/{issue_number}": Endpoint(update_issue, "write", _ISSUES),
    "GET /repos/{owner}/{repo}/issues/{issue_number}/comments": Endpoint(list_comments, "read", _COMMENTS),
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments": Endpoint(create_comment, "write", _COMMENTS),
    "GET /repos/{owner}/{repo}/issues/comments/{comment_id}": Endpoint(get_comment, "read", _COMMENTS),
    "PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}": Endpoint(update_comment, "write", _COMMENTS),
    "DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}": Endpoint(delete_comment, "write", _COMMENTS),
}
