"""Run one server for each core; if one of them ends, end all of them."""

import logging
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType

from todo_aiohttp.config import Config
from todo_aiohttp.server import SHUTDOWN_TIMEOUT_S, serve

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


def supervise(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; if a server ends on its own, stop the others and return status 1."""
    for number in _SIGNALS:
        signal.signal(number, _exit)
    with _servers(config) as servers:
        ended = wait([server.sentinel for server in servers])
        for server in servers:
            if server.sentinel in ended:
                server.join()  # the sentinel is ready before the exit status is known
                logger.error("%s ended with status %s", server.name, server.exitcode)
    return 1


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


@contextmanager
def _servers(config: Config) -> Iterator[list[ForkProcess]]:
    # Forking is safe, because no thread and no event loop exists yet, and it shares the memory of imported modules.
    context = multiprocessing.get_context("fork")
    servers: list[ForkProcess] = []
    try:
        for index in range(config.processes):
            server = context.Process(target=_serve, args=(config,), name=f"server {index}")
            servers.append(server)
            server.start()
        yield servers
    finally:
        _stop([server for server in servers if server.pid is not None])


def _serve(config: Config) -> None:
    # Until aiohttp handles signals itself, a signal ends the server immediately: the supervisor's handler, which a fork
    # inherits, would raise anywhere, and leave an event loop open.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    serve(config)


def _stop(servers: list[ForkProcess]) -> None:
    for server in servers:
        server.terminate()
    for server in servers:
        server.join(SHUTDOWN_TIMEOUT_S + 2)
        if server.is_alive():
            server.kill()
            server.join()
