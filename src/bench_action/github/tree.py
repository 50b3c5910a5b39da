"""A branch of files, by GitHub's git-data API: read as of one commit, moved forward by one, never by force."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
from gidgethub import GitHubException, HTTPException

from bench_action.github.client import Access, Client, LostAnswerError, refusal
from bench_action.model.errors import PublishError

Pause = Callable[[float], Awaitable[None]]

_ANSWER_S = 120.0  # a month of records may be some megabytes
_LARGEST_INLINE = 500_000  # bytes of a file that goes with its tree: each write less is a second less for others to win
_GIT = "/repos/{+repository}/git"
_REF = _GIT + "/ref/heads/{+branch}"
_COMPARE = "/repos/{+repository}/compare/{base}...{head}?per_page=1"
# GitHub's words where another writer was faster, or where one of its servers has not heard of what another one made
_RACES = re.compile(r"fast.forward|already exists|does not exist|update failed|not a valid|cannot lock", re.IGNORECASE)


class MovedError(PublishError):
    """The branch is not where it was; `commit` is what it would have been moved to, empty where it was not made."""

    def __init__(self, what: str, *, commit: str = "", status: int | None = None) -> None:
        super().__init__(what, status=status)
        self.commit = commit


class LostMoveError(LostAnswerError):
    """Whether the branch was moved to `commit` is not known."""

    def __init__(self, what: str, *, commit: str) -> None:
        super().__init__(what)
        self.commit = commit


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a branch is: a commit, and git's name of each of its files. Empty where there is no such branch."""

    commit: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


class Trees:
    """One branch. Raises PublishError, MovedError and LostAnswerError."""

    def __init__(self, access: Access, branch: str, *, pause: Pause | None = None) -> None:
        self._access, self._pause = access, pause or asyncio.sleep
        self._branch = branch
        self._where = {"repository": access.repository, "branch": quote(branch, safe="/")}

    def tip(self) -> Tip:
        """As it is now."""
        return asyncio.run(self._tip())

    def read(self, tip: Tip, paths: Collection[str]) -> dict[str, bytes]:
        """Files as of a tip, one after the other, as GitHub asks."""
        return asyncio.run(self._read([(path, tip.files[path]) for path in paths]))

    def write(self, parent: str, files: Mapping[str, bytes], message: str) -> str:
        """Replace files of a commit by one on top of it, or begin a branch; the commit."""
        return asyncio.run(self._write(parent, files, message))

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether a commit is in another's past, or is it."""
        return commit == of or asyncio.run(self._is_ancestor(commit, of))

    async def _tip(self) -> Tip:
        async with self._client() as client:
            try:
                ref = await client.getitem(_REF, self._where)
            except HTTPException as error:
                if error.status_code == 404:  # a repository that the token cannot see is told apart by the first write
                    return Tip()
                raise
            commit = str(ref["object"]["sha"])
            tree = await client.getitem(
                _GIT + "/trees/{sha}?recursive=1", {**self._where, "sha": await self._tree(client, commit)}
            )
            if tree["truncated"]:
                raise PublishError(f"branch {self._branch} has more files than GitHub lists", advice="another branch")
            return Tip(commit, {one["path"]: one["sha"] for one in tree["tree"] if one["type"] == "blob"})

    async def _tree(self, client: Client, commit: str) -> str:
        found = await client.getitem(_GIT + "/commits/{sha}", {**self._where, "sha": commit})
        return str(found["tree"]["sha"])

    async def _read(self, names: Collection[tuple[str, str]]) -> dict[str, bytes]:
        async with self._client() as client:
            found = {}
            for path, sha in names:
                blob = await client.getitem(_GIT + "/blobs/{sha}", {**self._where, "sha": sha})
                found[path] = base64.b64decode(blob["content"])
            return found

    async def _write(self, parent: str, files: Mapping[str, bytes], message: str) -> str:
        async with self._client() as client:
            base = {"base_tree": await self._tree(client, parent)} if parent else {}
            entries = [await self._entry(client, path, content) for path, content in files.items()]
            tree = await self._post(client, "/trees", {**base, "tree": entries})
            parents = [parent] if parent else []
            made = await self._post(client, "/commits", {"message": message, "tree": tree["sha"], "parents": parents})
            commit = str(made["sha"])
            await self._move(client, commit, begins=not parent)
            return commit

    async def _entry(self, client: Client, path: str, content: bytes) -> dict[str, str]:
        entry = {"path": path, "mode": "100644", "type": "blob"}
        if len(content) <= _LARGEST_INLINE:
            return {**entry, "content": content.decode()}
        body = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
        return {**entry, "sha": str((await self._post(client, "/blobs", body))["sha"])}

    async def _post(self, client: Client, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Objects have no other effect, so one that may be there already is made again with the rest."""
        try:
            made: Mapping[str, Any] = await client.post(_GIT + path, self._where, data=body)
        except HTTPException as error:
            raise self._raced(error, "") from error
        return made

    async def _move(self, client: Client, commit: str, *, begins: bool) -> None:
        try:
            if begins:
                ref = {"ref": f"refs/heads/{self._branch}", "sha": commit}
                await client.post(_GIT + "/refs", self._where, data=ref)
            else:
                move = {"sha": commit, "force": False}
                await client.patch(_GIT + "/refs/heads/{+branch}", self._where, data=move)
        except HTTPException as error:
            raise self._raced(error, commit) from error
        except LostAnswerError as error:
            raise LostMoveError(error.what, commit=commit) from error
        except PublishError as error:  # the client has asked several times, and had no answer
            raise LostMoveError(error.what, commit=commit) from error

    async def _is_ancestor(self, commit: str, of: str) -> bool:
        async with self._client() as client:
            try:
                found = await client.getitem(_COMPARE, {**self._where, "base": commit, "head": of})
            except HTTPException as error:
                if error.status_code == 404:  # no past in common, or it never came to be
                    return False
                raise
            return found["status"] in {"ahead", "identical"}

    def _raced(self, error: HTTPException, commit: str) -> HTTPException | MovedError:
        """An error that another look and another try may mend; else itself."""
        status = error.status_code.value
        if status in {404, 409} or (status == 422 and _RACES.search(str(error))):
            what = f"GitHub did not take the commit for branch {self._branch}: {status} {error}"
            return MovedError(what, commit=commit, status=status)
        return error

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            try:
                yield Client(session, self._access, sleep=self._pause)
            except HTTPException as error:
                raise self._refusal(error) from error
            except GitHubException as error:
                raise PublishError(f"GitHub's answer is not understood: {error}") from error

    def _refusal(self, error: HTTPException) -> PublishError:
        refused = refusal(error)
        advice = {
            403: "give the job `permissions: contents: write`",
            409: "the repository is empty: push a first commit, then run again",
            422: f"a rule may protect branch {self._branch}: let the job's token push to it",
        }.get(error.status_code.value, refused.advice)
        return PublishError(
            f"the history in branch {self._branch} of {self._access.repository}: {refused.what}",
            advice=advice,
            status=refused.status,
        )
