"""A chat that answers each message, over WebSockets."""

import os

from aiohttp import WSMsgType, web


async def health(_request: web.Request) -> web.Response:
    """Asks nobody."""
    return web.Response(text="ok")


async def chat(request: web.Request) -> web.WebSocketResponse:
    """Answer each message until the other side closes."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(f"you said: {message.data}")
    return socket


def make_app() -> web.Application:
    """Make the application."""
    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/chat", chat)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), port=int(os.environ.get("PORT", "8000")), access_log=None)
