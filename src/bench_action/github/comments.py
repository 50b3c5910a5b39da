"""One comment of ours on a pull request for each key: found again by marker and author, edited in place."""

import asyncio
from collections.abc import Mapping
from typing import Any

from gidgethub import HTTPException

from bench_action.github.client import Access, Client, LostAnswerError, connected
from bench_action.github.texts import Author, author_of, marker, written

_PAGE = "/repos/{+repository}/issues/{number}/comments?per_page=100"
_COMMENTS = "/repos/{+repository}/issues/{number}/comments"
_ONE = "/repos/{+repository}/issues/comments/{id}"


def upsert_comment(access: Access, number: int, key: str, body: str) -> str:
    """Write the one comment of this key; its address. Raises PublishError."""
    return asyncio.run(_upsert(access, number, key, body))


async def _upsert(access: Access, number: int, key: str, body: str) -> str:
    where, data = {"repository": access.repository, "number": str(number)}, {"body": f"{marker(key)}\n{body}"}
    async with connected(access) as client:
        author = await author_of(client)

        async def write() -> str:
            ours = await _find(client, where, author, key)
            if not ours:
                return str((await client.post(_COMMENTS, where, data=data))["html_url"])
            try:
                for surplus in ours[1:]:  # two jobs that began together may both have found none
                    await _delete(client, access, surplus)
                return str((await client.patch(_ONE, _of(access, ours[0]), data=data))["html_url"])
            except HTTPException as error:
                if error.status_code != 404:
                    raise
                raise LostAnswerError("the comment was deleted while it was edited") from error

        return await written("the comment", write)


async def _find(client: Client, where: Mapping[str, str], author: Author, key: str) -> list[Mapping[str, Any]]:
    """All of ours with this key, the oldest first, over all pages."""
    return [comment async for comment in client.getiter(_PAGE, dict(where)) if author.wrote(comment, key)]


async def _delete(client: Client, access: Access, comment: Mapping[str, Any]) -> None:
    try:
        await client.delete(_ONE, _of(access, comment))
    except HTTPException as error:
        if error.status_code != 404:
            raise


def _of(access: Access, comment: Mapping[str, Any]) -> dict[str, str]:
    return {"repository": access.repository, "id": str(comment["id"])}
