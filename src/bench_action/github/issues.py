"""Write one open issue about the trend: found again by its first line and its author, and edited in place."""

import asyncio

from bench_action.github.client import Access, open_client
from bench_action.github.texts import find_author, make_marker, write_once

_OPEN = "/repos/{+repository}/issues?state=open&per_page=100"
_ISSUES = "/repos/{+repository}/issues"
_ISSUE = "/repos/{+repository}/issues/{number}"


def upsert_issue(access: Access, key: str, title: str, body: str) -> str:
    """Create or edit the open issue of this key, and return its address. A closed issue stays closed.

    Raises PublishError.
    """
    return asyncio.run(_upsert(access, key, title, body))


async def _upsert(access: Access, key: str, title: str, body: str) -> str:
    where = {"repository": access.repository}
    data = {"title": title, "body": f"{make_marker(key)}\n{body}"}
    async with open_client(access) as client:
        author = await find_author(client)

        async def write() -> str:
            issues = [issue async for issue in client.getiter(_OPEN, where) if "pull_request" not in issue]
            if ours := [issue for issue in issues if author.wrote(issue, key)]:
                place = {**where, "number": str(ours[-1]["number"])}
                return str((await client.patch(_ISSUE, place, data=data))["html_url"])
            return str((await client.post(_ISSUES, where, data=data))["html_url"])

        return await write_once("the issue", write)
