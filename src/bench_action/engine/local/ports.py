"""Ports of this machine for one run: two runs at once never take the same."""

import random
import socket

from bench_action.model.errors import StackError

# below the range that Linux gives to outgoing connections (ip_local_port_range), of which wrk makes many
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200


class Ports:
    """Reserves free loopback ports until the process ends, or `release`.

    The reservation is a Unix socket in Linux' abstract namespace (unix(7)): it has no file, and the kernel gives it
    up with the process. Until the service listens, the port itself must stay free.
    """

    def __init__(self) -> None:
        self._marks: list[socket.socket] = []

    def reserve(self) -> int:
        """A port that nobody listens on. Raises StackError where none is found."""
        for port in random.SystemRandom().sample(range(_FIRST, _LAST), _TRIES):
            if self._mark(port):
                return port
        raise StackError(f"no free port between {_FIRST} and {_LAST} was found", advice="end what holds them")

    def release(self) -> None:
        """Give all back."""
        for mark in self._marks:
            mark.close()
        self._marks.clear()

    def _mark(self, port: int) -> bool:
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0bench-action-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            return False
        self._marks.append(mark)
        return True
