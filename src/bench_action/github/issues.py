"""One open issue about the trend: found again by its first line and its author, brought up to date."""

import asyncio

from bench_action.github.author import author_of, marker
from bench_action.github.client import Access, LostAnswerError, connected
from bench_action.model.errors import PublishError

_TRIES = 3
_OPEN = "/repos/{+repository}/issues?state=open&per_page=100"
_ISSUES = "/repos/{+repository}/issues"
_ONE = "/repos/{+repository}/issues/{number}"


def upsert_issue(access: Access, key: str, title: str, body: str) -> str:
    """Write the one open issue of this key; its address. A closed one is left: what is new begins another.

    Raises PublishError.
    """
    return asyncio.run(_upsert(access, key, title, body))


async def _upsert(access: Access, key: str, title: str, body: str) -> str:
    where = {"repository": access.repository}
    data = {"title": title, "body": f"{marker(key)}\n{body}"}
    async with connected(access) as client:
        author = await author_of(client)
        for _ in range(_TRIES):
            ours = [
                issue
                async for issue in client.getiter(_OPEN, where)
                if "pull_request" not in issue
                and author.wrote(issue)
                and str(issue.get("body") or "").startswith(marker(key))
            ]
            try:
                if ours:
                    place = {**where, "number": str(ours[-1]["number"])}
                    return str((await client.patch(_ONE, place, data=data))["html_url"])
                return str((await client.post(_ISSUES, where, data=data))["html_url"])
            except LostAnswerError as error:  # it may have taken: look again before writing again
                lost = error
        raise PublishError(f"the issue could not be written in {_TRIES} tries", cause=lost.what)
