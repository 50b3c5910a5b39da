"""A request that is being carried out: who asks for what, of which state; and lists of it by pages."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from tests.github.blobs import BlobStore
from tests.github.exchange import Answer, Request, Token
from tests.github.state import State

CURSOR = "after"
_PER_PAGE, _MOST_PER_PAGE = 30, 100  # GitHub's documentation on pagination

T = TypeVar("T")


class Cursors:
    """The opaque parameter in the address of every page, without which no other page than the first is given.

    GitHub gives some lists so, and says of all of them that the addresses in Link are not to be made by hand.
    """

    def __init__(self) -> None:
        self._pages: dict[str, int] = {}

    def issue(self, page: int) -> str:
        cursor = f"Y3Vyc29y{secrets.token_hex(6)}=="
        self._pages[cursor] = page
        return cursor

    def objection(self, query: Mapping[str, str]) -> str:
        """What is wrong with the way a page is asked for; empty where nothing is."""
        page, cursor = query.get("page", "1"), query.get(CURSOR)
        if cursor is None:
            return "" if page == "1" else f"page {page} is asked for without what Link gives along with it"
        return "" if str(self._pages.get(cursor)) == page else f"Link gave no page {page} with {CURSOR}={cursor}"


@dataclass(frozen=True)
class Call:
    """`in_path` and `query` hold JSON values, as the operation describes them."""

    state: State
    token: Token
    request: Request
    in_path: Mapping[str, Any]
    query: Mapping[str, Any]
    url: str
    cursors: Cursors
    blobs: BlobStore

    @property
    def body(self) -> dict[str, Any]:
        return dict(self.request.body)

    @property
    def raw(self) -> bool:
        """Whether the bytes of a file are asked for, as they are."""
        return ".raw" in self.request.headers.get("accept", "")

    def address(self, path: str) -> str:
        """Of something in the repository."""
        return f"{self.url}/repos/{self.state.repository}/{path}"

    def page_of(self, items: list[T]) -> tuple[list[T], dict[str, str]]:
        """Those of the page that is asked for, and the headers that say where the others are."""
        size = min(max(self.query.get("per_page", _PER_PAGE), 1), _MOST_PER_PAGE)
        page = max(self.query.get("page", 1), 1)
        last = max(-(-len(items) // size), 1)
        pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        wanted = [name for name in pages if (page > 1 if name in ("prev", "first") else page < last)]
        links = [f'<{self._page_address(pages[name])}>; rel="{name}"' for name in wanted]
        return items[(page - 1) * size : page * size], {"link": ", ".join(links)} if links else {}

    def paged(self, items: list[Any], render: Callable[["Call", Any], Any]) -> Answer:
        page, headers = self.page_of(items)
        return Answer(200, headers, [render(self, one) for one in page])

    def _page_address(self, page: int) -> str:
        """By the repository's number, as GitHub's are."""
        rest = self.request.path.split("/", 4)[4]
        query = {**self.request.query, CURSOR: self.cursors.issue(page), "page": page}
        return f"{self.url}/repositories/{self.state.repository_id}/{rest}?{urlencode(query)}"


@dataclass(frozen=True)
class Endpoint:
    """What carries an operation out, and the rights of which one is enough; with no rights named, any token is."""

    carry_out: Callable[[Call], Answer]
    level: str = "read"
    rights: tuple[str, ...] = field(default=())

    def allows(self, token: Token) -> bool:
        return not self.rights or any(token.may(right, self.level) for right in self.rights)
