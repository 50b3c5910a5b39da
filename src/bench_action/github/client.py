"""GitHub's REST API as it is: pages, limits, faults, and answers that get lost; all retried within bounds.

What counts as a wait follows GitHub's "Best practices for using the REST API" and "Rate limits for the REST API".
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from gidgethub import GitHubException, HTTPException
from gidgethub.abc import GitHubAPI
from yarl import URL

from bench_action.model.errors import PublishError

_ATTEMPTS = 5
_PATIENCE_S = 180.0  # all waits of one request together; whoever is told to wait for an hour gives up at once
_ANSWER_S = 60.0
_BETWEEN_WRITES_S = 1.0
_SECONDARY_LIMIT_S = 60.0
_TRANSIENT = frozenset({408, 500, 502, 503, 504})


class LostAnswerError(PublishError):
    """A write was sent, and whether it took is not known: look before writing again."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is, and as whom. `patience_s` bounds the waits of one request."""

    api_url: str
    token: str
    repository: str
    patience_s: float = _PATIENCE_S


class Client(GitHubAPI):
    """Requests with a token; raises what gidgethub raises, and LostAnswerError."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        access: Access,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__("bench-action", oauth_token=access.token, base_url=access.api_url.rstrip("/"))
        self._session, self._sleep, self._patience_s = session, sleep, access.patience_s
        self._waited_s: dict[tuple[str, str], float] = {}
        self._last_write = -_BETWEEN_WRITES_S

    async def sleep(self, seconds: float) -> None:
        """As told to the constructor."""
        await self._sleep(seconds)

    async def manage_rate_limit(self, *, method: str, url: str) -> None:  # noqa: ARG002
        """A second between writes, as GitHub asks."""
        if method == "GET":
            return
        await self._sleep(max(0.0, self._last_write + _BETWEEN_WRITES_S - time.monotonic()))
        self._last_write = time.monotonic()

    async def handle_rate_limit_error(self, *, method: str, url: str, exception: HTTPException, attempt: int) -> bool:
        """Whether to try again, after waiting; a creation whose fate is unknown never is."""
        status, headers = exception.status_code, exception.headers or {}
        if method == "POST" and status in _TRANSIENT:
            raise LostAnswerError(f"GitHub answered {method} {_path(url)} with {status.value}") from exception
        pause_s = wait_s(status, headers, str(exception), attempt, now=time.time())
        return pause_s is not None and await self._wait(method, url, pause_s, attempt)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._send(method, url, headers, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                what = f"no answer from GitHub to {method} {_path(url)}: {error or type(error).__name__}"
                if method == "POST":
                    raise LostAnswerError(what) from error
                if not await self._wait(method, url, backoff_s(attempt), attempt):
                    raise PublishError(
                        what, advice="run the job again; GITHUB_API_URL says where the API is"
                    ) from error
        raise AssertionError  # the last attempt has raised

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        # no redirect is followed: the token is for the API alone
        address = URL(url, encoded=True)  # pages and signatures are to be used as GitHub gave them
        async with self._session.request(
            method, address, headers=headers, data=body, allow_redirects=False
        ) as response:
            return _known(response.status), response.headers, await response.read()

    async def _wait(self, method: str, url: str, pause_s: float, attempt: int) -> bool:
        key = (method, url)
        waited_s = self._waited_s.get(key, 0.0) + pause_s
        if attempt >= _ATTEMPTS or waited_s > self._patience_s:
            return False
        self._waited_s[key] = waited_s
        await self._sleep(pause_s)
        return True


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Client]:
    """A client; what GitHub refuses becomes a PublishError that says what to set."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        try:
            yield Client(session, access)
        except HTTPException as error:
            raise refusal(error) from error
        except GitHubException as error:
            raise PublishError(f"GitHub's answer is not understood: {error}") from error


def wait_s(status: int, headers: Mapping[str, str], message: str, attempt: int, *, now: float) -> float | None:
    """Seconds until another try may succeed; None where it will not. `now`: seconds since the epoch."""
    if status in _TRANSIENT:
        return _number(headers.get("retry-after")) or backoff_s(attempt)
    if status not in {403, 429}:
        return None
    if (told := _number(headers.get("retry-after"))) is not None:
        return told
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _number(headers.get("x-ratelimit-reset"))
        return _SECONDARY_LIMIT_S if reset is None else max(1.0, reset - now + 1)
    if status == 429 or "rate limit" in message.lower():
        return _SECONDARY_LIMIT_S * float(2 ** (attempt - 1))
    return None  # a matter of rights


def backoff_s(attempt: int) -> float:
    """1, 2, 4, … s, each with up to half of it more, so that those who failed together do not come again together."""
    return float(2 ** (attempt - 1)) * random.uniform(1.0, 1.5)


def refusal(error: HTTPException) -> PublishError:
    """What GitHub said no to, with what to set."""
    status = error.status_code.value
    advice = {
        401: "the token is wrong or has expired: leave `github-token` out, or give one that is valid",
        403: "give the job `permissions: pull-requests: write` (and `actions: read` to publish another run's result)",
        404: "the token cannot see the repository, or the thing is gone",
    }.get(status, "run the job again later")
    return PublishError(f"GitHub refused with status {status}: {error}", advice=advice, status=status)


def _known(status: int) -> int:
    """A status that Python has a name for: proxies invent others (520, 599), which gidgethub cannot hold."""
    if status in {known.value for known in HTTPStatus}:
        return status
    return int(HTTPStatus.BAD_GATEWAY if status >= 500 else HTTPStatus.BAD_REQUEST)


def _path(url: str) -> str:
    return url.partition("?")[0]


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
