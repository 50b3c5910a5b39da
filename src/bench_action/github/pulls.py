"""What only GitHub knows of a pull request: its base, and which one a run of a fork belongs to."""

import asyncio

from bench_action.github.client import Access, connected
from bench_action.github.event import WorkflowRun

_PULL = "/repos/{+repository}/pulls/{number}"
_PULLS = "/repos/{+repository}/pulls{?head,state,per_page}"
_COMPARE = "/repos/{+repository}/compare/{base}...{head}"


def merge_base(access: Access, base: str, head: str) -> str:
    """The commit at which two commits of one network of forks parted. Raises PublishError."""

    async def ask() -> str:
        async with connected(access) as client:
            found = await client.getitem(_COMPARE, {"repository": access.repository, "base": base, "head": head})
            return str(found["merge_base_commit"]["sha"])

    return asyncio.run(ask())


def pull_shas(access: Access, number: int) -> tuple[str, str]:
    """Base and head of a pull request. Raises PublishError."""

    async def ask() -> tuple[str, str]:
        async with connected(access) as client:
            found = await client.getitem(_PULL, {"repository": access.repository, "number": str(number)})
            return str(found["base"]["sha"]), str(found["head"]["sha"])

    return asyncio.run(ask())


def find_pull(access: Access, run: WorkflowRun) -> int | None:
    """The open pull request of a run's branch whose head is the commit that ran; None where it has moved on.

    A run of a fork names no pull request, and what its artifact says is the fork's word. Raises PublishError.
    """

    async def ask() -> int | None:
        wanted = {"head": f"{run.head_owner}:{run.head_branch}", "state": "open", "per_page": "100"}
        async with connected(access) as client:
            async for pull in client.getiter(_PULLS, {"repository": access.repository, **wanted}):
                head = pull["head"]
                if head["sha"] == run.head_sha and head["ref"] == run.head_branch:
                    return int(pull["number"])
        return None

    return asyncio.run(ask())
