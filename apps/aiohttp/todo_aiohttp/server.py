"""Serve the application in one process, until SIGTERM."""

import asyncio

from aiohttp import web

from todo_aiohttp.app import create_app
from todo_aiohttp.config import Config

SHUTDOWN_TIMEOUT_S = 5.0


def serve(config: Config) -> None:
    """Serve until a signal. Published: aiohttp's defaults. Tuned: uvloop, on a port that processes share."""
    web.run_app(
        create_app(config),
        port=config.port,
        loop=_uvloop() if config.tuned else None,
        reuse_port=config.tuned or None,
        backlog=4096 if config.tuned else 128,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        access_log=None,
        print=None,
    )


def _uvloop() -> asyncio.AbstractEventLoop:
    # only requirements-tuned.txt installs it
    import uvloop  # noqa: PLC0415

    return uvloop.new_event_loop()
