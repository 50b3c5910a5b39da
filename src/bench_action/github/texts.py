"""Texts of ours on GitHub: told from those of others by their author and first line, and written once each."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gidgethub import HTTPException

from bench_action.github.client import Client, LostAnswerError
from bench_action.model.errors import PublishError

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Author:
    """Who we are to GitHub. `login` is empty for an installation's token, which may not ask: it writes as a bot."""

    login: str

    def wrote(self, text: Mapping[str, Any], key: str) -> bool:
        """Whether a comment or an issue is ours, and of this key."""
        user = text.get("user") or {}
        ours = user.get("login") == self.login if self.login else user.get("type") == "Bot"
        return ours and str(text.get("body") or "").startswith(marker(key))


async def author_of(client: Client) -> Author:
    """Of what is written with this client's token."""
    try:
        return Author(str((await client.getitem("/user"))["login"]))
    except HTTPException as error:
        if error.status_code in {403, 404}:  # an installation's token is nobody's
            return Author("")
        raise


def marker(key: str) -> str:
    """The first line of a text: unseen, and how the next run finds it. `key` tells several jobs' texts apart."""
    return f"<!-- bench-action:{re.sub(r'[^A-Za-z0-9._/ -]', '_', key)[:100].replace('--', '-_')} -->"


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
