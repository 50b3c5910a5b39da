"""One comment of ours on a pull request for each key: found again by marker and author, edited in place."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gidgethub import HTTPException

from bench_action.github.client import Access, Client, LostAnswerError, connected
from bench_action.github.texts import UNKNOWN, Author, Origin, author_of, marker, written

_PAGE = "/repos/{+repository}/issues/{number}/comments?per_page=100"
_COMMENTS = "/repos/{+repository}/issues/{number}/comments"
_ONE = "/repos/{+repository}/issues/comments/{id}"


_SHARED = (
    "> ⚠️ This comment replaces that of {other}, as both have the same `comment-key`. Give each benchmark its own "
    "`comment-key` to keep both comments."
)


@dataclass(frozen=True, slots=True)
class PostedComment:
    """Where the comment is; `replaced` names another benchmark whose comment it has replaced, empty for none."""

    url: str
    replaced: str = ""


def upsert_comment(access: Access, number: int, key: str, body: str, origin: Origin = UNKNOWN) -> PostedComment:
    """Write the one comment of this key, and say so in it where it was another benchmark's. Raises PublishError."""
    return asyncio.run(_upsert(access, number, key, body, origin))


async def _upsert(access: Access, number: int, key: str, body: str, origin: Origin) -> PostedComment:
    where = {"repository": access.repository, "number": str(number)}
    replaced = ""
    async with connected(access) as client:
        author = await author_of(client)

        async def write() -> str:
            nonlocal replaced
            ours = await _find(client, where, author, key)
            clashes = [origin.explain_clash(Origin.of_text(str(one["body"]))) for one in ours]
            replaced = next((other for other in clashes if other), replaced)
            data = {"body": _text(key, body, origin, replaced)}
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

        url = await written("the comment", write)
    return PostedComment(url, replaced)


def _text(key: str, body: str, origin: Origin, replaced: str) -> str:
    parts = [f"{marker(key)}\n{body}", f"\n{_SHARED.format(other=replaced)}\n" if replaced else "", origin.line]
    return "\n".join(part for part in parts if part)


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
