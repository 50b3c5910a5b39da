"""A double of GitHub's REST API that keeps what it is told, and holds both sides to GitHub's own description of it.

with GitHubDouble() as github:
    github.state.pull(number=7)
    ...  # GITHUB_API_URL=github.url, GITHUB_TOKEN=token
    assert [one.body for one in github.state.comments[7]] == ["..."]
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
HOURLY_LIMIT = 1000  # of a workflow's token, in a repository

_NO_AGENT = b"Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
_API, _BLOB_STORE = 0, 1  # origins


@dataclass(frozen=True)
class _Examined:
    """A request with the operation that it asks for, if any, and what it has against the description."""

    request: Request
    operation: openapi.Operation | None
    in_path: dict[str, str]
    objections: list[str]


class GitHubDouble:
    """A server for as long as the context lasts. Tests seed and read `state`, and may do so while it serves.

    `faults` are taken in order, `requests` has every request that came, `violations` is what either side sent that
    GitHub does not describe. The tokens of a workflow are there from the start: "token" may write everything that is
    served, "fork-token" may only read. A server of an enterprise has a prefix, /api/v3, and sends no rate headers.
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
        """What GITHUB_API_URL is, without a slash at its end."""
        return self._server.origin(_API) + self._prefix

    @property
    def _graphql(self) -> str:
        return f"{self._prefix.removesuffix('/v3')}/graphql"

    @property
    def downloads(self) -> list[Download]:
        """Everything that the blob store was asked for with a good signature."""
        return self._blobs.downloads

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        request = await _read(incoming)
        self.requests.append(request)
        examined = self._examine(request)
        fault = next((one for one in self.faults if one.meets(request)), None)
        if fault is None:
            return self._response(request, self._answer(examined))
        fault.times -= 1
        done = self._answer(examined) if fault.after_write else None
        await asyncio.sleep(fault.delay_s)
        if fault.drop:
            assert incoming.transport is not None
            incoming.transport.close()
            return web.Response()
        return self._response(request, fault.answer or done or self._answer(examined))

    def _examine(self, request: Request) -> _Examined:
        """The address that Link gave, and the parameter in it, are of the double's making: they are taken back."""
        if request.path.startswith(BLOBS) or request.path == self._graphql:
            return _Examined(request, None, {}, [])
        path, query = self._own(request.path), {name: one for name, one in request.query.items() if name != CURSOR}
        found = self._description.find(request.method, path) if path else None
        objections = [] if found else [f"{request}: the double serves no such operation"]
        objections += [f"{request}: {one}" for one in (self._cursors.objection(request.query),) if one]
        objections += [] if "user-agent" in request.headers else [f"{request}: there is no User-Agent"]
        request = replace(request, path=path or request.path, query=query)
        operation, in_path = found or (None, {})
        if operation is not None:
            objections += self._description.check_request(operation, request, in_path)
        self.violations += objections
        return _Examined(request, operation, in_path, objections)

    def _own(self, path: str) -> str:
        """Without the prefix, and by the repository's name instead of its number; empty where it is not the API's."""
        if not path.startswith(f"{self._prefix}/"):
            return ""
        by_number, by_name = f"/repositories/{self.state.repository_id}/", f"/repos/{self.state.repository}/"
        path = path.removeprefix(self._prefix)
        return by_name + path.removeprefix(by_number) if path.startswith(by_number) else path

    def _answer(self, examined: _Examined) -> Answer:
        if examined.request.path.startswith(BLOBS):
            return self._download(examined.request)
        try:
            answer = self._viewer(examined) if examined.request.path == self._graphql else self._carry_out(examined)
        except Refusal as refused:
            answer = refused.answer
        except Exception as error:
            self.violations.append(f"the double failed at {examined.request}: {error!r}")
            raise
        if examined.operation is not None:
            answer = self._description.complete(examined.operation, answer)
            self.violations += self._description.check_answer(examined.operation, answer)
        return answer

    def _viewer(self, examined: _Examined) -> Answer:
        """The one question of the other API that is answered: who asks. A workflow's or an app's token may ask it."""
        token, body = self._token(examined.request), examined.request.body
        if not isinstance(body, dict) or body.get("query") != "{ viewer { login } }":
            self.violations.append(f"{examined.request}: the double answers no such query")
        return Answer(body={"data": {"viewer": {"login": token.login}}})

    def _carry_out(self, examined: _Examined) -> Answer:
        """In GitHub's order: who asks, whether they may, whether it can be understood, whether it can be done."""
        request, operation = examined.request, examined.operation
        if "user-agent" not in request.headers:
            raise Refusal(Answer(403, {"content-type": "text/plain"}, _NO_AGENT))
        token = self._token(request)
        if operation is None:
            raise not_found()
        endpoint = ENDPOINTS[str(operation)]
        in_path = _typed(operation, "path", examined.in_path)
        if "repo" in in_path and f"{in_path['owner']}/{in_path['repo']}" != self.state.repository:
            raise not_found()
        if not endpoint.allows(token):
            raise refusal(403, "Resource not accessible by integration")
        if examined.objections:
            raise refusal(422, "Invalid request.\n\n" + "\n".join(examined.objections))
        query = _typed(operation, "query", request.query)
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


def _typed(operation: openapi.Operation, where: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters as what they are described to be; those that are not described are left out."""
    schemas = {name: operation.schema(where, name) for name in given}
    return {name: openapi.typed(schema, given[name]) for name, schema in schemas.items() if schema is not None}
