"""A request that is carried out: the token, the parameters, the state that it applies to, and pages of lists."""

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
    """The opaque parameter in the address of every page, which is required for all pages except the first.

    GitHub pages some lists in this way, and documents that clients must not construct the addresses in Link.
    """

    def __init__(self) -> None:
        self._pages: dict[str, int] = {}

    def issue(self, page: int) -> str:
        cursor = f"Y3Vyc29y{secrets.token_hex(6)}=="
        self._pages[cursor] = page
        return cursor

    def find_objection(self, query: Mapping[str, str]) -> str:
        """Say why a page may not be requested in this way; empty if it may."""
        page, cursor = query.get("page", "1"), query.get(CURSOR)
        if cursor is None:
            return "" if page == "1" else f"page {page} was requested without the cursor that Link contains"
        return "" if str(self._pages.get(cursor)) == page else f"Link gave no page {page} with {CURSOR}={cursor}"


@dataclass(frozen=True)
class Call:
    """A request with its context. `in_path` and `query` are JSON values, parsed as the operation describes them."""

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
        """Whether the raw content of a file was requested."""
        return ".raw" in self.request.headers.get("accept", "")

    def address(self, path: str) -> str:
        """Make the address of something in the repository."""
        return f"{self.url}/repos/{self.state.repository}/{path}"

    def select_page(self, items: list[T]) -> tuple[list[T], dict[str, str]]:
        """Select the items of the requested page, and make the headers that link to the others."""
        size = min(max(self.query.get("per_page", _PER_PAGE), 1), _MOST_PER_PAGE)
        page = max(self.query.get("page", 1), 1)
        last = max(-(-len(items) // size), 1)
        pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        wanted = [name for name in pages if (page > 1 if name in ("prev", "first") else page < last)]
        links = [f'<{self._page_address(pages[name])}>; rel="{name}"' for name in wanted]
        return items[(page - 1) * size : page * size], {"link": ", ".join(links)} if links else {}

    def answer_page(self, items: list[Any], render: Callable[["Call", Any], Any]) -> Answer:
        page, headers = self.select_page(items)
        return Answer(200, headers, [render(self, item) for item in page])

    def _page_address(self, page: int) -> str:
        """Make an address with the repository's number, as GitHub does."""
        rest = self.request.path.split("/", 4)[4]
        query = {**self.request.query, CURSOR: self.cursors.issue(page), "page": page}
        return f"{self.url}/repositories/{self.state.repository_id}/{rest}?{urlencode(query)}"


@dataclass(frozen=True)
class Endpoint:
    """The function that carries out an operation. A token needs one of `rights`, if there are any."""

    carry_out: Callable[[Call], Answer]
    level: str = "read"
    rights: tuple[str, ...] = field(default=())

    def allows(self, token: Token) -> bool:
        return not self.rights or any(token.may(right, self.level) for right in self.rights)
