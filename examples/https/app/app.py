"""A greeting over HTTPS: HTTP/2 for clients that can speak it, such as k6 and browsers, and HTTP/1.1 for wrk."""

from typing import Any

BODY = b'{"greeting": "Hello"}'


async def greet(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer each request with the same greeting (ASGI)."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})
