"""What goes over the wire: requests, answers, and faults that replace an answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

READ = {"pull-requests": "read", "issues": "read", "contents": "read", "actions": "read"}
WRITE = dict.fromkeys(READ, "write")

_DOCUMENTATION = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Token:
    """The account of a token, and its rights: "read", "write", or absent."""

    login: str = "github-actions[bot]"
    type: str = "Bot"
    rights: Mapping[str, str] = field(default_factory=lambda: WRITE)

    def may(self, right: str, level: str) -> bool:
        return self.rights.get(right) in (level, "write")


@dataclass(frozen=True)
class Request:
    """A request: the path with its prefix, still quoted; the body as JSON, as bytes if it is not JSON, or None.

    Names of headers are case-insensitive. `time_s` is on the monotonic clock.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    time_s: float

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """An answer. Its body is a JSON value, raw bytes, or None if it is empty."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass
class Fault:
    """What happens to the next `times` matching requests instead of the answer.

    `path_pattern`: a regular expression, searched for in the path. A fault without an answer that does not drop the
    connection only delays it. `after_write`: the request is carried out first, and its answer is lost. `cut`: the
    connection is closed in the middle of the answer.
    """

    method: str
    path_pattern: str
    answer: Answer | None = None
    times: int = 1
    after_write: bool = False
    drop: bool = False
    cut: bool = False
    delay_s: float = 0.0

    def meets(self, request: Request) -> bool:
        return self.times > 0 and self.method == request.method and bool(re.search(self.path_pattern, request.path))


class Refusal(Exception):  # noqa: N818
    """GitHub refuses a request."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refusal(status: int, message: str, **more: Any) -> Refusal:
    body = {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status), **more}
    return Refusal(Answer(status, body=body))


def invalid(resource: str, field_name: str, code: str, message: str) -> Refusal:
    """Make a refusal with status 422 that names one invalid field."""
    error = {"resource": resource, "field": field_name, "code": code, "message": message}
    return refusal(422, "Validation Failed", errors=[error])


def not_found() -> Refusal:
    return refusal(404, "Not Found")
