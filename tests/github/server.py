"""An HTTP server in a separate thread, on two ports, which are two origins."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from aiohttp import web

_LARGEST_BODY = 128 * 2**20
_START_S = _STOP_S = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves on (host, port) and on another free port of the host, once it has started."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        self._handler, self._host, self._port = handler, host, port
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, list[int]]] = Future()
        self._thread = threading.Thread(target=self._run, name="github-double", daemon=True)

    def start(self) -> None:
        """Start the server. Raises OSError if the address cannot be bound."""
        self._thread.start()
        self._started.result(_START_S)

    def stop(self) -> None:
        """Stop the server. Pending requests get no answer."""
        loop, stopping, _ = self._started.result(0)
        loop.call_soon_threadsafe(stopping.set)
        self._thread.join(_STOP_S)
        assert not self._thread.is_alive(), "the double does not stop"

    def origin(self, number: int) -> str:
        """Return the origin of the first port (0) or the second (1)."""
        _, _, ports = self._started.result(0)
        return f"http://{self._host}:{ports[number]}"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._started.set_exception(error)

    async def _serve(self) -> None:
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            for port in (self._port, 0):
                await web.TCPSite(runner, self._host, port).start()
            stopping = asyncio.Event()
            self._started.set_result(
                (asyncio.get_running_loop(), stopping, [address[1] for address in runner.addresses])
            )
            await stopping.wait()
        finally:
            await runner.cleanup()
