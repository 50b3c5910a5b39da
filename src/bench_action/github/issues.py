"""One open issue about the trend: found again by its first line and its author, brought up to date."""

import asyncio

from bench_action.github.client import Access, connected
from bench_action.github.texts import author_of, marker, written

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

        async def write() -> str:
            issues = [issue async for issue in client.getiter(_OPEN, where) if "pull_request" not in issue]
            if ours := [issue for issue in issues if author.wrote(issue, key)]:
                place = {**where, "number": str(ours[-1]["number"])}
                return str((await client.patch(_ONE, place, data=data))["html_url"])
            return str((await client.post(_ISSUES, where, data=data))["html_url"])

        return await written("the issue", write)
