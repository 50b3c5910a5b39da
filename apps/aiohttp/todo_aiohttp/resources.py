"""Open the connections that live as long as the application."""

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import asyncpg
from aiohttp import web
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from todo_aiohttp.config import Config

_Context: TypeAlias = Callable[[web.Application], AsyncIterator[None]]

POOL: web.AppKey["asyncpg.Pool[asyncpg.Record]"] = web.AppKey("POOL", asyncpg.Pool)
REDIS = web.AppKey("REDIS", Redis)


def database_pool(config: Config) -> _Context:
    """Keep a pool of PostgreSQL connections, all opened at the start."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        size = config.pool_size
        # "today" is today in UTC, wherever the server runs (rule C7); a start-up parameter needs no query
        settings = {"timezone": "UTC"}
        async with asyncpg.create_pool(
            config.database_url,
            min_size=size,
            max_size=size,
            server_settings=settings,
            reset=_keep_session if config.tuned else None,
        ) as pool:
            app[POOL] = pool
            yield

    return context


async def _keep_session(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Reset nothing: no request changes its session, so the default's query after each request would have no effect."""


def redis_client(config: Config) -> _Context:
    """Keep a few Redis connections, and let requests wait for one, because the client is slow with very many.

    It never retries: an INCR whose reply was lost may already have counted.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        pool = BlockingConnectionPool.from_url(
            config.redis_url, max_connections=config.pool_size, retry=Retry(NoBackoff(), 0)
        )
        async with Redis.from_pool(pool) as client:
            app[REDIS] = client
            yield

    return context
