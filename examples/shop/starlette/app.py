"""Products, by Starlette: one event loop, and a pool."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


async def health(_request: Request) -> PlainTextResponse:
    """Asks nobody."""
    return PlainTextResponse("ok")


async def products(request: Request) -> JSONResponse:
    """All of them."""
    rows = await request.app.state.pool.fetch("SELECT id, name, price FROM product ORDER BY id")
    return JSONResponse([dict(row) for row in rows])


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The pool lives as long as the server."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4) as pool:
        app.state.pool = pool
        yield


app = Starlette(routes=[Route("/health", health), Route("/products", products)], lifespan=lifespan)
