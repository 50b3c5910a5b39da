"""What only GitHub knows about pull requests: their commits, and which one a run of a fork belongs to."""

import asyncio

from bench_action.github.client import Access, open_client
from bench_action.github.event import WorkflowRun

_PULL = "/repos/{+repository}/pulls/{number}"
_PULLS = "/repos/{+repository}/pulls{?head,state,per_page}"
_COMPARE = "/repos/{+repository}/compare/{base}...{head}"


def fetch_merge_base(access: Access, base: str, head: str) -> str:
    """Fetch the merge base of two commits, which may be in different forks of a repository. Raises PublishError."""

    async def ask() -> str:
        async with open_client(access) as client:
            answer = await client.getitem(_COMPARE, {"repository": access.repository, "base": base, "head": head})
            return str(answer["merge_base_commit"]["sha"])

    return asyncio.run(ask())


def fetch_pull_commits(access: Access, number: int) -> tuple[str, str, str]:
    """Fetch the branch that a pull request would be merged into, its commit, and head's. Raises PublishError."""

    async def ask() -> tuple[str, str, str]:
        async with open_client(access) as client:
            pull = await client.getitem(_PULL, {"repository": access.repository, "number": str(number)})
            return str(pull["base"]["ref"]), str(pull["base"]["sha"]), str(pull["head"]["sha"])

    return asyncio.run(ask())


def find_pulls(access: Access, run: WorkflowRun) -> list[int]:
    """Find the open pull requests whose head is the commit that a run was for; none if its branch has moved on.

    GitHub does not name the pull request of a fork's run, and the fork's artifact cannot be trusted to. Raises
    PublishError.
    """
    if not run.head_owner or not run.head_branch:
        return []

    async def ask() -> list[int]:
        query = {"head": f"{run.head_owner}:{run.head_branch}", "state": "open", "per_page": "100"}
        async with open_client(access) as client:
            pulls = client.getiter(_PULLS, {"repository": access.repository, **query})
            heads = [(int(pull["number"]), pull["head"]) async for pull in pulls]
        return [number for number, head in heads if (head["sha"], head["ref"]) == (run.head_sha, run.head_branch)]

    return asyncio.run(ask())
