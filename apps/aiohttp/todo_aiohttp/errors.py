"""Send every error as JSON: `{"error": REASON}`."""

import logging

import asyncpg
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_REASONS = {404: "Not found", 405: "Method not allowed", 413: "Body too large"}
_DATABASE_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)  # OSError: it cannot be reached

logger = logging.getLogger(__name__)


def error(status: int, reason: str) -> web.Response:
    """Make the reply for an error."""
    return web.json_response({"error": reason}, status=status)


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an exception into JSON, and log it if it is our failure and not the client's."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        response = error(refusal.status, _REASONS.get(refusal.status, refusal.reason))
        if hdrs.ALLOW in refusal.headers:
            response.headers[hdrs.ALLOW] = refusal.headers[hdrs.ALLOW]
        return response
    except _DATABASE_FAILURES:
        logger.exception("%s %s: the database failed", request.method, request.path)
        return error(500, "Database failure")
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return error(500, "Server failure")
