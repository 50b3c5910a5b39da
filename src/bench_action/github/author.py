"""Whose token this is: what we wrote before is told from what others wrote by its author and its first line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gidgethub import HTTPException

from bench_action.github.client import Client


@dataclass(frozen=True, slots=True)
class Author:
    """Who we are to GitHub. `login` is empty for an installation's token, which may not ask: it writes as a bot."""

    login: str

    def wrote(self, text: Mapping[str, Any]) -> bool:
        """Whether a comment or an issue is ours, as far as its author tells."""
        user = text.get("user") or {}
        return user.get("login") == self.login if self.login else user.get("type") == "Bot"


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
