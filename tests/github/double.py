"""A double of GitHub's REST API that keeps its state, and checks both sides against GitHub's own description.

with GitHubDouble() as github:
    github.state.pull(number=7)
    ...  # GITHUB_API_URL=github.url, GITHUB_TOKEN=token
    assert [comment.body for comment in github.state.comments[7]] == ["..."]
    assert github.violations == []
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDict
from tests.github import openapi
from tests.github.blobs import PREFIX as BLOBS
from tests.github.blobs import BlobStore, Download
from tests.github.call import CURSOR, Call, Cursors
from tests.github.endpoints import actions, git, issues, pulls
from tests.github.exchange import READ, Answer, Fault, Refusal, Request, Token, not_found, refusal
from tests.github.server import Server
from tests.github.state import State

ENDPOINTS = {**issues.ENDPOINTS, **pulls.ENDPOINTS, **actions.ENDPOINTS, **git.ENDPOINTS}
HOURLY_LIMIT = 1000  # requests with a workflow's token, per repository

_NO_AGENT = b"Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
_API, _BLOB_STORE = 0, 1  # origins


@dataclass(frozen=True)
class _Examination:
    """A request with its operation, if known, and everything that the description objects to."""

    request: Request
    operation: openapi.Operation | None
    in_path: dict[str, str]
    objections: list[str]


class GitHubDouble:
    """A server that runs until the context ends. Tests seed and read `state`, also while it serves.

    `faults` apply in order, `requests` lists every request, and `violations` what either side sent that GitHub does not
    describe. A workflow's tokens exist from the start: "token" may write everything, "fork-token" may only read. An
    enterprise server has the prefix /api/v3, and sends no rate headers.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        prefix: str = "",
        enterprise: bool = False,
        repository: str = "org/shop",
        private: bool = False,
    ) -> None:
        self.state = State(repository, private)
        self.tokens = {"token": Token(), "fork-token": Token(rights=READ)}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self._prefix, self._enterprise = prefix, enterprise
        self._description = openapi.load()
        self._server = Server(self._handle, host, port)
        self._blobs = BlobStore(lambda: self._server.origin(_BLOB_STORE))
        self._cursors = Cursors()
        self._rate_reset_s = int(time.time()) + 3600

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """The value of GITHUB_API_URL, without a slash at its end."""
        return self._server.origin(_API) + self._prefix

    @property
    def _graphql(self) -> str:
        return f"{self._prefix.removesuffix('/v3')}/graphql"

    @property
    def downloads(self) -> list[Download]:
        """The downloads that were requested from the blob store with a valid signature."""
        return self._blobs.downloads

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        request = await _read(incoming)
        self.requests.append(request)
        examination = self._examine(request)
        fault = next((fault for fault in self.faults if fault.meets(request)), None)
        if fault is None:
            return self._response(request, self._answer(examination))
        fault.times -= 1
        done = self._answer(examination) if fault.after_write else None
        await asyncio.sleep(fault.delay_s)
        if fault.drop:
            assert incoming.transport is not None
            incoming.transport.close()
            return web.Response()
        response = self._response(request, fault.answer or done or self._answer(examination))
        return await _send_half(incoming, response) if fault.cut else response

    def _examine(self, request: Request) -> _Examination:
        """Check a request. Addresses from Link are translated back, as the double made them and their cursor."""
        if request.path.startswith(BLOBS) or request.path == self._graphql:
            return _Examination(request, None, {}, [])
        path, query = (
            self._translate(request.path),
            {name: value for name, value in request.query.items() if name != CURSOR},
        )
        found = self._description.find(request.method, path) if path else None
        objections = [] if found else [f"{request}: the double serves no such operation"]
        objections += [f"{request}: {text}" for text in (self._cursors.find_objection(request.query),) if text]
        objections += [] if "user-agent" in request.headers else [f"{request}: there is no User-Agent"]
        request = replace(request, path=path or request.path, query=query)
        operation, in_path = found or (None, {})
        if operation is not None:
            objections += self._description.check_request(operation, request, in_path)
        self.violations += objections
        return _Examination(request, operation, in_path, objections)

    def _translate(self, path: str) -> str:
        """Remove the prefix, and replace the repository's number by its name; empty if the path is not the API's."""
        if not path.startswith(f"{self._prefix}/"):
            return ""
        by_number, by_name = f"/repositories/{self.state.repository_id}/", f"/repos/{self.state.repository}/"
        path = path.removeprefix(self._prefix)
        return by_name + path.removeprefix(by_number) if path.startswith(by_number) else path

    def _answer(self, examination: _Examination) -> Answer:
        if examination.request.path.startswith(BLOBS):
            return self._download(examination.request)
        try:
            answer = (
                self._viewer(examination) if examination.request.path == self._graphql else self._carry_out(examination)
            )
        except Refusal as refused:
            answer = refused.answer
        except Exception as error:
            self.violations.append(f"the double failed at {examination.request}: {error!r}")
            raise
        if examination.operation is not None:
            answer = self._description.complete(examination.operation, answer)
            self.violations += self._description.check_answer(examination.operation, answer)
        return answer

    def _viewer(self, examination: _Examination) -> Answer:
        """Answer the one GraphQL query that is served: whose token it is. A workflow's or an app's token may ask it."""
        token, body = self._token(examination.request), examination.request.body
        if not isinstance(body, dict) or body.get("query") != "{ viewer { login } }":
            self.violations.append(f"{examination.request}: the double answers no such query")
        return Answer(body={"data": {"viewer": {"login": token.login}}})

    def _carry_out(self, examination: _Examination) -> Answer:
        """In GitHub's order: who asks, whether they may, whether it can be understood, whether it can be done."""
        request, operation = examination.request, examination.operation
        if "user-agent" not in request.headers:
            raise Refusal(Answer(403, {"content-type": "text/plain"}, _NO_AGENT))
        token = self._token(request)
        if operation is None:
            raise not_found()
        endpoint = ENDPOINTS[str(operation)]
        in_path = _convert(operation, "path", examination.in_path)
        if "repo" in in_path and f"{in_path['owner']}/{in_path['repo']}" != self.state.repository:
            raise not_found()
        if not endpoint.allows(token):
            raise refusal(403, "Resource not accessible by integration")
        if examination.objections:
            raise refusal(422, "Invalid request.\n\n" + "\n".join(examination.objections))
        query = _convert(operation, "query", request.query)
        return endpoint.carry_out(
            Call(self.state, token, request, in_path, query, self.url, self._cursors, self._blobs)
        )

    def _token(self, request: Request) -> Token:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if not secret:
            raise refusal(401, "Requires authentication")
        if scheme.lower() not in ("bearer", "token") or secret not in self.tokens:
            raise refusal(401, "Bad credentials")
        return self.tokens[secret]

    def _download(self, request: Request) -> Answer:
        if "authorization" in request.headers:
            self.violations.append(f"{request}: the token was sent to the blob store")
        return self._blobs.answer(request)

    def _response(self, request: Request, answer: Answer) -> web.Response:
        headers = CIMultiDict({} if request.path.startswith(BLOBS) else self._rate_headers())
        body = answer.body
        if not (body is None or isinstance(body, bytes)):
            headers["content-type"], body = "application/json; charset=utf-8", json.dumps(body).encode()
        headers.update(answer.headers)
        return web.Response(status=answer.status, headers=headers, body=body)

    def _rate_headers(self) -> dict[str, str]:
        if self._enterprise:
            return {}
        used = len(self.requests)
        return {
            "x-ratelimit-limit": str(HOURLY_LIMIT),
            "x-ratelimit-remaining": str(max(HOURLY_LIMIT - used, 0)),
            "x-ratelimit-used": str(used),
            "x-ratelimit-reset": str(self._rate_reset_s),
            "x-ratelimit-resource": "core",
        }


async def _send_half(incoming: web.Request, response: web.Response) -> web.StreamResponse:
    """Send the headers and half of the body, and close the connection."""
    body = response.body if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = len(body) + 1
    await half.prepare(incoming)
    await half.write(body[: len(body) // 2])
    assert incoming.transport is not None
    incoming.transport.close()
    return half


async def _read(incoming: web.Request) -> Request:
    content = await incoming.read()
    body: Any = None
    if content:
        try:
            body = json.loads(content)
        except ValueError:
            body = content
    query, headers = dict(incoming.query), CIMultiDict(incoming.headers)
    return Request(incoming.method, incoming.rel_url.raw_path, query, headers, body, time.monotonic())


def _convert(operation: openapi.Operation, where: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Convert parameters to their described types; undescribed ones are left out."""
    schemas = {name: operation.schema(where, name) for name in given}
    return {name: openapi.convert(schema, given[name]) for name, schema in schemas.items() if schema is not None}
