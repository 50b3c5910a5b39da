"""One comment of ours on a pull request for each key: found again by marker and author, edited in place."""

import asyncio
from collections.abc import Mapping
from typing import Any

from gidgethub import HTTPException

from bench_action.github.author import Author, author_of, marker
from bench_action.github.client import Access, Client, LostAnswerError, connected
from bench_action.model.errors import PublishError

_TRIES = 3
_PAGE = "/repos/{+repository}/issues/{number}/comments?per_page=100"
_COMMENTS = "/repos/{+repository}/issues/{number}/comments"
_ONE = "/repos/{+repository}/issues/comments/{id}"


def upsert_comment(access: Access, number: int, key: str, body: str) -> str:
    """Write the one comment of this key; its address. Raises PublishError."""
    return asyncio.run(_upsert(access, number, key, body))


async def _upsert(access: Access, number: int, key: str, body: str) -> str:
    text = f"{marker(key)}\n{body}"
    async with connected(access) as client:
        author = await author_of(client)
        where = {"repository": access.repository, "number": str(number)}
        for _ in range(_TRIES):
            ours = await _find(client, where, author, key)
            try:
                if not ours:
                    created = await client.post(_COMMENTS, where, data={"body": text})
                    return str(created["html_url"])
                for surplus in ours[1:]:  # two jobs that began together may both have found none
                    await _delete(client, access, surplus)
                edited = await client.patch(_ONE, _of(access, ours[0]), data={"body": text})
                return str(edited["html_url"])
            except LostAnswerError as error:  # it may have taken: look again before writing again
                lost = error
            except HTTPException as error:
                if not ours or error.status_code != 404:  # deleted meanwhile
                    raise
                lost = LostAnswerError("the comment was deleted while it was edited")
        raise PublishError(f"the comment could not be written in {_TRIES} tries", cause=lost.what)


async def _find(client: Client, where: Mapping[str, str], author: Author, key: str) -> list[Mapping[str, Any]]:
    """All of ours with this key, the oldest first, over all pages."""
    return [
        comment
        async for comment in client.getiter(_PAGE, dict(where))
        if author.wrote(comment) and str(comment.get("body") or "").startswith(marker(key))
    ]


async def _delete(client: Client, access: Access, comment: Mapping[str, Any]) -> None:
    try:
        await client.delete(_ONE, _of(access, comment))
    except HTTPException as error:
        if error.status_code != 404:
            raise


def _of(access: Access, comment: Mapping[str, Any]) -> dict[str, str]:
    return {"repository": access.repository, "id": str(comment["id"])}
