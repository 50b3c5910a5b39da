"""A client of GitHub's REST API that handles rate limits, server errors and lost answers, with limited retries.

How long it waits follows GitHub's "Best practices for using the REST API" and "Rate limits for the REST API".
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
from gidgethub import GitHubException, HTTPException
from gidgethub.abc import GitHubAPI
from yarl import URL

from bench_action.model.errors import PublishError

_ATTEMPTS = 5
_PATIENCE_S = 180.0  # all waits of one request together: if GitHub says to wait for an hour, we give up immediately
_RUN_PATIENCE_S = 300.0  # all waits, and all answers that did not come, of all requests of a run
_ANSWER_S = 60.0
_BETWEEN_WRITES_S = 1.0
_SECONDARY_LIMIT_S = 60.0
_TRANSIENT = frozenset({408, 500, 502, 503, 504})
# what taking an answer apart raises that is not JSON, or JSON of another form
UNCLEAR = (GitHubException, LookupError, TypeError, ValueError, AttributeError)


class LostAnswerError(PublishError):
    """A write was sent, but its outcome is unknown: read before writing again."""


@dataclass(slots=True)
class Patience:
    """How many seconds the requests of a run may still lose together, by waiting and for answers that do not come."""

    left_s: float = _RUN_PATIENCE_S


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is, and the token to use.

    `patience_s` limits the total wait of one request, `patience` that of all requests with this access.
    """

    api_url: str
    token: str
    repository: str
    patience_s: float = _PATIENCE_S
    patience: Patience = field(default_factory=Patience, compare=False)


class Client(GitHubAPI):
    """A gidgethub client that retries. Raises gidgethub's exceptions and LostAnswerError."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        access: Access,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__("bench-action", oauth_token=access.token, base_url=access.api_url.rstrip("/"))
        self._session, self._sleep, self._patience_s = session, sleep, access.patience_s
        self._patience = access.patience
        self._waited_s: dict[tuple[str, str], float] = {}
        self._last_write = -_BETWEEN_WRITES_S

    async def sleep(self, seconds: float) -> None:
        """Sleep with the function that the constructor took."""
        await self._sleep(seconds)

    async def manage_rate_limit(self, *, method: str, url: str) -> None:  # noqa: ARG002
        """Leave a second between writes, as GitHub requires."""
        if method == "GET":
            return
        await self._sleep(max(0.0, self._last_write + _BETWEEN_WRITES_S - time.monotonic()))
        self._last_write = time.monotonic()

    async def handle_rate_limit_error(self, *, method: str, url: str, exception: HTTPException, attempt: int) -> bool:
        """Wait if another attempt may succeed, and return whether. A POST whose outcome is unknown is not repeated."""
        status, headers = exception.status_code, exception.headers or {}
        if method == "POST" and status in _TRANSIENT:
            raise LostAnswerError(f"GitHub answered {method} {_path(url)} with {status.value}") from exception
        pause_s = compute_wait_s(status, headers, str(exception), attempt, now=time.time())
        return pause_s is not None and await self._wait(method, url, pause_s, attempt)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        for attempt in range(1, _ATTEMPTS + 1):
            sent_at = time.monotonic()
            try:
                return await self._send(method, url, headers, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._patience.left_s -= time.monotonic() - sent_at
                what = f"no answer from GitHub to {method} {_path(url)}: {error or type(error).__name__}"
                if method == "POST":
                    raise LostAnswerError(what) from error
                if not await self._wait(method, url, compute_backoff_s(attempt), attempt):
                    advice = "run the job again; if that fails too, check the API's address in GITHUB_API_URL"
                    raise PublishError(what, advice=advice) from error
        raise AssertionError  # unreachable: the last attempt returns or raises

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        # redirects are not followed: the token must reach nothing but the API
        address = URL(url, encoded=True)  # links to pages must be used exactly as GitHub gave them
        async with self._session.request(
            method, address, headers=headers, data=body, allow_redirects=False
        ) as response:
            return _replace_unknown_status(response.status), response.headers, await response.read()

    async def _wait(self, method: str, url: str, pause_s: float, attempt: int) -> bool:
        key = (method, url)
        waited_s = self._waited_s.get(key, 0.0) + pause_s
        if attempt >= _ATTEMPTS or waited_s > self._patience_s or pause_s > self._patience.left_s:
            return False
        self._waited_s[key] = waited_s
        self._patience.left_s -= pause_s
        await self._sleep(pause_s)
        return True


@asynccontextmanager
async def open_client(access: Access) -> AsyncIterator[Client]:
    """Open a client. GitHub's refusals become a PublishError that says what to set."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        try:
            yield Client(session, access)
        except HTTPException as error:
            raise explain_refusal(error) from error
        except UNCLEAR as error:
            raise explain_unclear_answer(error) from error


def compute_wait_s(status: int, headers: Mapping[str, str], message: str, attempt: int, *, now: float) -> float | None:
    """Compute the seconds until another attempt may succeed; None if none will. `now`: seconds since the epoch."""
    retry_after_s = _parse_number(headers.get("retry-after"))
    if status in _TRANSIENT:
        return retry_after_s or compute_backoff_s(attempt)
    if status not in {403, 429}:
        return None
    if retry_after_s is not None:
        return retry_after_s
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _parse_number(headers.get("x-ratelimit-reset"))
        return _SECONDARY_LIMIT_S if reset is None else max(1.0, reset - now + 1)
    if status == 429 or "rate limit" in message.lower():
        return _SECONDARY_LIMIT_S * float(2 ** (attempt - 1))
    return None  # missing permissions


def compute_backoff_s(attempt: int) -> float:
    """Compute 1, 2, 4, … s plus up to half of it, so that clients that failed together do not retry together."""
    return float(2 ** (attempt - 1)) * random.uniform(1.0, 1.5)


def explain_unclear_answer(error: Exception) -> PublishError:
    """Make a PublishError of an answer that is not what GitHub describes."""
    return PublishError(
        f"could not understand GitHub's answer: {type(error).__name__}: {error}",
        cause="it was cut, or something between this machine and GitHub answered in its place",
        advice="run the job again; if that fails too, check the API's address in GITHUB_API_URL, and proxies",
    )


def explain_refusal(error: HTTPException) -> PublishError:
    """Make a PublishError of what GitHub refused, with advice on what to set."""
    status = error.status_code.value
    if "rate limit" in str(error).lower():
        status = int(HTTPStatus.TOO_MANY_REQUESTS)  # a 403 of GitHub's, and no lack of permissions
    advice = {
        401: "the token is invalid or has expired: leave `github-token` out, or set a valid one",
        403: "give the job `permissions: pull-requests: write` (and `actions: read` to publish another run's result)",
        429: "the token's requests are used up for now: run the job again later, or let fewer jobs use this token",
        404: "the token cannot see the repository, or the requested object no longer exists",
    }.get(status, "run the job again later")
    return PublishError(f"GitHub refused with status {status}: {error}", advice=advice, status=status)


def _replace_unknown_status(status: int) -> int:
    """Replace a status that Python does not know, such as a proxy's 520 or 599, as gidgethub cannot hold it."""
    if status in {known.value for known in HTTPStatus}:
        return status
    return int(HTTPStatus.BAD_GATEWAY if status >= 500 else HTTPStatus.BAD_REQUEST)


def _path(url: str) -> str:
    return url.partition("?")[0]


def _parse_number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
