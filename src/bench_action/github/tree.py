"""Read and write a branch of files by GitHub's git-data API: one new commit per write, never a forced update."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
from gidgethub import HTTPException

from bench_action.github.client import (
    UNCLEAR,
    Access,
    Client,
    LostAnswerError,
    explain_refusal,
    explain_unclear_answer,
)
from bench_action.model.errors import PublishError

Pause = Callable[[float], Awaitable[None]]

_ANSWER_S = 120.0  # a month of records may have several megabytes
_LARGEST_INLINE = 500_000  # bytes of a file sent with its tree: a request less is a second less for others to be faster
_GIT = "/repos/{+repository}/git"
_REF = _GIT + "/ref/heads/{+branch}"
_COMPARE = "/repos/{+repository}/compare/{base}...{head}?per_page=1"
# GitHub's words if another writer was faster, or if one of its servers does not yet know what another one has created
_RACES = re.compile(r"fast.forward|already exists|does not exist|update failed|not a valid|cannot lock", re.IGNORECASE)


class MovedError(PublishError):
    """The branch has moved. `commit`: the commit that it should have moved to, empty if it was not created."""

    def __init__(self, what: str, *, commit: str = "", status: int | None = None) -> None:
        super().__init__(what, status=status)
        self.commit = commit


class LostMoveError(LostAnswerError):
    """The branch may or may not have moved to `commit`."""

    def __init__(self, what: str, *, commit: str) -> None:
        super().__init__(what)
        self.commit = commit


@dataclass(frozen=True, slots=True)
class Tip:
    """The tip of a branch: a commit, and its files (path → blob). Empty if the branch does not exist."""

    commit: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


class Trees:
    """The files of one branch. Methods raise PublishError, MovedError and LostAnswerError."""

    def __init__(self, access: Access, branch: str, *, pause: Pause | None = None) -> None:
        self._access, self._pause = access, pause or asyncio.sleep
        self._branch = branch
        self._where = {"repository": access.repository, "branch": quote(branch, safe="/")}

    def tip(self) -> Tip:
        """Read the branch's tip as it is now."""
        return asyncio.run(self._read_tip())

    def read(self, tip: Tip, paths: Collection[str]) -> dict[str, bytes]:
        """Read files of a tip, one after the other, as GitHub requires."""
        return asyncio.run(self._read([(path, tip.files[path]) for path in paths]))

    def write(self, parent: str, files: Mapping[str, bytes], message: str) -> str:
        """Write files as a commit on top of `parent` (empty: the first commit of the branch), and return the commit."""
        return asyncio.run(self._write(parent, files, message))

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether a commit is an ancestor of another, or the same."""
        return commit == of or asyncio.run(self._is_ancestor(commit, of))

    async def _read_tip(self) -> Tip:
        async with self._client() as client:
            try:
                ref = await client.getitem(_REF, self._where)
            except HTTPException as error:
                if error.status_code == 404:  # or the token cannot see the repository: the first write will fail
                    return Tip()
                raise
            commit = str(ref["object"]["sha"])
            where = {**self._where, "sha": await self._find_tree(client, commit)}
            tree = await client.getitem(_GIT + "/trees/{sha}?recursive=1", where)
            if tree["truncated"]:
                raise PublishError(
                    f"branch {self._branch} has more files than GitHub lists",
                    advice="use another branch (`history-branch`)",
                )
            return Tip(commit, {entry["path"]: entry["sha"] for entry in tree["tree"] if entry["type"] == "blob"})

    async def _find_tree(self, client: Client, commit: str) -> str:
        answer = await client.getitem(_GIT + "/commits/{sha}", {**self._where, "sha": commit})
        return str(answer["tree"]["sha"])

    async def _read(self, names: Collection[tuple[str, str]]) -> dict[str, bytes]:
        async with self._client() as client:
            contents = {}
            for path, sha in names:
                blob = await client.getitem(_GIT + "/blobs/{sha}", {**self._where, "sha": sha})
                contents[path] = base64.b64decode(blob["content"])
            return contents

    async def _write(self, parent: str, files: Mapping[str, bytes], message: str) -> str:
        async with self._client() as client:
            base = {"base_tree": await self._find_tree(client, parent)} if parent else {}
            entries = [await self._make_entry(client, path, content) for path, content in files.items()]
            tree = await self._post(client, "/trees", {**base, "tree": entries})
            parents = [parent] if parent else []
            answer = await self._post(client, "/commits", {"message": message, "tree": tree["sha"], "parents": parents})
            commit = str(answer["sha"])
            await self._move(client, commit, begins=not parent)
            return commit

    async def _make_entry(self, client: Client, path: str, content: bytes) -> dict[str, str]:
        entry = {"path": path, "mode": "100644", "type": "blob"}
        if len(content) <= _LARGEST_INLINE:
            return {**entry, "content": content.decode()}
        body = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
        return {**entry, "sha": str((await self._post(client, "/blobs", body))["sha"])}

    async def _post(self, client: Client, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a git object. One that may exist already is created again, which has no other effect."""
        try:
            answer: Mapping[str, Any] = await client.post(_GIT + path, self._where, data=body)
        except HTTPException as error:
            raise self._detect_race(error, "") from error
        return answer

    async def _move(self, client: Client, commit: str, *, begins: bool) -> None:
        try:
            if begins:
                ref = {"ref": f"refs/heads/{self._branch}", "sha": commit}
                await client.post(_GIT + "/refs", self._where, data=ref)
            else:
                move = {"sha": commit, "force": False}
                await client.patch(_GIT + "/refs/heads/{+branch}", self._where, data=move)
        except HTTPException as error:
            raise self._detect_race(error, commit) from error
        except PublishError as error:  # the answer was lost, or none came in several attempts
            raise LostMoveError(error.what, commit=commit) from error

    async def _is_ancestor(self, commit: str, of: str) -> bool:
        async with self._client() as client:
            try:
                answer = await client.getitem(_COMPARE, {**self._where, "base": commit, "head": of})
            except HTTPException as error:
                if error.status_code == 404:  # no common ancestor, or the commit does not exist
                    return False
                raise
            return answer["status"] in {"ahead", "identical"}

    def _detect_race(self, error: HTTPException, commit: str) -> HTTPException | MovedError:
        """Return a MovedError if reading the branch again and retrying may succeed, else the same error."""
        status = error.status_code.value
        if status in {404, 409} or (status == 422 and _RACES.search(str(error))):
            what = f"GitHub did not accept the commit for branch {self._branch}: {status} {error}"
            return MovedError(what, commit=commit, status=status)
        return error

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            try:
                yield Client(session, self._access, sleep=self._pause)
            except HTTPException as error:
                raise self._explain_refusal(error) from error
            except UNCLEAR as error:
                raise explain_unclear_answer(error) from error

    def _explain_refusal(self, error: HTTPException) -> PublishError:
        refusal = explain_refusal(error)
        advice = {
            403: "give the job `permissions: contents: write`",
            409: "the repository is empty: push a first commit, then run again",
            422: f"a rule may protect branch {self._branch}: let the job's token push to it",
        }.get(error.status_code.value, refusal.advice)
        return PublishError(
            f"the history in branch {self._branch} of {self._access.repository}: {refusal.what}",
            advice=advice,
            status=refusal.status,
        )
