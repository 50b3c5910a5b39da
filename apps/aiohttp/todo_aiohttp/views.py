"""The three routes of the contract."""

import json
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web
from pydantic import ValidationError

from todo_aiohttp.errors import error
from todo_aiohttp.resources import POOL, REDIS
from todo_aiohttp.schema import NewItem, reasons

HOME = web.AppKey("HOME", jinja2.Template)

_SELECT = "SELECT id, text, date_posted FROM item ORDER BY id"
_INSERT = "INSERT INTO item (text) VALUES ($1) RETURNING id"


class Home(web.View):
    """The page with every item, and how many times the page was shown."""

    async def get(self) -> web.Response:
        """Render the page. Items are read before the page is counted: a page that fails must not count."""
        items = await self.request.app[POOL].fetch(_SELECT)
        counter = await self.request.app[REDIS].incr("counter")
        return aiohttp_jinja2.render_template("home.html", self.request, {"items": items, "counter": counter})


async def get_tuned_home(request: web.Request) -> web.Response:
    """Render the same page from tuples, as a template looks up attributes before items, which a row does not have."""
    rows = await request.app[POOL].fetch(_SELECT)
    counter = await request.app[REDIS].incr("counter")
    items = [(item_id, text, date_posted.isoformat()) for item_id, text, date_posted in rows]
    page = request.app[HOME].render(items=items, counter=counter)
    return web.Response(text=page, content_type="text/html")


class Items(web.View):
    """The collection of items, to which clients add."""

    async def post(self) -> web.Response:
        """Add the item in the body, which is read as JSON regardless of its content type."""
        try:
            data = _decoded(await self.request.read())
        except (ValueError, RecursionError):
            return error(400, "Invalid JSON")
        if not data:
            return error(400, "Empty data")
        if not isinstance(data, dict):
            return error(400, "must be an object")
        try:
            item = NewItem.model_validate(data)
        except ValidationError as invalid:
            return error(400, reasons(invalid))
        if not item.text:
            return web.Response(status=204)
        item_id = await self.request.app[POOL].fetchval(_INSERT, item.text)
        return web.json_response({"id": item_id}, status=201)


class Health(web.View):
    """The health check, which uses neither PostgreSQL nor Redis."""

    async def get(self) -> web.Response:
        """Report that the server is up."""
        return web.json_response({"status": "ok"})


def _decoded(body: bytes) -> Any:
    data = json.loads(body) if body.strip() else None
    # JSON can contain half a surrogate pair, which UTF-8, and so PostgreSQL, cannot encode: this raises ValueError.
    json.dumps(data, ensure_ascii=False).encode()
    return data
