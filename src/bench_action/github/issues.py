"""Write one open issue about the trend: found again by its first line and its author, and edited in place."""

import asyncio
from collections.abc import Callable

from bench_action.github.client import Access, open_client
from bench_action.github.texts import find_author, make_marker, write_once

_OPEN = "/repos/{+repository}/issues?state=open&per_page=100"
_ISSUES = "/repos/{+repository}/issues"
_ISSUE = "/repos/{+repository}/issues/{number}"


def upsert_issue(access: Access, key: str, render: Callable[[str], tuple[str, str]]) -> str:
    """Create or edit the open issue of this key, and return its address. A closed issue stays closed.

    `render`: the issue's present text, empty for a new one → its title and its markdown. Raises PublishError.
    """
    return asyncio.run(_upsert(access, key, render))


async def _upsert(access: Access, key: str, render: Callable[[str], tuple[str, str]]) -> str:
    where = {"repository": access.repository}

    def make(former: str) -> dict[str, str]:
        title, body = render(former)
        return {"title": title, "body": f"{make_marker(key)}\n{body}"}

    async with open_client(access) as client:
        author = await find_author(client)

        async def write() -> str:
            issues = [issue async for issue in client.getiter(_OPEN, where) if "pull_request" not in issue]
            if ours := [issue for issue in issues if author.wrote(issue, key)]:
                place = {**where, "number": str(ours[-1]["number"])}
                former = str(ours[-1].get("body") or "")
                return str((await client.patch(_ISSUE, place, data=make(former)))["html_url"])
            return str((await client.post(_ISSUES, where, data=make("")))["html_url"])

        return await write_once("the issue", write)
