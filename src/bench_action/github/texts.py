"""Texts of ours on GitHub: known by their author and first line, and written once each."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gidgethub import GitHubException, HTTPException

from bench_action.github.client import Client, LostAnswerError
from bench_action.model.errors import PublishError

_TRIES = 3
_WORKFLOW_BOT: Final = "github-actions[bot]"
_ORIGIN = re.compile(r"<!-- bench-action from: (.*?) \| (.*?) \| (.*?) -->\s*\Z")


@dataclass(frozen=True, slots=True)
class Author:
    """Who we are to GitHub; a token of a workflow or an app writes as a bot."""

    login: str

    def wrote(self, text: Mapping[str, Any], key: str) -> bool:
        """Whether a comment or an issue is ours, and of this key; another bot may quote our first line."""
        user = text.get("user") or {}
        return user.get("login") == self.login and str(text.get("body") or "").startswith(marker(key))


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a text: the configuration as the job names it, the job, and the step of which run. Empty: not known.

    It stands in the text's last line, unseen, so that the next writer knows whether the text is its own.
    """

    config: str = ""
    job: str = ""
    step: str = ""

    @classmethod
    def of_text(cls, body: str) -> "Origin":
        """Read it from a text; nothing of it is known of a text that does not say."""
        found = _ORIGIN.search(body)
        return cls(*found.groups()) if found else cls()

    @property
    def line(self) -> str:
        """As it stands in the text; empty where nothing is known."""
        return f"<!-- bench-action from: {' | '.join(self.parts)} -->" if any(self.parts) else ""

    def explain_clash(self, before: "Origin") -> str:
        """Say whose text this one replaces, if it is another benchmark's; empty if it is our own earlier one."""
        mine, its = self.parts, before.parts
        if mine[0] and its[0] and mine[0] != its[0]:
            return f"the benchmark of `{its[0]}`"
        same_run = mine[2].rpartition("/")[0] == its[2].rpartition("/")[0]
        if mine[2] and same_run and mine[2] != its[2]:
            return f"the job `{its[1]}` of the same workflow run" if its[1] else "another job of the same workflow run"
        return ""

    @property
    def parts(self) -> tuple[str, str, str]:
        """Its three texts as they are written: nothing in them ends a comment or is markup."""
        return _inert(self.config), _inert(self.job), _inert(self.step)


UNKNOWN: Final = Origin()


async def author_of(client: Client) -> Author:
    """Find out who writes with this client's token."""
    try:
        return Author(str((await client.getitem("/user"))["login"]))
    except HTTPException as error:
        if error.status_code not in {403, 404}:  # the token of a workflow or an app may not ask so
            raise
    base = str(client.base_url).removesuffix("/v3")  # a server of an enterprise has /api/v3 and /api/graphql
    try:
        found = await client.graphql("{ viewer { login } }", endpoint=f"{base}/graphql")
        return Author(str(found["viewer"]["login"]))
    except (GitHubException, PublishError, KeyError, TypeError, ValueError):
        return Author(_WORKFLOW_BOT)


def marker(key: str) -> str:
    """The first line of a text: unseen, and how the next run finds it. `key` tells several jobs' texts apart."""
    return f"<!-- bench-action:{_inert(key)} -->"


def _inert(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._/ -]", "_", text)[:100].replace("--", "-_")


async def written(what: str, write: Callable[[], Awaitable[str]]) -> str:
    """The address of a text. `write` looks for it before it writes: where an answer is lost, it is called again.

    Raises PublishError after three tries.
    """
    for _ in range(_TRIES):
        try:
            return await write()
        except LostAnswerError as error:
            lost = error
    raise PublishError(f"{what} could not be written in {_TRIES} tries", cause=lost.what)
