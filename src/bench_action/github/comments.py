"""Write one comment per key on a pull request: found again by its marker and author, and edited in place."""

import asyncio
from dataclasses import dataclass

from gidgethub import HTTPException

from bench_action.github.client import Access, Client, LostAnswerError, open_client
from bench_action.github.texts import UNKNOWN, Origin, find_author, make_marker, write_once

_PAGE = "/repos/{+repository}/issues/{number}/comments?per_page=100"
_COMMENTS = "/repos/{+repository}/issues/{number}/comments"
_COMMENT = "/repos/{+repository}/issues/comments/{id}"
_REPLACED = (
    "> ⚠️ This comment replaces that of {other}: both have the same `comment-key`. To keep both comments, give each "
    "benchmark its own `comment-key`."
)


@dataclass(frozen=True, slots=True)
class PostedComment:
    """A comment's address. `replaced`: the other benchmark whose comment it replaced, if any."""

    url: str
    replaced: str = ""


def upsert_comment(
    access: Access, number: int, key: str, body: str, origin: Origin = UNKNOWN, *, only_replace: bool = False
) -> PostedComment:
    """Create or edit the comment of this key, with a note if it was another benchmark's. Raises PublishError.

    `only_replace`: create none. Then the address may be empty.
    """
    return asyncio.run(_upsert(access, number, key, body, origin, only_replace=only_replace))


async def _upsert(
    access: Access, number: int, key: str, body: str, origin: Origin, *, only_replace: bool
) -> PostedComment:
    where = {"repository": access.repository, "number": str(number)}
    replaced = ""
    async with open_client(access) as client:
        author = await find_author(client)

        async def write() -> str:
            nonlocal replaced
            ours = [comment async for comment in client.getiter(_PAGE, where) if author.wrote(comment, key)]
            clashes = [origin.explain_clash(Origin.parse(str(comment["body"]))) for comment in ours]
            replaced = next((other for other in clashes if other), replaced)
            data = {"body": _render(key, body, origin, replaced)}
            if not ours and only_replace:
                return ""
            if not ours:
                return str((await client.post(_COMMENTS, where, data=data))["html_url"])
            oldest, *surplus = [{"repository": access.repository, "id": str(comment["id"])} for comment in ours]
            try:
                for comment in surplus:  # two jobs that began together may both have found none
                    await _delete(client, comment)
                return str((await client.patch(_COMMENT, oldest, data=data))["html_url"])
            except HTTPException as error:
                if error.status_code != 404:
                    raise
                raise LostAnswerError("the comment was deleted while it was edited") from error

        url = await write_once("the comment", write)
    return PostedComment(url, replaced)


def _render(key: str, body: str, origin: Origin, replaced: str) -> str:
    note = f"\n{_REPLACED.format(other=replaced)}\n" if replaced else ""
    return "\n".join(part for part in (f"{make_marker(key)}\n{body}", note, origin.line) if part)


async def _delete(client: Client, comment: dict[str, str]) -> None:
    try:
        await client.delete(_COMMENT, comment)
    except HTTPException as error:
        if error.status_code != 404:
            raise
