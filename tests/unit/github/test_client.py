"""How long GitHub requires us to wait, and when waiting is useless."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import pytest
from gidgethub import HTTPException

from bench_action.github.client import Access, Client, Patience, compute_backoff_s, compute_wait_s
from bench_action.github.texts import make_marker

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("status", "headers", "message", "attempt", "expected"),
    [
        (403, {"retry-after": "7"}, "", 1, 7.0),
        (429, {"retry-after": "0"}, "", 1, 0.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, "", 1, 31.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900"}, "", 1, 1.0),
        (429, {"x-ratelimit-remaining": "0"}, "", 1, 60.0),
        (403, {}, "You have exceeded a secondary rate limit", 2, 120.0),
        (429, {}, "", 1, 60.0),
        (503, {"retry-after": "5"}, "", 1, 5.0),
        (403, {"x-ratelimit-remaining": "4999"}, "Resource not accessible by integration", 1, None),
        (401, {}, "Bad credentials", 1, None),
        (404, {}, "Not Found", 1, None),
        (422, {}, "Validation Failed", 1, None),
    ],
)
def test_compute_wait_s__is_what_github_says(
    status: int, headers: dict[str, str], message: str, attempt: int, expected: float | None
) -> None:
    assert compute_wait_s(status, headers, message, attempt, now=1000.0) == expected


def test_compute_backoff_s__doubles_and_differs_between_clients() -> None:
    for attempt in range(1, 6):
        pauses = {compute_backoff_s(attempt) for _ in range(20)}
        assert min(pauses) >= 2 ** (attempt - 1)
        assert max(pauses) <= 1.5 * 2 ** (attempt - 1)
        assert len(pauses) > 1


def test_requests_of_a_run__wait_no_longer_together_than_its_patience() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def ask_for_patience(access: Access) -> list[bool]:
        refused = HTTPException(HTTPStatus.TOO_MANY_REQUESTS)
        clients = [Client(cast(Any, None), access, sleep=sleep) for _ in range(3)]
        return [
            await client.handle_rate_limit_error(method="GET", url=f"/{at}", exception=refused, attempt=1)
            for at, client in enumerate(clients)
        ]

    access = Access("https://api.example", "token", "org/shop", patience=Patience(150.0))
    assert asyncio.run(ask_for_patience(access)) == [True, True, False]
    assert waits == [60.0, 60.0]


@pytest.mark.parametrize("key", ["bench-action", "a-->b", "x\ny", "--><script>", "é" * 300])
def test_make_marker__is_one_comment_on_one_line(key: str) -> None:
    text = make_marker(key)
    assert text.startswith("<!-- bench-action:")
    assert text.count("-->") == 1
    assert text.endswith(" -->")
    assert "--" not in text[4:-3]
    assert "\n" not in text
