"""Comments and issues that we write on GitHub: recognised by their author and first line, and written once."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gidgethub import GitHubException, HTTPException

from bench_action.github.client import Client, LostAnswerError
from bench_action.model.errors import PublishError

_ATTEMPTS = 3
_WORKFLOW_BOT: Final = "github-actions[bot]"
_ORIGIN = re.compile(r"<!-- bench-action from: (.*?) \| (.*?) \| (.*?) -->\s*\Z")


@dataclass(frozen=True, slots=True)
class Author:
    """The account that writes with our token; a workflow's or an app's token writes as a bot."""

    login: str

    def wrote(self, text: Mapping[str, Any], key: str) -> bool:
        """Whether a comment or an issue is ours and has this key. Somebody else may quote our first line."""
        user = text.get("user") or {}
        return user.get("login") == self.login and str(text.get("body") or "").startswith(make_marker(key))


@dataclass(frozen=True, slots=True)
class Origin:
    """What wrote a text: the benchmark, the job, and the run, its attempt and the step. Empty if unknown.

    `benchmark`: the configuration as the job names it, and the variants and profiles that it chooses.

    It is in the text's last line, which is not shown, so that the next writer knows whether the text is its own.
    """

    benchmark: str = ""
    job: str = ""
    step: str = ""

    @classmethod
    def parse(cls, body: str) -> "Origin":
        """Parse the origin in a text; one that has none is of unknown origin."""
        match = _ORIGIN.search(body)
        return cls(*match.groups()) if match else cls()

    @property
    def line(self) -> str:
        """The text's last line; empty if nothing is known."""
        return f"<!-- bench-action from: {' | '.join(self.parts)} -->" if any(self.parts) else ""

    def explain_clash(self, before: "Origin") -> str:
        """Name the benchmark whose text this one replaces; empty if it is an earlier text of the same one."""
        mine, its = self.parts, before.parts
        if mine[0] and its[0] and mine[0] != its[0]:
            return f"the benchmark of `{its[0]}`"
        (my_run, *my_rest), (its_run, *its_rest) = (parts[2].split("/") for parts in (mine, its))
        # a job that is run again is the same one in another attempt
        other = mine[1] != its[1] or (my_rest[:1] == its_rest[:1] and my_rest != its_rest)
        if my_run and my_run == its_run and other:
            return f"the job `{its[1]}` of the same workflow run" if its[1] else "another job of the same workflow run"
        return ""

    @property
    def parts(self) -> tuple[str, str, str]:
        """Its three texts, without anything that ends an HTML comment or is markup."""
        return _make_inert(self.benchmark), _make_inert(self.job), _make_inert(self.step)


UNKNOWN: Final = Origin()


async def find_author(client: Client) -> Author:
    """Find out which account this client's token belongs to."""
    try:
        return Author(str((await client.getitem("/user"))["login"]))
    except HTTPException as error:
        if error.status_code not in {403, 404}:  # a workflow's or an app's token may not read /user
            raise
    base = str(client.base_url).removesuffix("/v3")  # an enterprise server has /api/v3 and /api/graphql
    try:
        answer = await client.graphql("{ viewer { login } }", endpoint=f"{base}/graphql")
        return Author(str(answer["viewer"]["login"]))
    except (GitHubException, PublishError, KeyError, TypeError, ValueError):
        return Author(_WORKFLOW_BOT)


def make_marker(key: str) -> str:
    """Make the first line of a text, which GitHub does not show, and by which the next run finds it.

    A key that has to be changed for it gets a hash, as another one may become the same text.
    """
    inert = _make_inert(key)
    return f"<!-- bench-action:{inert}{'' if inert == key else f' {_hash(key)}'} -->"


def _make_inert(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._/ -]", "_", text)[:100].replace("--", "-_")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


async def write_once(what: str, write: Callable[[], Awaitable[str]]) -> str:
    """Write a text exactly once, and return its address.

    `write` must look for the text before it writes, as it is called again if GitHub's answer was lost. Raises
    PublishError after three attempts.
    """
    for _ in range(_ATTEMPTS):
        try:
            return await write()
        except LostAnswerError as error:
            lost = error
    raise PublishError(f"could not write {what} in {_ATTEMPTS} attempts", cause=lost.what)
